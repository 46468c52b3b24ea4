"""How the page shows states: a word and a colour. Texts of functions are HTML, unless they say otherwise."""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from webhook.admin.deliveries import Delivery
from webhook.admin.ports import Pickup
from webhook.admin.text import escape
from webhook.arrival import AGAIN, QUEUE
from webhook.outcome import Outcome
from webhook.payloads.event_types import ACR, AZURE_DEVOPS, EVENT_GRID

GOOD, WAIT, BAD, QUIET = "good", "wait", "bad", "quiet"

_COLOURS = {
    "served": GOOD,
    "pending": WAIT,
    "faulty": BAD,
    Outcome.REFRESHED: GOOD,
    Outcome.PENDING: WAIT,
    Outcome.UNMATCHED: WAIT,
    Outcome.PARTLY_REJECTED: BAD,
    Outcome.REJECTED: BAD,
    Outcome.SUPERSEDED: QUIET,
    Outcome.ANSWERED: QUIET,
    Outcome.REFUSED: BAD,
}
_OUTCOMES = {
    Outcome.REFRESHED: "The API server has stored the refresh of everything that it matched.",
    Outcome.PENDING: "Something that it matched is not refreshed yet; the receiver keeps trying.",
    Outcome.UNMATCHED: "Nothing subscribes to its repository, or waits on its pull request.",
    Outcome.PARTLY_REJECTED: "The API server refused some of the refreshes for good.",
    Outcome.REJECTED: "The API server refused all of the refreshes for good.",
    Outcome.SUPERSEDED: "A later delivery for the same repository took over what was outstanding.",
    Outcome.ANSWERED: "It asks for no refresh: a ping, a handshake, or an event of another type.",
    Outcome.REFUSED: "It was answered with an error.",
}
_SENDERS = {ACR: "ACR", AZURE_DEVOPS: "Azure DevOps", EVENT_GRID: "Event Grid"}
_PICKUPS = {
    Pickup.PICKED_UP: (GOOD, "Kargo has looked"),
    Pickup.WAITING: (WAIT, "waits for Kargo"),
    Pickup.NOT_REFRESHED: (WAIT, "not refreshed since"),
    Pickup.GONE: (QUIET, "is gone"),
    Pickup.UNKNOWN: (QUIET, "not known"),
}


def pill(word: str, colour: str) -> str:
    """Return a word with a coloured dot."""
    return f'<span class="pill {colour}">{escape(word)}</span>'


def state(word: str, problem: str = "") -> str:
    """Return a receiver's state."""
    colour = _COLOURS.get(word, BAD)
    return pill(word, WAIT if problem and colour == GOOD else colour)


def outcome(delivery: Delivery) -> str:
    """Return what became of a delivery."""
    return pill(spaced(delivery.outcome), _COLOURS.get(delivery.outcome, _code_colour(delivery.code)))


def meaning(delivery: Delivery) -> str:
    """Return what became of a delivery as a sentence, or the reason."""
    found = {each.value: said for each, said in _OUTCOMES.items()}.get(delivery.outcome, "")
    return escape(delivery.reason or found)


def answered(what: str, how_many: int) -> str:
    """Return a status with the number of deliveries that were answered with it."""
    colour = _code_colour(int(what)) if what.isdecimal() and len(what) == 3 else QUIET
    return f'<span class="answer {colour}"><b>{how_many:,}</b> &times; {escape(what)}</span>'


def status(code: int) -> str:
    """Return an HTTP status with its phrase."""
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        phrase = ""
    return pill(f"{code} {phrase}".strip(), _code_colour(code))


def pickup(value: Pickup) -> str:
    """Return whether Kargo has picked a Warehouse up since."""
    colour, word = _PICKUPS[value]
    return pill(word, colour)


def sender(source: str) -> str:
    """Return the usual name of a kind of sender, as text."""
    return _SENDERS.get(source, spaced(source))


def event(name: str) -> str:
    """Return a type of event without the namespace of Azure's resource providers, as text."""
    return name.removeprefix("Microsoft.ContainerRegistry.").removeprefix("Microsoft.EventGrid.")


def way(via: str) -> str:
    """Return how something came in where that is not by HTTP, as text."""
    return {QUEUE: "from a queue", AGAIN: "dispatched again"}.get(via, "")


def is_receiver(name: str) -> bool:
    """Return whether a delivery came to a receiver, and not from a queue."""
    return "/" in name and ":" not in name


def asks_for_refresh(delivery: Delivery) -> bool:
    """Return whether something could have matched; not for a ping or a refusal."""
    return delivery.outcome not in (Outcome.ANSWERED, Outcome.REFUSED)


def spaced(word: str) -> str:
    """Return a word without underscores, as text."""
    return word.replace("_", " ")


def _code_colour(code: int) -> str:
    if code < 200:
        return QUIET
    return GOOD if code < 202 else WAIT if code < 400 else BAD


WORDS: Mapping[str, Callable[..., str | bool]] = {
    "pill": pill,
    "state_of": state,
    "outcome_of": outcome,
    "meaning_of": meaning,
    "answered": answered,
    "status_of": status,
    "pickup_of": pickup,
    "sender": sender,
    "event_of": event,
    "way_of": way,
    "asks_for_refresh": asks_for_refresh,
    "is_receiver": is_receiver,
    "spaced": spaced,
}
"""What the templates call."""
