"""Limits: how they fit together."""

import resource
from pathlib import Path

import pytest

from tests.support.bounds import table
from webhook.limits import MIB, Limits, share
from webhook.payloads.event_grid import MOST_EVENTS


def test_defaults_fit_together() -> None:
    """The limits allow what they are meant to allow."""
    limits = Limits()
    assert limits.body == 2 * MIB
    assert share(share(limits.body_bytes)) >= 8 * limits.body, "a handful of the longest bodies fit at once"
    assert limits.body_bytes - share(limits.body_bytes) >= 4 * limits.body, "a Project leaves room for others"
    assert limits.requests < limits.connections, "a 503 comes before a closed door"
    assert limits.discard > limits.body


def test_connections_leave_file_descriptors_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may open few files still has half of them for watches and patches."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert Limits().open_connections == 512
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert Limits().open_connections == Limits().connections


def test_the_documentation_shows_the_table() -> None:
    """docs/security.md has a row for each bound, with the numbers of the code, all of them and no others."""
    page = (Path(__file__).parents[2] / "docs/security.md").read_text("utf-8")
    section = page.partition("## What is bounded")[2].partition("\n## ")[0]
    shown = [line for line in section.splitlines() if line.startswith("| ")]
    assert shown[1:] == [f"| {' | '.join(bound)} |" for bound in table(Limits())]
    assert f"more than {MOST_EVENTS:,} events" in section
