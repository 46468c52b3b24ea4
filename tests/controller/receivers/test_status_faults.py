"""Publishing status when something is wrong: what users are told, how often, and that it heals."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.kargo.objects import PROJECT_CONFIGS, SECRETS
from tests.support.kube import Failure, refused, unreachable
from tests.support.publishing import Publishing, azure, entry
from tests.support.secrets import LONG

OTHER = b"another-secret-of-some-length"


@pytest.mark.parametrize(
    ("value", "reason", "words"),
    [
        pytest.param(
            "missing", "SecretMissing", 'Secret "s" in namespace "p" does not exist', id="no Secret"
        ),
        pytest.param(None, "SecretEmpty", 'key "secret" is missing or empty', id="no key"),
        pytest.param(b"", "SecretEmpty", 'key "secret" is missing or empty', id="empty"),
    ],
)
async def test_a_fault_is_told_and_heals(value: Any, reason: str, words: str) -> None:
    """Condition, Event and log say once what to fix; the neighbour is served; it heals within 2 s."""
    async with Publishing() as site:
        site.secret("p", "good")
        if value != "missing":
            site.secret("p", "s", value)
        site.config("p", azure("bad"), azure("well", "good"))
        with capture_logs() as lines:
            await site.run(60.0)
        condition = site.condition("p")
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", reason)
        assert words in condition["message"]
        assert '"bad"' in condition["message"]
        assert [each["name"] for each in site.entries("p")] == ["well"]
        (event,) = site.kube.events
        assert (event["type"], event["reason"]) == ("Warning", reason)
        assert event["involvedObject"]["kind"] == "ProjectConfig"
        assert event["involvedObject"]["name"] == "p"
        assert [line["event"] for line in lines].count("receivers_faulty") == 1
        site.secret("p", "s")
        await site.run(2.0)
        condition = site.condition("p")
        assert condition is not None
        assert condition["status"] == "True"
        assert [each["name"] for each in site.entries("p")] == ["bad", "well"]
        assert site.reasons() == [reason, "ReceiversServed"]


async def test_the_same_fault_again_is_told_again() -> None:
    """One Event for each change of the condition, also when it has been like this before."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        await site.run()
        for _ in range(2):
            site.kube.remove(SECRETS, "p", "s")
            await site.run()
            site.secret("p")
            await site.run()
        assert site.reasons() == ["ReceiversServed", *["SecretMissing", "ReceiversServed"] * 2]
        assert not site.writes_counted["disputed"]


async def test_no_secret_and_no_path_is_told_of() -> None:
    """Neither logs, nor Events, nor conditions hold a path or a secret."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        with capture_logs() as lines:
            await site.run()
            site.secret("p", value=None)
            await site.run()
        told = repr([lines, site.kube.events, site.stored("p")["conditions"]])
        assert entry("p", "az")["path"][-64:] not in told
        assert LONG.decode() not in told


async def test_a_receiver_whose_secret_is_not_known_keeps_its_entry() -> None:
    """A replica that starts writes nothing before it knows better."""
    async with Publishing() as site:
        status = {"webhookReceivers": [entry("p", "az", OTHER)]}
        site.secret("p")
        site.config("p", azure("az"), status=status)
        site.see_configs()
        await site.clock.advance(60.0)
        assert site.writes() == []
        site.see()
        await site.clock.advance(2.0)
        assert site.entries("p") == [entry("p", "az")]


# --- rights ---


@pytest.mark.parametrize(
    ("denied", "plural", "subresource", "told"),
    [
        pytest.param(
            ("patch", "projectconfigs/status"),
            "projectconfigs",
            "status",
            ("patch", "projectconfigs.kargo.akuity.io/status", "all namespaces"),
            id="status",
        ),
        pytest.param(
            ("get", "projectconfigs"),
            "projectconfigs",
            "",
            ("get", "projectconfigs.kargo.akuity.io", "all namespaces"),
            id="get",
        ),
    ],
)
async def test_a_missing_right(
    denied: tuple[str, str], plural: str, subresource: str, told: tuple[str, str, str]
) -> None:
    """One clear line that names verb, resource and namespace, however long it lasts; then it heals."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        site.kube.denied = {denied}
        site.kube.fail(refused(403), verb=denied[0], plural=plural, subresource=subresource)
        with capture_logs() as lines:
            await site.run(300.0, step=10.0)
        (line,) = lines
        assert line["event"] == "right_missing"
        assert (line["verb"], line["resource"], line["namespace"]) == told
        assert len(site.kube.made(denied[0], plural)) <= 11
        site.kube.heal()
        site.kube.denied = set()
        await site.run(61.0)
        assert site.entries("p") == [entry("p", "az")]


