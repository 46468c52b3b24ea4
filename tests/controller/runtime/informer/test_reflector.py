"""The list/watch state machine alone: no network, no clock."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.runtime.informer.reflector import (
    Absent,
    Advanced,
    Failure,
    Instruction,
    ListFailed,
    Listing,
    ListPage,
    OpenWatch,
    Page,
    Pause,
    Paused,
    Publish,
    PublishEmpty,
    Resumed,
    State,
    Stimulus,
    Wait,
    WatchEnded,
    Watching,
    begin,
    step,
)

LIST = ListPage("", 500)
BACKOFF = Wait(Pause.BACKOFF)


def play(*stimuli: Stimulus, state: State | None = None) -> tuple[State, list[tuple[Instruction, ...]]]:
    """Feed stimuli from the start, or from ``state``; return where that leads and all instructions."""
    done = []
    if state is None:
        state, instructions = begin()
        done.append(instructions)
    for stimulus in stimuli:
        state, instructions = step(state, stimulus)
        done.append(instructions)
    return state, done


def ended(failure: Failure | None, lived: float = 5.0, retry_after: float | None = None) -> WatchEnded:
    return WatchEnded(lived, failure, retry_after)


def test_row_04_always_lists_first() -> None:
    """The way from the start to a watch leads through a list, whose version the watch has."""
    state, done = play(Resumed(), Page("", "7"))
    assert done == [(Wait(Pause.START),), (LIST,), (Publish(), OpenWatch("7"))]
    assert state == Watching("7")


def test_row_08_publishes_the_complete_list_only() -> None:
    """Pages are asked for by token; only the last publishes, and the watch starts at the list's version."""
    _, done = play(Resumed(), Page("t1", "7"), Page("t2", "7"), Page("", "7"))
    assert done[1:] == [(LIST,), (ListPage("t1", 500),), (ListPage("t2", 500),), (Publish(), OpenWatch("7"))]


def test_row_02_the_version_advances_with_what_was_applied() -> None:
    """After a broken connection the watch goes on from the last version applied, not from the list's."""
    _, done = play(ended(Failure.RETRY), Resumed(), state=play(Advanced("8"), state=Watching("7"))[0])
    assert done == [(BACKOFF,), (OpenWatch("8"),)]


def test_row_03_a_bookmark_only_advances_the_version() -> None:
    """A bookmark moves the version and asks for nothing."""
    state, done = play(Advanced("9", event=False), state=Watching("7"))
    assert done == [()]
    assert state == Watching("9", advanced=True)


def test_row_06_expired_lists_at_once_once_then_backs_off() -> None:
    """The first expiry is answered by a list at once; another one without progress between by backing off."""
    state, done = play(ended(Failure.EXPIRED), Page("", "9"), state=Watching("7"))
    assert done == [(LIST,), (Publish(), OpenWatch("9"))]
    state, done = play(ended(Failure.EXPIRED, lived=0.1), state=state)
    assert done == [(BACKOFF,)]
    state, done = play(Resumed(), Page("", "11"), ended(Failure.EXPIRED, lived=0.1), state=state)
    assert done[-1] == (BACKOFF,)


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
    _, done = play(*stimuli, state=Watching("9", expired=True))
    assert done[-1] == ((LIST,) if at_once else (BACKOFF,))


def test_row_09_an_expired_token_starts_the_pages_again() -> None:
    """A token that is too old leads to the first page, paged as before, once at once and then backing off."""
    listing = Listing(token="t2", version="7")
    state, done = play(ListFailed(Failure.EXPIRED), state=listing)
    assert done == [(LIST,)]
    state, done = play(Page("t1", "8"), ListFailed(Failure.EXPIRED), Resumed(), state=state)
    assert done == [(ListPage("t1", 500),), (BACKOFF,), (LIST,)]


def test_a_failed_page_is_asked_for_again_with_its_token() -> None:
    """A hiccup in the middle of a long list does not start it again."""
    _, done = play(
        ListFailed(Failure.RETRY, 3.0), Resumed(), Page("", "9"), state=Listing(token="t2", version="7")
    )
    assert done == [(Wait(Pause.BACKOFF, 3.0),), (ListPage("t2", 500),), (Publish(), OpenWatch("7"))]


