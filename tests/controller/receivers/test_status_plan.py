"""What status should say: ours in spec's order, everybody else's as it is."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kargo.objects import Config, Metadata, config_from
from controller.receivers.state import ReceiverState, SecretState, judge
from controller.receivers.status_plan import condition_differs, conditions_with, entries_differ, plan
from tests.strategies import JSON
from tests.support.publishing import BASE, azure, entry
from tests.support.secrets import LONG, secret

GITHUB = {"name": "gh", "path": "/webhooks/github/" + "0" * 64, "url": "u", "extra": {"a": [1]}}
SERVED = SecretState(True, secret(("p", "s")))
MISSING = SecretState(True)
UNKNOWN = SecretState(False)
REFUSED = SecretState(False, problem="no right")


def config(*receivers: dict[str, Any], entries: Any = None, conditions: Any = None) -> Config:
    status = {"webhookReceivers": entries, "conditions": conditions}
    return config_from(Metadata(name="p", namespace="p"), {"webhookReceivers": list(receivers)}, status)


def states(given: Config, *secrets: SecretState) -> list[ReceiverState]:
    return [judge(spec, "p", "p", secret)[0] for spec, secret in zip(given.receivers, secrets, strict=True)]


def test_entries_are_kargos() -> None:
    """Name, path and URL, as Kargo writes them."""
    given = config(azure("az"))
    planned = plan(given, states(given, SERVED), BASE)
    assert planned.entries == [entry("p", "az")]
    assert entries_differ(given, planned)
    written = config(azure("az"), entries=planned.entries)
    assert not entries_differ(written, plan(written, states(written, SERVED), BASE))


def test_specs_order() -> None:
    """Ours and others' stand in the order of spec; what spec does not name comes last, as it was."""
    stray = {"name": "stray", "path": "/x"}
    receivers = [azure("b"), {"name": "gh", "github": {}}, azure("a")]
    given = config(*receivers, entries=[stray, GITHUB, entry("p", "a")])
    planned = plan(given, states(given, SERVED, SERVED), BASE)
    assert [each["name"] for each in planned.entries] == ["b", "gh", "a", "stray"]
    assert planned.entries[1] == GITHUB
    assert planned.entries[3] == stray


@pytest.mark.parametrize(
    ("secret_state", "kept"),
    [
        pytest.param(UNKNOWN, True, id="not read yet: kept"),
        pytest.param(REFUSED, True, id="may not be read: kept"),
        pytest.param(MISSING, False, id="missing: lost"),
        pytest.param(SecretState(True, secret(("p", "s"), b"")), False, id="empty: lost"),
    ],
)
def test_what_happens_to_an_entry(secret_state: SecretState, kept: bool) -> None:
    """A receiver whose Secret is not known keeps its entry; one known to be bad loses it."""
    old = entry("p", "az", b"whatever it was")
    given = config(azure("az"), entries=[GITHUB, old])
    planned = plan(given, states(given, secret_state), BASE)
    assert planned.entries == ([old, GITHUB] if kept else [GITHUB])


@pytest.mark.parametrize(
    ("left", "removed"),
    [
        pytest.param(entry("p", "old"), True, id="an Azure receiver's, by its path"),
        pytest.param({"name": "az", "path": "/odd"}, True, id="of an Azure receiver's name, another path"),
        pytest.param({"name": "old", "path": "/azure/short"}, False, id="another path"),
        pytest.param({"name": "old"}, False, id="no path"),
        pytest.param({"name": "old", "path": 7}, False, id="path is a number"),
        pytest.param({"path": "/x"}, False, id="no name"),
        pytest.param({"name": ["old"], "path": "/x"}, False, id="name is a list"),
    ],
)
def test_whose_an_entry_is(left: dict[str, Any], removed: bool) -> None:
    """Ours by name or by path, and removed when its receiver is; others' stay."""
    given = config(azure("az"), entries=[left])
    planned = plan(given, states(given, MISSING), BASE)
    assert planned.entries == ([] if removed else [left])


def test_fields_that_others_add_to_our_entry_stay() -> None:
    """An entry that says what it should is kept as it is, not stripped of what we don't know."""
    richer = {**entry("p", "az"), "since": "yesterday"}
    given = config(azure("az"), entries=[richer])
    assert not entries_differ(given, plan(given, states(given, SERVED), BASE))


@given(st.lists(JSON), st.lists(JSON))
def test_any_status_is_planned_for(entries: list[Any], conditions: list[Any]) -> None:
    """Whatever stands in status, ours is planned, and writing the plan ends it."""
    given = config(azure("az"), entries=entries, conditions=conditions)
    planned = plan(given, states(given, SERVED), BASE)
    assert entry("p", "az") in planned.entries
    after = conditions_with(given, planned, "now")
    again = config(azure("az"), entries=planned.entries, conditions=after)
    once_more = plan(again, states(again, SERVED), BASE)
    assert not entries_differ(again, once_more)
    assert not condition_differs(again, once_more)


# --- the condition ---


