"""What an event would refresh, and why not more: pure functions from the cluster's objects to JSON values."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from controller.cli.command import WRONG_USE, CommandError
from controller.cli.receivers import CLUSTER, Receiver
from controller.kargo.objects import Target, decode_parts, field, items
from controller.kargo.promotion import Promotion
from controller.receivers.state import State
from controller.refreshing.near_misses import WHY, Search, shown
from controller.repositories.keys import event_keys, pull_request_key, subscription_key
from webhook.arrival import Subject
from webhook.payloads.event_types import PullRequest, Push
from webhook.payloads.parse import parse
from webhook.payloads.reading import BadPayload

_REGISTRY = re.compile(r"(?:oci://|https?://)?([^/]+\.azurecr\.[a-z]+(?::\d+)?/.+)", re.IGNORECASE)
_IMAGE = re.compile(r"[^/\s]+[.:][^/\s]+/\S+")
"""It begins with a host; what does not is a Warehouse's name misspelt."""
_SCP = re.compile(r"[\w-]+@[\w.-]+:")


class QuestionError(CommandError):
    """The question can't be understood; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(message, WRONG_USE)


class Subscription(NamedTuple):
    """One subscription of a Warehouse."""

    warehouse: Target
    kind: str
    url: str
    key: str
    selectors: dict[str, Any]
    """Everything else in it, verbatim: Kargo may find nothing new for these."""


class Covering(NamedTuple):
    """One receiver, as far as it decides what an event refreshes."""

    namespace: str
    """``cluster`` for ClusterConfig."""
    receiver: str
    served: bool
    problem: str = ""
    """Why it is not served, or what is wrong although it is."""


class Holdings(NamedTuple):
    """What the cluster holds, as far as the question goes."""

    rows: Sequence[Covering]
    """The receivers."""
    subscriptions: Sequence[Subscription]
    unreadable: Sequence[Target]
    """Warehouses of which not all subscriptions could be read."""
    promotions: Sequence[Promotion] = ()
    """Promotions that wait on a pull request."""


def covering(receiver: Receiver) -> Covering:
    """Return whether a receiver is served. Which base URL its status has does not matter here.

    Where the Secret can't be read, as by most users of a Project, the receiver itself says so in status.
    """
    state, namespace = receiver.state, receiver.config.namespace or CLUSTER
    if state.state is State.PENDING and receiver.published():
        return Covering(namespace, state.name, True, f"going by its status: {state.message}")
    return Covering(namespace, state.name, state.state is State.SERVED, state.message)


def read_warehouses(raw: Iterable[bytes | msgspec.Raw]) -> tuple[list[Subscription], list[Target]]:
    """Return all subscriptions, and the Warehouses of which not all could be read."""
    found, unreadable = [], []
    for item in raw:
        parts = decode_parts(item)
        target = Target("Warehouse", parts.metadata.namespace, parts.metadata.name)
        subscriptions = items(parts.spec, "subscriptions")
        odd = not isinstance(field(parts.spec, "subscriptions"), list | None)
        for kind in ("git", "image", "chart"):
            for fields in (field(each, kind) for each in subscriptions):
                url = field(fields, "repoURL")
                if isinstance(url, str) and url:
                    selectors = {name: value for name, value in fields.items() if name != "repoURL"}
                    found.append(Subscription(target, kind, url, subscription_key(kind, url), selectors))
                elif fields is not None:
                    odd = True
        if odd:
            unreadable.append(target)
    return found, unreadable


def read_question(question: str | bytes) -> tuple[dict[str, Any], Sequence[Subject]]:
    """Return how a URL or a payload is read, and the repositories or pull requests it is about.

    Raises QuestionError. Nothing of a payload is in either but the type of event and the URLs.
    """
    source, name = "", ""
    if isinstance(question, str):
        subjects: Sequence[Subject] = (_subject(question.strip()),)
    else:
        try:
            event = parse("application/json", None, question)
        except BadPayload as error:
            raise QuestionError(f"the payload is refused: {error}") from None
        source, name = event.source, event.type
        subjects = event.subjects if isinstance(event, Push | PullRequest) else ()
    about = [
        {
            "kind": each.kind,
            "url": shown(each.url),
            "compared_as": [shown(key) for key in _keys(each)],
        }
        for each in subjects
    ]
    return {"source": source, "type": name, "about": about}, subjects


def explain(question: str | bytes, held: Holdings) -> dict[str, Any]:
    """Return what an event would refresh, through which receivers, and what it nearly matches.

    Raises QuestionError.
    """
    event, subjects = read_question(question)
    served = [row for row in held.rows if row.served]

    def covers(namespace: str) -> bool:
        return any(_covers(row, namespace) for row in served)

    refreshed: list[dict[str, Any]] = []
    near_misses: list[dict[str, Any]] = []
    for subject in subjects:
        keys = _keys(subject)
        if subject.kind == "pull_request":
            waiting = [each for each in held.promotions if keys[0] in each.keys and covers(each.namespace)]
            refreshed += [_named(each.target) for each in waiting]
            continue
        search = Search(subject.kind, subject.url, covers)
        for each in held.subscriptions:
            search.consider(each.key, [each.warehouse])
            if each.key in keys and covers(each.warehouse.namespace):
                refreshed.append(_subscribed(each))
        search.unreadable(held.unreadable)
        near_misses += [
            {**_named(miss.target), "compared_as": shown(miss.key), "why": WHY[miss.kind]}
            for miss in search.best()
        ]
    receivers = []
    for row in held.rows:
        reached = {(each["namespace"], each["name"]) for each in refreshed if _covers(row, each["namespace"])}
        receivers.append({**_receiver(row), "refreshes": len(reached) if row.served else 0})
    return {
        "event": event,
        "receivers": receivers,
        "refreshed": refreshed,
        "near_misses": near_misses,
        "matches": bool(refreshed),
    }


def explain_warehouse(name: str, namespace: str | None, held: Holdings) -> dict[str, Any] | None:
    """Return which events reach the Warehouse of this name, through which receivers; None if there is none.

    ``name`` is ``PROJECT/NAME``, or the name alone where ``namespace`` is given.
    """
    wanted = {(namespace or "", name), tuple(name.split("/", 1))}
    found = [each for each in held.subscriptions if each.warehouse[1:] in wanted]
    target = next(
        (each for each in (*(each.warehouse for each in found), *held.unreadable) if each[1:] in wanted), None
    )
    if target is None:
        return None
    covers = [row for row in held.rows if _covers(row, target.namespace)]
    return {
        "warehouse": _named(target),
        "readable": target not in held.unreadable,
        "receivers": [_receiver(row) for row in covers],
        "reached_by": [{**_subscribed(each), "compared_as": shown(each.key)} for each in found],
        "matches": bool(found) and any(row.served for row in covers),
    }


def lines(report: Mapping[str, Any]) -> list[str]:
    """Return a report as printable lines."""
    event = report.get("event")
    out = []
    if event is not None:
        for about in event["about"]:
            out += [
                f"{about['kind']} {about['url']}",
                *(f"  compared as {key}" for key in about["compared_as"]),
            ]
        if not out:
            out.append(f"{event['type']} ({event['source']}): nothing to refresh")
    else:
        out.append("Warehouse {namespace}/{name}".format(**report["warehouse"]))
        if not report["readable"]:
            out.append("some of its subscriptions can't be read")
    nobody = "none: no Azure receiver in the Project's ProjectConfig, nor in ClusterConfig"
    sections: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
        "receivers": ("Receivers", _receiver_line),
        "reached_by": ("Reached by events of", _reaching_line),
        "refreshed": ("Would be refreshed", _line),
        "near_misses": ("Near misses", _line),
    }
    for key, (title, line) in sections.items():
        if key in report:
            out += ["", title, *(f"  {line(each)}" for each in report[key] or ())]
            if not report[key]:
                out.append(f"  {nobody if key == 'receivers' else 'none'}")
    return ["".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in line) for line in out]


def _subject(url: str) -> Subject:
    image = _REGISTRY.fullmatch(url)
    if "/pullrequest/" in url.lower():
        return Subject("pull_request", url)
    if image is not None:
        return Subject("image", image[1])
    if "://" in url or _SCP.match(url):
        return Subject("git", url)
    if _IMAGE.fullmatch(url):
        return Subject("image", url)
    raise QuestionError(
        "this is neither a repository's URL nor the name of a Warehouse that is there "
        "(PROJECT/NAME, or NAME with -n)"
    )


def _keys(subject: Subject) -> tuple[str, ...]:
    if subject.kind == "pull_request":
        return (pull_request_key(subject.url),)
    return event_keys(subject.kind, subject.url)


def _covers(row: Covering, namespace: str) -> bool:
    return row.namespace in ("cluster", namespace)


def _named(target: Target) -> dict[str, Any]:
    return {"namespace": target.namespace, "name": target.name}


def _subscribed(each: Subscription) -> dict[str, Any]:
    return {**_named(each.warehouse), "kind": each.kind, "url": shown(each.url), "selectors": each.selectors}


def _receiver(row: Covering) -> dict[str, Any]:
    return {"receiver": f"{row.namespace}/{row.receiver}", "served": row.served, "problem": row.problem}


def _receiver_line(each: Mapping[str, Any]) -> str:
    if not each["served"]:
        return f"{each['receiver']}: not served: {each['problem']}"
    refreshes = f", refreshes {each['refreshes']}" if "refreshes" in each else ""
    return f"{each['receiver']}: served{refreshes}" + (f" ({each['problem']})" if each["problem"] else "")


def _reaching_line(each: Mapping[str, Any]) -> str:
    many = each["compared_as"].startswith(("ado ", "azure ")) and each["kind"] == "git"
    return _line(each) + (f" (and every other URL of {each['compared_as']})" if many else "")


def _line(each: Mapping[str, Any]) -> str:
    parts = [
        f"{each['namespace']}/{each['name']}",
        each.get("kind", ""),
        each.get("url", each.get("compared_as", "")),
    ]
    if each.get("selectors"):
        parts.append(f"if new for {json.dumps(each['selectors'])}")
    if "why" in each:
        parts.append(f"({each['why']})")
    return " ".join(part for part in parts if part)