def test_a_page_too_large_is_asked_for_in_halves() -> None:
    """Objects so big that a page is beyond the limit come in smaller pages; one alone backs off."""
    state: State = Listing(token="t1")
    limits = []
    for _ in range(8):
        state, done = play(ListFailed(Failure.TOO_LARGE), state=state)
        assert isinstance(done[0][0], ListPage)
        limits.append(done[0][0].limit)
    assert limits == [250, 125, 62, 31, 15, 7, 3, 1]
    assert play(ListFailed(Failure.TOO_LARGE), state=state)[1] == [(BACKOFF,)]


@pytest.mark.parametrize("retry_after", [None, 7.0])
def test_row_16_a_throttled_watch_goes_on_from_its_version(retry_after: float | None) -> None:
    """429 or a refused connection: wait as asked, then watch from the same version; no list."""
    _, done = play(ended(Failure.RETRY, 0.0, retry_after), Resumed(), state=Watching("7"))
    assert done == [(Wait(Pause.BACKOFF, retry_after),), (OpenWatch("7"),)]


@pytest.mark.parametrize(
    ("end", "events", "then"),
    [
        pytest.param(ended(None, 0.9), False, BACKOFF, id="short and empty"),
        pytest.param(ended(None, 1.0), False, OpenWatch("7"), id="long enough"),
        pytest.param(ended(None, 0.1), True, OpenWatch("7"), id="short with an event"),
        pytest.param(ended(None, 300.0), False, OpenWatch("7"), id="the server's timeout"),
        pytest.param(ended(Failure.IDLE, 120.0), False, OpenWatch("7"), id="idle"),
    ],
)
def test_row_17_a_watch_that_ends_at_once_is_a_failure(
    end: WatchEnded, events: bool, then: Instruction
) -> None:
    """No hot loop on a server that hangs up; no delay after a clean end."""
    assert play(end, state=Watching("7", events=events))[1] == [(then,)]


def test_row_17_bookmarks_do_not_excuse_a_hot_loop() -> None:
    """A server that sends a bookmark and hangs up each time is waited for, too."""
    _, done = play(Advanced("8", event=False), ended(None, 0.1), state=Watching("7"))
    assert done[-1] == (BACKOFF,)


def test_a_refused_watch_lists_to_learn_why() -> None:
    """After 403, 404 or 400 the same watch would be refused again: list, after a delay."""
    _, done = play(ended(Failure.REFUSED), Resumed(), state=Watching("7"))
    assert done == [(BACKOFF,), (LIST,)]


def test_absent_is_published_as_empty_and_tried_again() -> None:
    """An absent kind empties the store, then waits for its own delay, then lists."""
    _, done = play(Absent(), Resumed(), state=Listing(token="t"))
    assert done == [(PublishEmpty(), Wait(Pause.ABSENT)), (LIST,)]


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
    st.just(Resumed()),
)


@settings(max_examples=500)
@given(st.lists(STIMULI, max_size=60))
def test_no_history_breaks_the_rules(stimuli: list[Stimulus]) -> None:
    """Whatever happens: a watch has the version of a published list or later, and failures never spin."""
    state, instructions = begin()
    published, attempts = False, 0
    for stimulus in stimuli:
        try:
            state, instructions = step(state, stimulus)
        except ValueError:
            continue  # could not happen in this state
        failed = isinstance(stimulus, ListFailed) and stimulus.failure is not Failure.TOO_LARGE
        failed |= isinstance(stimulus, WatchEnded) and stimulus.lived < 1.0
        attempts = attempts + 1 if failed else 0 if isinstance(stimulus, Resumed | Advanced) else attempts
        for instruction in instructions:
            if isinstance(instruction, Wait):
                attempts = 0
                assert isinstance(state, Paused)
            if isinstance(instruction, Publish):
                published = True
            if isinstance(instruction, OpenWatch):
                assert published
                assert instruction.version
        # Two failures without a wait between: an expiry right after a watch idled or closed at most.
        assert attempts <= 2