async def test_events_that_may_not_be_created_cost_nothing_else() -> None:
    """Without the right to create Events all works, and one line says so."""
    async with Publishing() as site:
        site.secret("p")
        site.kube.fail(refused(403), verb="create", plural="events")
        with capture_logs() as lines:
            site.config("p", azure("az"))
            await site.run()
            site.secret("p", value=b"")
            await site.run()
        (line,) = [each for each in lines if each["event"] == "right_missing"]
        assert (line["verb"], line["resource"], line["namespace"]) == ("create", "events", "p")
        assert site.condition("p") is not None


@pytest.mark.parametrize(
    "failure", [refused(500), refused(429), refused(422), unreachable], ids=["500", "429", "422", "network"]
)
@pytest.mark.parametrize("verb", ["get", "patch"])
async def test_failures_are_tried_again(failure: Failure, verb: str) -> None:
    """A status that can't be read or written is written when that has passed."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        site.kube.fail(failure, verb=verb)
        await site.run(20.0)
        assert site.entries("p") == []
        assert 3 < len(site.kube.made(verb)) < 60
        site.kube.heal()
        await site.run(11.0)
        assert site.entries("p") == [entry("p", "az")]


@pytest.mark.parametrize(
    ("failure", "size"),
    [
        pytest.param(refused(500), 1_500_000, id="500, and larger than what etcd takes"),
        pytest.param(refused(413), 0, id="413"),
    ],
)
async def test_what_is_too_large_is_final(failure: Failure, size: int) -> None:
    """It is not tried again until something changes, and reported: one line, one Event."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"), status={"ballast": "x" * size})
        site.kube.fail(failure, verb="patch")
        with capture_logs() as lines:
            await site.run(120.0, step=10.0)
        assert len(site.writes()) == 1
        assert [line["event"] for line in lines] == ["status_not_written"]
        assert site.reasons() == ["StatusTooLarge"]


async def test_each_secret_is_read_once_for_a_write() -> None:
    """However many receivers refer to it; and only those whose entry is to change."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", *(azure(f"r-{number}") for number in range(100)))
        await site.run()
        assert len(site.entries("p")) == 100
        assert len(site.kube.made("get", SECRETS.plural)) == 1
        site.secret("p", "t")
        site.config("p", *(azure(f"r-{number}") for number in range(100)), azure("az", "t"))
        await site.run()
        assert len(site.entries("p")) == 101
        assert [request.name for request in site.kube.made("get", SECRETS.plural)] == ["s", "t"]


@pytest.mark.parametrize("name", ["50%", "..", "a,b", "a/b"])
async def test_a_reference_that_is_no_name_is_a_fault_of_that_receiver(name: str) -> None:
    """Named in the condition; the others are published, and the API server is not asked for it."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("bad", name), azure("az"))
        await site.run()
        assert site.entries("p") == [entry("p", "az")]
        condition = site.condition("p")
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", "SecretNameInvalid")
        assert f"receiver \"bad\": azure.secretRef.name '{name}'" in condition["message"]
        assert {request.name for request in site.kube.made("get", SECRETS.plural)} == {"s"}


async def test_a_thousand_configs_that_become_unreadable_are_reported_at_a_bounded_rate() -> None:
    """Three requests each, at most 36 a second; meanwhile another config is published at once."""
    async with Publishing() as site:
        for number in range(50):
            site.config(f"p-{number}", azure("az"))
        site.see_configs()
        for number in range(50):
            site.secrets.refuse((f"p-{number}", "s"))
            site.index.secret_changed((f"p-{number}", "s"))
        site.secret("good")
        site.config("good", azure("az"))
        site.see_configs()
        site.secrets.put(("good", "s"))
        site.index.secret_changed(("good", "s"))
        await site.clock.advance(1.0)
        assert len(site.entries("good")) == 1
        assert 10 <= len(site.writes()) <= 13
        await site.clock.advance(4.0)
        conditions = [site.condition(f"p-{number}") for number in range(50)]
        assert all(each is not None and each["reason"] == "SecretUnreadable" for each in conditions)


async def test_a_config_that_goes_meanwhile() -> None:
    """Deleted between seeing and writing: nothing is left to do, and nothing is said."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        site.see()
        site.kube.remove(PROJECT_CONFIGS, "p", "p")
        with capture_logs() as lines:
            await site.clock.advance(30.0)
            await site.run(30.0)
        assert lines == []
        assert site.writes() == []


# --- path conflicts ---


async def test_two_receivers_with_one_path() -> None:
    """Neither is published, both are told, and both heal."""
    async with Publishing() as site:
        for namespace, receiver in (("ab", "c"), ("a", "bc")):
            site.secret(namespace)
            site.config(namespace, azure(receiver))
        await site.run(4.0)
        for namespace in ("ab", "a"):
            condition = site.condition(namespace)
            assert condition is not None
            assert (condition["status"], condition["reason"]) == ("False", "PathConflict")
            assert "a/bc, ab/c" in condition["message"]
            assert site.entries(namespace) == []
        site.secret("a", value=OTHER)
        await site.run(4.0)
        assert site.entries("ab") == [entry("ab", "c")]
        assert site.entries("a") == [entry("a", "bc", OTHER)]
