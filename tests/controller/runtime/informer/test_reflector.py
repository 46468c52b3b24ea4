"""The list/watch state machine alone: no network, no clock."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.runtime.informer.reflector import (
    Absent,
    Advanced,
    Failure,
    ListFailed,
    Listing,
    Page,
    Pause,
    State,
    Step,
    Stimulus,
    Wait,
    WatchEnded,
    Watching,
    step,
)

BACKOFF = Wait(Pause.BACKOFF)


def play(state: State, *stimuli: Stimulus) -> list[Step]:
    """Feed stimuli from ``state`` on; return each state that follows, with the wait before it."""
    steps = []
    for stimulus in stimuli:
        state, wait = step(state, stimulus)
        steps.append((state, wait))
    return steps


def ended(failure: Failure | None, lived: float = 5.0, retry_after: float | None = None) -> WatchEnded:
    return WatchEnded(lived, failure, retry_after)


def test_row_04_always_lists_first() -> None:
    """The way from the start to a watch leads through a list, whose version the watch has."""
    assert play(Listing(), Page("", "7")) == [(Watching("7"), None)]
    with pytest.raises(ValueError, match="in Listing"):
        step(Listing(), WatchEnded(1.0))


def test_row_08_only_a_complete_list_leads_to_a_watch() -> None:
    """Pages are asked for by token; the watch starts at the version of the first."""
    assert play(Listing(), Page("t1", "7"), Page("t2", "8"), Page("", "9")) == [
        (Listing("t1", "7"), None),
        (Listing("t2", "7"), None),
        (Watching("7"), None),
    ]


def test_row_02_the_version_advances_with_what_was_applied() -> None:
    """After a broken connection the watch goes on from the last version applied, not from the list's."""
    assert play(Watching("7"), Advanced("8"), ended(Failure.RETRY))[-1] == (Watching("8"), BACKOFF)


def test_row_03_a_bookmark_only_advances_the_version() -> None:
    """A bookmark moves the version and asks for nothing."""
    assert play(Watching("7"), Advanced("9", event=False)) == [(Watching("9", advanced=True), None)]


def test_row_06_expired_lists_at_once_once_then_backs_off() -> None:
    """The first expiry is answered by a list at once; another one without progress between by backing off."""
    again: list[Stimulus] = [Page("", "9"), ended(Failure.EXPIRED, lived=0.1)]
    steps = play(Watching("7"), ended(Failure.EXPIRED), *again, *again)
    assert steps == [
        (Listing(expired=True), None),
        (Watching("9", expired=True), None),
        (Listing(expired=True), BACKOFF),
        (Watching("9", expired=True), None),
        (Listing(expired=True), BACKOFF),
    ]


@pytest.mark.parametrize(
    ("stimuli", "at_once"),
    [
        pytest.param([Advanced("10"), ended(Failure.EXPIRED)], True, id="an event"),
        pytest.param([Advanced("10", event=False), ended(Failure.EXPIRED)], True, id="a bookmark"),
        pytest.param([ended(None), ended(Failure.EXPIRED)], True, id="a clean end"),
        pytest.param([Advanced("10"), ended(Failure.EXPIRED, lived=0.1)], False, id="an event, but no life"),
        pytest.param([ended(Failure.EXPIRED)], False, id="nothing"),
        pytest.param([Advanced("9"), ended(Failure.EXPIRED)], False, id="the same version again"),
    ],
)
def test_row_06_progress_makes_the_next_expiry_a_first_one(stimuli: list[Stimulus], at_once: bool) -> None:
    """Only a watch that got somewhere earns another list at once."""
    steps = play(Watching("9", expired=True), *stimuli)
    assert steps[-1] == (Listing(expired=True), None if at_once else BACKOFF)


def test_row_09_an_expired_token_starts_the_pages_again() -> None:
    """A token that is too old leads to the first page, paged as before, once at once and then backing off."""
    expired = ListFailed(Failure.EXPIRED)
    assert play(Listing("t2", "7"), expired, Page("t1", "8"), expired) == [
        (Listing(expired=True), None),
        (Listing("t1", "8", expired=True), None),
        (Listing(expired=True), BACKOFF),
    ]


def test_a_failed_page_is_asked_for_again_with_its_token() -> None:
    """A hiccup in the middle of a long list does not start it again."""
    listing = Listing("t2", "7")
    assert play(listing, ListFailed(Failure.RETRY, 3.0)) == [(listing, Wait(Pause.BACKOFF, 3.0))]


