"""Values of settings, in every spelling that Kargo accepts."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from controller.cli import setting_values
from controller.observability import logs
from tests.strategies import ANY_TEXT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("4s", 4.0, id="seconds"),
        pytest.param("1m30s", 90.0, id="minutes and seconds"),
        pytest.param("500ms", 0.5, id="milliseconds"),
        pytest.param("1.5h", 5400.0, id="fraction of an hour"),
        pytest.param(".5s", 0.5, id="no digit before the point"),
        pytest.param("1.s", 1.0, id="no digit after the point"),
        pytest.param("250us", 0.00025, id="us"),
        pytest.param("250µs", 0.00025, id="micro sign"),
        pytest.param("250μs", 0.00025, id="Greek mu"),
        pytest.param("7ns", 7e-9, id="nanoseconds"),
        pytest.param("+4s", 4.0, id="plus sign"),
        pytest.param("0", 0.0, id="zero needs no unit"),
        pytest.param("-0", 0.0, id="nor does minus zero"),
        pytest.param(" 4S ", 4.0, id="any case, and blanks around"),
        pytest.param("24h", 86400.0, id="a day is the longest"),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Go's durations are read as Go reads them."""
    assert setting_values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("4", id="no unit"),
        pytest.param("4 s", id="blank inside"),
        pytest.param("s", id="unit only"),
        pytest.param("4sx", id="something after"),
        pytest.param("x4s", id="something before"),
        pytest.param("4s 5", id="half a duration after"),
        pytest.param("-4s", id="negative"),
        pytest.param("1e3s", id="exponent"),
        pytest.param("inf", id="infinity"),
        pytest.param("4d", id="no such unit in Go"),
        pytest.param("24h1s", id="longer than a day"),
        pytest.param("9" * 400 + "s", id="beyond what a float holds"),
    ],
)
def test_no_durations(text: str) -> None:
    """What Go does not take, or what nobody can mean, is refused."""
    with pytest.raises(ValueError, match=r"^is "):
        setting_values.duration(text)


def test_some_durations_must_be_above_zero() -> None:
    """A reply timeout of nothing is a mistake."""
    assert setting_values.positive_duration("1ms") == 0.001
    with pytest.raises(ValueError, match="longer than 0s"):
        setting_values.positive_duration("0s")


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True", "tRuE", " true ", "yes", "on"])
def test_true(text: str) -> None:
    """Go's spellings of true, in any case."""
    assert setting_values.boolean(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False", "no", "off"])
def test_false(text: str) -> None:
    """Go's spellings of false, in any case."""
    assert setting_values.boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "truee", "yes please", "enabled"])
def test_neither_true_nor_false(text: str) -> None:
    """Nothing else passes for a boolean: a typo must not turn something off."""
    with pytest.raises(ValueError, match="neither true nor false"):
        setting_values.boolean(text)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        pytest.param(setting_values.port, "65536", id="port too high"),
        pytest.param(setting_values.port, "-1", id="port below zero"),
        pytest.param(setting_values.port, "http", id="port by name"),
        pytest.param(setting_values.port, "8_080", id="port as Python writes numbers"),
        pytest.param(setting_values.port, "٨٠٨٠", id="port in other digits"),
        pytest.param(setting_values.host_and_port, "peers", id="peers without a port"),
        pytest.param(setting_values.host_and_port, "::1:9090", id="peers by IPv6 without brackets"),
        pytest.param(setting_values.host_and_port, "http://peers:9090", id="peers as a URL"),
        pytest.param(setting_values.host_and_port, "peers:0", id="peers at port 0"),
        pytest.param(setting_values.concurrency, "0", id="no concurrency"),
        pytest.param(setting_values.concurrency, "513", id="too much concurrency"),
        pytest.param(setting_values.concurrency, "9" * 10_000, id="a number of 10,000 digits"),
        pytest.param(setting_values.namespace, "Kargo", id="namespace in capitals"),
        pytest.param(setting_values.namespace, "a/b", id="namespace with a slash"),
        pytest.param(setting_values.namespace, "a" * 64, id="namespace too long"),
        pytest.param(setting_values.namespace, "", id="namespace empty"),
        pytest.param(setting_values.text, "  ", id="blank text"),
        pytest.param(setting_values.base_url, "kargo.example.com", id="URL without scheme"),
        pytest.param(setting_values.base_url, "ftp://kargo.example.com", id="URL of another scheme"),
        pytest.param(setting_values.base_url, "https://", id="URL without host"),
        pytest.param(
            setting_values.base_url, "//kargo.example.com/webhooks", id="URL without scheme, with host"
        ),
        pytest.param(
            setting_values.base_url, "kargo.example.com:443/a", id="URL whose host looks like a scheme"
        ),
        pytest.param(setting_values.base_url, "https://h/a%zz", id="URL with half an escape"),
        pytest.param(setting_values.base_url, "https://h/a%25b", id="URL whose path Kargo refuses"),
        pytest.param(setting_values.base_url, "https://h/a%3Fb", id="URL with an escaped question mark"),
        pytest.param(setting_values.base_url, "https://h/a%23b", id="URL with an escaped hash"),
        pytest.param(setting_values.base_url, "https://me:pw@h/", id="URL with a password"),
        pytest.param(setting_values.base_url, "https://h:99999/", id="URL with an impossible port"),
        pytest.param(setting_values.base_url, "https://h:port/", id="URL with a port that is no number"),
        pytest.param(setting_values.base_url, "https://[::1/", id="URL with half an address"),
        pytest.param(setting_values.rate, "0", id="no pace"),
        pytest.param(setting_values.rate, "20/s", id="pace with a unit"),
        pytest.param(setting_values.rate, "1001", id="too fast a pace"),
        pytest.param(setting_values.pod, "Pod_1", id="no name of a Pod"),
    ],
)
def test_refused(read: Callable[[str], Any], text: str) -> None:
    """A value that makes no sense is refused with what would make some."""
    with pytest.raises(ValueError, match=r"^(is|must) "):
        read(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "https://kargo.example.com/webhooks",
        "https://[::1]:8443/a/b/",
        " HTTPS://h ",
        "https://h/?a=1",
        "https://h/?",
        "https://h/#a",
        "https://h//a//b/",
        "https://h/ü",
    ],
)
def test_base_urls(url: str) -> None:
    """What Kargo takes and Azure can call may have anything else, and is kept as it was given."""
    assert setting_values.base_url(url) == url.strip()


