"""The demonstration fails by itself where an event does not do what it must: it never shows a lie."""

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.controlplane import ControlPlaneError
from e2e.demo.script import GUARDED, OPEN, Event, chapters
from e2e.demo.showing import Stage
from e2e.receiver import Answer

GOOD = {"msg": "refreshed 1 warehouse(s)"}
EVENT = Event("push", {"action": "push"}, {}, GOOD, frozenset({"app"}), answer_headers={"X-Kind": "good"})


class Cluster:
    """A Project whose objects are refreshed as scripted, a step with each look at the Warehouses."""

    def __init__(self, *steps: str) -> None:
        self._steps = iter(["", *steps])
        self._values: dict[str, str | None] = {"app": None, "other": None}

    def refreshes(self, plural: str = "warehouses") -> dict[str, str | None]:
        if plural != "warehouses":
            return {}
        for name in next(self._steps, "").split():
            self._values[name] = f"{self._values[name]}+"
        return dict(self._values)


class Receiver:
    """A receiver that answers always the same."""

    base_url = "http://x"

    def __init__(self, status: int, text: str, headers: dict[str, str]) -> None:
        self.answer = Answer(status, headers, text, 0.001)
        self.asked: list[Any] = []

    def post(self, path: str, body: object, headers: object) -> Answer:
        self.asked.append((path, body, headers))
        return self.answer


def show(
    cluster: Cluster, status: int = 200, text: str = '{"msg":"refreshed 1 warehouse(s)"}', kind: str = "good"
) -> list[str]:
    said: list[str] = []
    receiver: Any = Receiver(status, text, {"x-kind": kind})
    project: Any = cluster
    Stage(project, receiver, {OPEN: "http://x/azure/1"}, said.append).show({"Chapter": [EVENT]})
    assert receiver.asked == [("/azure/1", EVENT.body, {})]
    return said


def test_what_is_right_is_shown() -> None:
    """One event is its title with the answer's status and time, the answer, and what changed."""
    lines = show(Cluster("app"))
    assert lines[:2] == ["", "Chapter"]
    assert lines[2].split() == ["push", "200", "1", "ms"]
    assert [line.strip() for line in lines[3:]] == [
        '{"msg":"refreshed 1 warehouse(s)"}',
        "X-Kind: good",
        "Warehouse app  None+",
    ]


@pytest.mark.parametrize(
    ("steps", "answer", "message"),
    [
        pytest.param(["app"], {"status": 202}, "must be answered with 200", id="status"),
        pytest.param(["app"], {"text": '{"msg":"refreshed 0"}'}, "must be answered with 200", id="text"),
        pytest.param(["app"], {"kind": "bad"}, "must be answered with .*X-Kind", id="header"),
        pytest.param([""], {}, "must refresh app, and nothing else", id="nothing-refreshed"),
        pytest.param(["other"], {}, "must refresh app, and nothing else", id="another-refreshed"),
        pytest.param(["app other"], {}, "must refresh app, and nothing else", id="too-much-refreshed"),
        pytest.param(["app", "other"], {}, "that no event was about", id="refreshed-later"),
    ],
)
def test_what_is_wrong_ends_the_demonstration(steps: list[str], answer: Any, message: str) -> None:
    """A wrong answer, a missing refresh, and a refresh of another object, also a late one, are errors."""
    with pytest.raises(ControlPlaneError, match=message):
        show(Cluster(*steps), **answer)


def every_event() -> Iterator[Event]:
    for events in chapters("pass", "Bearer x").values():
        yield from events


def test_all_of_azures_ways_are_shown() -> None:
    """Each sender, a handshake without a body, and the second factor: missing, basic, and a header."""
    events = list(every_event())
    assert {event.receiver for event in events} == {OPEN, GUARDED}
    assert [event.status for event in events if event.receiver == GUARDED] == [401, 200, 200]
    assert sum(event.body is None for event in events) == 1
    assert len({event.title for event in events}) == len(events)
