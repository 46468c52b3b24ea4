"""Sends the demonstration's events, shows what came of each, and fails if it is not what must come of it."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from e2e.controlplane import ControlPlaneError
from e2e.controlplane.binaries import Say
from e2e.demo.script import Event
from e2e.kargo.project import Project
from e2e.receiver import Answer, ReceiverProcess

_TITLE = 76  # columns; with the answer's status and time a line stays below 100

Refreshes = dict[tuple[str, str], str | None]
"""Refresh annotations by kind and name."""


class Stage:
    """The running receiver, the URLs of its receivers by name, and the sample's objects as last seen."""

    def __init__(
        self, project: Project, receiver: ReceiverProcess, urls: Mapping[str, str], say: Say
    ) -> None:
        self._project = project
        self._receiver = receiver
        self._urls = urls
        self._say = say
        self._seen = self._refreshes()

    def show(self, chapters: Mapping[str, list[Event]]) -> None:
        """Show all events; raises ControlPlaneError for an answer or a refresh that is not the right one."""
        for heading, events in chapters.items():
            self._say("")
            self._say(heading)
            for event in events:
                self._show(event)
        self._check_no_others()

    def show_queued(
        self, title: str, put: Callable[[Any], float], body: Any, refreshes: Collection[str]
    ) -> None:
        """Show an event by queue; ``put`` returns the seconds until it was worked off. Raises as ``show``."""
        seconds = put(body)
        changed = self._changes()
        self._say(f"  {title:<{_TITLE}}      {seconds * 1000:5.0f} ms")
        self._say("    deleted from the queue, as all that it asks for is stored in the API server")
        self._say_changed(changed)
        _check_refreshes(title, changed, refreshes)
        self._check_no_others()

    def _check_no_others(self) -> None:
        if self._refreshes() != self._seen:
            raise ControlPlaneError("objects were refreshed that no event was about")

    def _show(self, event: Event) -> None:
        answer = self._send(event)
        headers = {name: _header(answer, name) for name in event.answer_headers}
        changed = self._changes()
        self._say(f"  {event.title:<{_TITLE}}  {answer.status} {answer.seconds * 1000:5.0f} ms")
        self._say(f"    {answer.text.strip()}")
        for header, text in headers.items():
            self._say(f"    {header}: {text}")
        self._say_changed(changed)
        _check(event, answer, headers)
        _check_refreshes(event.title, changed, event.refreshes)

    def _say_changed(self, changed: Refreshes) -> None:
        width = max((len(name) for _, name in changed), default=0)
        for (kind, name), value in sorted(changed.items()):
            self._say(f"    {kind} {name:<{width}}  {value}")

    def _send(self, event: Event) -> Answer:
        path = self._urls[event.receiver].removeprefix(self._receiver.base_url)
        if event.body is None:
            return self._receiver.request("OPTIONS", path, headers=event.headers)
        return self._receiver.post(path, event.body, event.headers)

    def _changes(self) -> Refreshes:
        """The annotations that changed since the last call; what comes late is counted for the next event."""
        before, self._seen = self._seen, self._refreshes()
        return {key: value for key, value in self._seen.items() if value != before.get(key)}

    def _refreshes(self) -> Refreshes:
        return {
            (kind, name): value
            for kind, plural in (("Warehouse", "warehouses"), ("Promotion", "promotions"))
            for name, value in self._project.refreshes(plural).items()
        }


def _check(event: Event, answer: Answer, headers: Mapping[str, str]) -> None:
    if answer.status != event.status or answer.json != event.answer:
        raise ControlPlaneError(f"“{event.title}” must be answered with {event.status} {event.answer}")
    if headers != event.answer_headers:
        raise ControlPlaneError(f"“{event.title}” must be answered with {dict(event.answer_headers)}")


def _check_refreshes(title: str, changed: Refreshes, refreshes: Collection[str]) -> None:
    if {name for _, name in changed} != set(refreshes):
        wanted = ", ".join(sorted(refreshes)) or "nothing"
        raise ControlPlaneError(f"“{title}” must refresh {wanted}, and nothing else")


def _header(answer: Answer, name: str) -> str:
    return next((value for key, value in answer.headers.items() if key.lower() == name.lower()), "missing")
