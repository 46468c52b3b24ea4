"""Settings: flags before variables before defaults, and one line for each that can't be used."""

from pathlib import Path

import pytest

from controller.cli.settings import DEFAULT_CONCURRENCY, Settings, SettingsError
from tests.support.settings import parse

BASE = {"EXTERNAL_WEBHOOK_SERVER_BASE_URL": "https://kargo.example.com/webhooks"}
HUGE = "x" * 1_000_000


def test_defaults() -> None:
    """Only the base URL must be given; all else has the defaults of the manual."""
    assert parse([], BASE) == Settings(
        kubeconfig=None,
        bind_address="0.0.0.0",
        port=8080,
        admin_port=9090,
        queues=(),
        peers=None,
        base_url="https://kargo.example.com/webhooks",
        system_namespace="kargo-system-resources",
        tls_cert=None,
        tls_key=None,
        publish_status=True,
        reply_timeout=4.0,
        refresh_concurrency=DEFAULT_CONCURRENCY,
        data_dir=None,
        catch_up=True,
        catch_up_rate=20.0,
        pod_name=None,
        pod_namespace=None,
        shutdown_timeout=30.0,
        log_level="info",
        log_format="json",
    )


@pytest.mark.parametrize(
    ("flag", "variable", "given", "other", "field", "value"),
    [
        pytest.param("--kubeconfig", "KUBECONFIG", "/a", "/b", "kubeconfig", "/a", id="kubeconfig"),
        pytest.param("--bind-address", "BIND_ADDRESS", "::1", "::", "bind_address", "::1", id="address"),
        pytest.param("--port", "PORT", "0", "1", "port", 0, id="port"),
        pytest.param("--admin-port", "ADMIN_PORT", "9091", "1", "admin_port", 9091, id="admin port"),
        pytest.param("--peers", "PEERS", "peers:9090", "b:1", "peers", ("peers", 9090), id="peers"),
        pytest.param(
            "--base-url",
            "EXTERNAL_WEBHOOK_SERVER_BASE_URL",
            "http://a",
            "http://b",
            "base_url",
            "http://a",
            id="base URL",
        ),
        pytest.param(
            "--system-resources-namespace",
            "SYSTEM_RESOURCES_NAMESPACE",
            "sys",
            "b",
            "system_namespace",
            "sys",
            id="system namespace",
        ),
        pytest.param(
            "--publish-status", "PUBLISH_STATUS", "F", "T", "publish_status", False, id="publish status"
        ),
        pytest.param("--reply-timeout", "REPLY_TIMEOUT", "1500ms", "1s", "reply_timeout", 1.5, id="reply"),
        pytest.param(
            "--refresh-concurrency",
            "REFRESH_CONCURRENCY",
            "7",
            "8",
            "refresh_concurrency",
            7,
            id="concurrency",
        ),
        pytest.param("--data-dir", "DATA_DIR", "/a", "/b", "data_dir", Path("/a"), id="data folder"),
        pytest.param(
            "--shutdown-timeout",
            "GRACEFUL_SHUTDOWN_TIMEOUT",
            "0s",
            "1m",
            "shutdown_timeout",
            0.0,
            id="shutdown",
        ),
        pytest.param("--catch-up", "CATCH_UP", "off", "on", "catch_up", False, id="catch-up"),
        pytest.param("--catch-up-rate", "CATCH_UP_RATE", "0.5", "2", "catch_up_rate", 0.5, id="pace"),
        pytest.param("--pod-name", "POD_NAME", "pod-0.a", "b", "pod_name", "pod-0.a", id="Pod"),
        pytest.param("--pod-namespace", "POD_NAMESPACE", "ns", "b", "pod_namespace", "ns", id="Pod's place"),
        pytest.param("--log-level", "LOG_LEVEL", "DEBUG", "info", "log_level", "debug", id="log level"),
        pytest.param("--log-format", "LOG_FORMAT", "CONSOLE", "json", "log_format", "console", id="format"),
    ],
)
def test_flag_and_variable(
    flag: str, variable: str, given: str, other: str, field: str, value: object
) -> None:
    """Each setting can be given by flag or variable; where both are, the flag counts."""
    assert getattr(parse([flag, given], BASE), field) == value
    assert getattr(parse([], BASE | {variable: given}), field) == value
    assert getattr(parse([f"{flag}={given}"], BASE | {variable: other}), field) == value


def test_empty_variable_is_not_set() -> None:
    """A chart that leaves a variable empty means the default."""
    assert parse([], BASE | {"PORT": "", "LOG_LEVEL": "", "DATA_DIR": ""}) == parse([], BASE)