@pytest.mark.parametrize(
    ("secrets", "status", "reason", "words"),
    [
        pytest.param([SERVED], "True", "ReceiversServed", ['"a" is served'], id="served"),
        pytest.param(
            [MISSING], "False", "SecretMissing", ['"a"', 'Secret "s"', "does not exist"], id="missing"
        ),
        pytest.param([SERVED, MISSING], "False", "SecretMissing", ['"b"'], id="one of two"),
        pytest.param([MISSING, UNKNOWN], "False", "SecretMissing", ['"a"'], id="the other not read yet"),
        pytest.param(
            [MISSING, SecretState(True, secret(("p", "s"), b""))],
            "False",
            "ReceiversFaulty",
            ['"a"', '"b"', "does not exist", "is missing or empty"],
            id="two faults",
        ),
        pytest.param([REFUSED], "False", "", ['Secret "s"', "can't be read"], id="no right"),
        pytest.param(
            [SecretState(True, secret(("p", "s"), b"short"))],
            "True",
            "ReceiversServed",
            ["warning", "shorter than 16 bytes"],
            id="short: served, with a warning",
        ),
        pytest.param(
            [SecretState(True, secret(("p", "s"), username=b"me", password=b"pw"))],
            "True",
            "ReceiversServed",
            ["demands basic authentication"],
            id="second factor is named",
        ),
    ],
)
def test_condition(secrets: list[SecretState], status: str, reason: str, words: list[str]) -> None:
    """True, or False with a message that names each receiver that can't be served and what to fix."""
    given = config(*(azure(name) for name in "ab"[: len(secrets)]))
    planned = plan(given, states(given, *secrets), BASE)
    assert planned.condition is not None
    assert planned.condition[0] == status
    assert not reason or planned.condition[1] == reason
    assert planned.condition[1].isalpha()
    assert all(word in planned.condition[2] for word in words)
    assert LONG.decode() not in planned.condition[2]


def test_nothing_is_said_before_anything_is_known() -> None:
    """While a Secret was not read, and nothing else is wrong, the condition stays as it is."""
    for conditions in (None, [{"type": "AzureReceiversReady", "status": "False", "reason": "X"}]):
        given = config(azure("a"), azure("b"), conditions=conditions)
        assert not condition_differs(given, plan(given, states(given, SERVED, UNKNOWN), BASE))


def test_without_receivers_there_is_no_condition() -> None:
    """A Project without an Azure receiver hears nothing from us; one that had some loses the condition."""
    assert not condition_differs(config(), plan(config(), [], BASE))
    ours, ready = {"type": "AzureReceiversReady", "status": "True"}, {"type": "Ready", "status": "True"}
    left = config(conditions=[ours, ready])
    planned = plan(left, [], BASE)
    assert condition_differs(left, planned)
    assert conditions_with(left, planned, "now") == [ready]


def test_others_conditions_stay() -> None:
    """``Ready`` and ``Reconciling`` are Kargo's, and whatever else is there is somebody's."""
    others = [{"type": "Ready", "status": "False", "x": 1}, {"type": "Reconciling"}, "odd", None]
    given = config(azure("az"), conditions=others)
    after = conditions_with(given, plan(given, states(given, SERVED), BASE), "now")
    assert after[:-1] == others
    assert after[-1]["type"] == "AzureReceiversReady"


@pytest.mark.parametrize(
    ("before", "since"),
    [
        pytest.param(None, "now", id="new"),
        pytest.param({"status": "False", "lastTransitionTime": "then"}, "now", id="status changed"),
        pytest.param({"status": "True", "lastTransitionTime": "then"}, "then", id="message changed"),
        pytest.param({"status": "True"}, "now", id="time missing"),
    ],
)
def test_transition_time(before: dict[str, str] | None, since: str) -> None:
    """It moves with the condition's status only."""
    conditions = [{"type": "AzureReceiversReady", **before}] if before else None
    given = config(azure("az"), conditions=conditions)
    (found,) = conditions_with(given, plan(given, states(given, SERVED), BASE), "now")
    assert found["lastTransitionTime"] == since


def test_a_message_fits() -> None:
    """However many receivers are faulty, the API server takes the message."""
    given = config(*(azure("r" * 240 + f"-{number}") for number in range(2_000)))
    planned = plan(given, states(given, *[MISSING] * 200), BASE)
    assert planned.condition is not None
    assert len(planned.condition[2]) == 32_768
    assert "only the first 200 Azure receivers in spec are served, 1800 more are not" in planned.condition[2]


def test_receivers_beyond_the_bound_are_reported() -> None:
    """The first 200 are published, the others' number stands in the condition."""
    given = config(*(azure(f"r-{number}") for number in range(201)))
    planned = plan(given, states(given, *[SERVED] * 200), BASE)
    assert len(planned.entries) == 200
    assert planned.condition is not None
    assert planned.condition[:2] == ("False", "TooManyReceivers")
    assert planned.condition[2].endswith("are served, 1 more are not")


def test_observed_generation() -> None:
    """As in Kargo's conditions: ``kubectl wait`` takes an older one for none. It alone is a difference."""
    given = msgspec.structs.replace(config(azure("az")), generation=7)
    planned = plan(given, states(given, SERVED), BASE)
    (found,) = conditions_with(given, planned, "now")
    assert found["observedGeneration"] == 7
    written = config(azure("az"), entries=planned.entries, conditions=[found])
    same, newer = (msgspec.structs.replace(written, generation=number) for number in (7, 8))
    assert not condition_differs(same, plan(same, states(same, SERVED), BASE))
    assert condition_differs(newer, plan(newer, states(newer, SERVED), BASE))