def test_a_page_too_large_is_asked_for_in_quarters() -> None:
    """Objects so big that a page is beyond the limit come in smaller pages; one alone backs off."""
    steps = play(Listing("t1", "7"), *[ListFailed(Failure.TOO_LARGE)] * 6)
    assert [state.limit for state, _ in steps if isinstance(state, Listing)] == [125, 31, 7, 1, 1, 1]
    assert [wait for _, wait in steps] == [None] * 4 + [BACKOFF] * 2
    assert play(steps[1][0], Page("t2", "7")) == [(Listing("t2", "7", 31), None)]


@pytest.mark.parametrize("retry_after", [None, 7.0])
def test_row_16_a_throttled_watch_goes_on_from_its_version(retry_after: float | None) -> None:
    """429 or a refused connection: wait as asked, then watch from the same version; no list."""
    steps = play(Watching("7"), ended(Failure.RETRY, 0.0, retry_after))
    assert steps == [(Watching("7"), Wait(Pause.BACKOFF, retry_after))]


@pytest.mark.parametrize(
    ("end", "events", "wait"),
    [
        pytest.param(ended(None, 0.9), False, BACKOFF, id="short and empty"),
        pytest.param(ended(None, 1.0), False, None, id="long enough"),
        pytest.param(ended(None, 0.1), True, None, id="short with an event"),
        pytest.param(ended(None, 300.0), False, None, id="the server's timeout"),
        pytest.param(ended(Failure.IDLE, 120.0), False, None, id="idle"),
    ],
)
def test_row_17_a_watch_that_ends_at_once_is_a_failure(
    end: WatchEnded, events: bool, wait: Wait | None
) -> None:
    """No hot loop on a server that hangs up; no delay after a clean end."""
    assert play(Watching("7", events=events), end) == [(Watching("7"), wait)]


def test_row_17_bookmarks_do_not_excuse_a_hot_loop() -> None:
    """A server that sends a bookmark and hangs up each time is waited for, too."""
    assert play(Watching("7"), Advanced("8", event=False), ended(None, 0.1))[-1] == (Watching("8"), BACKOFF)


def test_a_refused_watch_lists_to_learn_why() -> None:
    """After 403, 404 or 400 the same watch would be refused again: list, after a delay."""
    assert play(Watching("7"), ended(Failure.REFUSED)) == [(Listing(), BACKOFF)]


def test_absent_is_tried_again() -> None:
    """An absent kind is listed from the start, after its own delay."""
    assert play(Listing("t"), Absent()) == [(Listing(), Wait(Pause.ABSENT))]


def test_what_cannot_happen_is_an_error() -> None:
    """A stimulus that does not fit its state is a bug, and is not passed over."""
    with pytest.raises(ValueError, match="in Watching"):
        step(Watching("7"), Page("", "8"))


STIMULI = st.one_of(
    st.builds(Page, st.sampled_from(["", "", "t"]), st.sampled_from(["1", "2"])),
    st.builds(ListFailed, st.sampled_from(Failure), st.sampled_from([None, 0.0, 3.0])),
    st.just(Absent()),
    st.builds(Advanced, st.sampled_from(["1", "2", "3"]), st.booleans()),
    st.builds(WatchEnded, st.sampled_from([0.0, 5.0]), st.sampled_from([None, *Failure]), st.none()),
)


@settings(max_examples=500)
@given(st.lists(STIMULI, max_size=60))
def test_no_history_breaks_the_rules(stimuli: list[Stimulus]) -> None:
    """Whatever happens: a watch has the version of a published list or later, and failures never spin."""
    state: State = Listing()
    listed, attempts = False, 0
    for stimulus in stimuli:
        try:
            state, wait = step(state, stimulus)
        except ValueError:
            continue  # could not happen in this state
        failed = isinstance(stimulus, ListFailed) and stimulus.failure is not Failure.TOO_LARGE
        failed |= isinstance(stimulus, WatchEnded) and stimulus.lived < 1.0
        listed |= stimulus == Page("", getattr(stimulus, "version", ""))
        attempts = attempts + 1 if failed else 0 if isinstance(stimulus, Advanced) else attempts
        if wait is not None:
            attempts = 0
        if isinstance(state, Watching):
            assert listed
            assert state.version
        # Two failures without a wait between: an expiry right after a watch idled or closed at most.
        assert attempts <= 2