def test_base_url_is_for_status_only() -> None:
    """Without status there is no need of a base URL; with it there is."""
    assert parse(["--publish-status=false"], {}).base_url == ""
    with pytest.raises(SettingsError, match=r"--base-url .* is required"):
        parse([], {})


@pytest.mark.parametrize(
    ("environ", "files"),
    [
        pytest.param({}, None, id="nothing given: off"),
        pytest.param({"TLS_CERT_PATH": "/c", "TLS_KEY_PATH": "/k"}, ("/c", "/k"), id="both files: on"),
        pytest.param(
            {"TLS_CERT_PATH": "/c", "TLS_KEY_PATH": "/k", "TLS_ENABLED": "false"},
            None,
            id="switched off, as in Kargo",
        ),
        pytest.param(
            {"TLS_CERT_PATH": "/c", "TLS_KEY_PATH": "/k", "TLS_ENABLED": "TRUE"}, ("/c", "/k"), id="on"
        ),
        pytest.param({"TLS_CERT_PATH": "/c", "TLS_ENABLED": "0"}, None, id="off, one file left over"),
    ],
)
def test_tls(environ: dict[str, str], files: tuple[str, str] | None) -> None:
    """TLS is on with both files, unless Kargo's switch says otherwise."""
    found = parse([], BASE | environ)
    wanted = (None, None) if files is None else (Path(files[0]), Path(files[1]))
    assert (found.tls_cert, found.tls_key) == wanted


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        pytest.param({"TLS_CERT_PATH": "/c"}, r"--tls-key \(TLS_KEY_PATH\)", id="certificate alone"),
        pytest.param({"TLS_KEY_PATH": "/k"}, r"--tls-cert \(TLS_CERT_PATH\)", id="key alone"),
        pytest.param({"TLS_ENABLED": "1"}, r"--tls-cert \(TLS_CERT_PATH\)", id="switched on, no files"),
        pytest.param({"TLS_ENABLED": "maybe"}, "TLS_ENABLED: 'maybe' is neither", id="switch makes no sense"),
        pytest.param({"BIND_ADDRESS": "\u202e"}, "BIND_ADDRESS: .* is neither", id="no address"),
        pytest.param({"BIND_ADDRESS": "a\nb"}, "BIND_ADDRESS: .* is neither", id="two addresses"),
        pytest.param({"PORT": "7", "ADMIN_PORT": "7"}, "--port .* must differ", id="one port for both"),
        pytest.param({"PORT": "http"}, "PORT: 'http' is no whole number", id="variable is named"),
        pytest.param({"LOG_LEVEL": "a\nb"}, r"LOG_LEVEL: 'a\\nb' is none of", id="line break is shown"),
    ],
)
def test_complaints(environ: dict[str, str], words: str) -> None:
    """A setting that can't be used is named, with its value and what is wrong with it."""
    with pytest.raises(SettingsError, match=words):
        parse([], BASE | environ)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        pytest.param("--port", HUGE, id="port"),
        pytest.param("--base-url", HUGE, id="base URL"),
        pytest.param("--base-url", f"http://h:{HUGE}", id="base URL's port"),
        pytest.param("--base-url", f"http://{HUGE}\u2100/", id="base URL's host"),
        pytest.param("--reply-timeout", HUGE, id="duration"),
        pytest.param("--reply-timeout", "1s" * 500_000, id="duration that is one"),
        pytest.param("--log-level", "\n" * 500, id="line breaks"),
        pytest.param("--log-level", "💥" * 500, id="not ASCII"),
    ],
)
def test_complaints_are_short(flag: str, value: str) -> None:
    """However large a value is, the complaint is one line that a log viewer can show."""
    with pytest.raises(SettingsError) as caught:
        parse([f"{flag}={value}"], BASE)
    message = str(caught.value)
    assert message.startswith(flag)
    assert len(message) < 300
    assert message.isprintable()


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(["--nonsense"], id="unknown flag"),
        pytest.param(["--port"], id="value missing"),
        pytest.param(["stray"], id="stray word"),
        pytest.param(["stray\nline"], id="stray word with a line break"),
        pytest.param([HUGE], id="huge stray word"),
    ],
)
def test_unknown_flags_exit_with_2(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is no flag at all ends with exit code 2 and one line, not a page of usage."""
    with pytest.raises(SystemExit) as caught:
        parse(flags, BASE)
    assert caught.value.code == 2
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert len(written) < 300
