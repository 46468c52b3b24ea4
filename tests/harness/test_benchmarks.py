"""The benchmarks' stand-ins keep up with what they stand for: no test has time for a whole run."""

from tests.benchmarks.unjournaled import NoJournal
from webhook.journal.journal import Journal


def test_no_journal_has_all_that_a_journal_has() -> None:
    """Without a method that the receiver calls, the run with no journal would end there."""
    public = {name for name in vars(Journal) if not name.startswith("_")} - {"open"}  # the stand-in's Opener
    assert public <= set(dir(NoJournal))