def test_peers_are_a_host_and_a_port() -> None:
    """A name, an IPv4 address, or an IPv6 address in brackets."""
    assert setting_values.host_and_port(" peers.kargo.svc:9090 ") == ("peers.kargo.svc", 9090)
    assert setting_values.host_and_port("10.0.0.7:1") == ("10.0.0.7", 1)
    assert setting_values.host_and_port("[fd00::7]:9090") == ("fd00::7", 9090)


def test_queues() -> None:
    """Several, by white space; the account is in the host, or in an emulator's path."""
    found = setting_values.queues(
        "https://acct.queue.core.windows.net/kargo-events?sig=x;project=shop\n"
        "http://127.0.0.1:10001/devstoreaccount1/events"
    )
    assert [(each.name, each.project) for each in found] == [
        ("queue:acct/kargo-events", "shop"),
        ("queue:devstoreaccount1/events", ""),
    ]
    assert setting_values.queues("") == ()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("acct/events", id="no-url"),
        pytest.param("http://acct.queue.core.windows.net/events", id="no-tls"),
        pytest.param("https://acct.queue.core.windows.net/", id="no-queue"),
        pytest.param("https://acct.queue.core.windows.net/Events", id="upper-case"),
        pytest.param("https://acct.queue.core.windows.net/events;scope=a", id="unknown-option"),
        pytest.param("https://acct.queue.core.windows.net/events;project=A_b", id="no-namespace"),
        pytest.param("https://a.queue.core.windows.net:x/events", id="no-port"),
        pytest.param("https://acct.queue.core.windows.net/shop/events", id="two-segments"),
        pytest.param("https://acct.queue.core.windows.net/events?sv=1", id="no-signature"),
        pytest.param("https://acct.blob.core.windows.net/events", id="blobs"),
        pytest.param("https://acct.blob.core.windows.net/shop/events", id="blob"),
        pytest.param("https://acct.servicebus.windows.net/shop/events", id="service-bus"),
        pytest.param("https://shop.example.com/events", id="no-account"),
        pytest.param(2 * "https://acct.queue.core.windows.net/events ", id="twice"),
    ],
)
def test_wrong_queues(text: str) -> None:
    """What is no queue is refused."""
    with pytest.raises(ValueError, match=r"\A(is|has|must|names) "):
        setting_values.queues(text)


@given(ANY_TEXT)
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes a reader fail in any other way, or its message long."""
    messages = []
    for read in (
        setting_values.duration,
        setting_values.positive_duration,
        setting_values.boolean,
        setting_values.port,
        setting_values.host_and_port,
        setting_values.concurrency,
        setting_values.rate,
        setting_values.pod,
        logs.read_level,
        logs.read_format,
        setting_values.namespace,
        setting_values.base_url,
        setting_values.text,
        setting_values.queues,
    ):
        try:
            read(text)
        except ValueError as error:
            messages.append(str(error))
    assert all(len(message) < 200 for message in messages)
