"""Another controller that writes the same status: the two agree, or it is told once and left."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.publishing import BASE, Publishing, azure, entry

READY = {"type": "Ready", "status": "True"}
RECONCILING = {"type": "Reconciling", "status": "True"}


class Kargo:
    """Kargo's management controller: rewrites the whole list from spec, and its own conditions around it."""

    def __init__(self, site: Publishing, base: str = BASE) -> None:
        self.site = site
        self.base = base
        self.stale: list[Any] | None = None
        """Conditions that it read before, and writes back."""

    def write(self) -> None:
        """Reconcile once."""
        before = self.site.stored("p")
        conditions = self.stale if self.stale is not None else before.get("conditions", [])
        others = [each for each in conditions if each["type"] not in ("Ready", "Reconciling")]
        path = entry("p", "az")["path"]
        wanted = {"name": "az", "path": path, "url": self.base.removesuffix("/webhooks") + path}
        status = {**before, "webhookReceivers": [wanted], "conditions": [READY, *others]}
        if status != before:
            self.site.write("p", {**status, "conditions": [RECONCILING, *others]})
            self.site.write("p", status)


async def test_equal_values_cause_no_writes() -> None:
    """With Kargo computing the same, every five minutes: nobody writes after the first time."""
    async with Publishing() as site:
        kargo = Kargo(site)
        site.secret("p")
        site.config("p", azure("az"))
        kargo.write()
        await site.run()
        writes = len(site.writes())
        assert writes <= 1  # our condition
        for _ in range(12):
            kargo.write()
            await site.run(300.0, step=60.0)
        assert len(site.writes()) == writes
        assert READY in site.stored("p")["conditions"]
        assert site.condition("p") is not None
        assert not site.writes_counted["disputed"]


async def test_other_values_are_told_once() -> None:
    """Another base URL in Kargo's settings: one write of ours at most, one line, one Event, one count."""
    async with Publishing() as site:
        kargo = Kargo(site, "https://other.example.com/webhooks")
        site.secret("p")
        site.config("p", azure("az"))
        with capture_logs() as lines:
            await site.run()
            for _ in range(12):
                kargo.write()
                await site.run(300.0, step=60.0)
        assert site.entries("p")[0]["url"].startswith("https://other.example.com/")
        assert len([each for each in site.writes() if "webhookReceivers" in each.body["status"]]) == 1
        assert site.writes_counted["disputed"] == 1
        assert [line["event"] for line in lines].count("status_disputed") == 1
        assert site.reasons().count("StatusDisputed") == 1
        assert len(site.writes()) < 5


async def test_a_dispute_ends_when_the_other_agrees() -> None:
    """And is told anew if it begins anew."""
    async with Publishing() as site:
        kargo = Kargo(site, "https://other.example.com/webhooks")
        site.secret("p")
        site.config("p", azure("az"))
        await site.run()
        kargo.write()
        await site.run()
        assert site.writes_counted["disputed"] == 1
        kargo.base = BASE
        kargo.write()
        await site.run()
        assert site.entries("p") == [entry("p", "az")]
        kargo.base = "https://third.example.com/webhooks"
        kargo.write()
        await site.run()
        assert site.writes_counted["disputed"] == 2


async def test_a_rotation_during_a_dispute_is_written() -> None:
    """A new value is no longer the disputed one."""
    async with Publishing() as site:
        kargo = Kargo(site, "https://other.example.com/webhooks")
        site.secret("p")
        site.config("p", azure("az"))
        await site.run()
        kargo.write()
        await site.run()
        site.secret("p", value=b"another-secret-of-some-length")
        await site.run()
        assert site.entries("p") == [entry("p", "az", b"another-secret-of-some-length")]


async def test_a_condition_erased_by_accident_comes_back() -> None:
    """Kargo replaces the conditions with what it read before ours was there: ours is written again."""
    async with Publishing() as site:
        kargo = Kargo(site)
        site.secret("p")
        site.config("p", azure("az"))
        await site.run()
        assert site.condition("p") is not None
        kargo.stale = []
        kargo.write()
        assert site.condition("p") is None
        await site.run()
        assert site.condition("p") is not None
        assert not site.writes_counted["disputed"]


async def test_a_condition_erased_again_and_again_is_left() -> None:
    """Whoever does so wants it gone: it is told once, and there is no fight."""
    async with Publishing() as site:
        kargo = Kargo(site)
        site.secret("p")
        site.config("p", azure("az"))
        await site.run()
        kargo.stale = []
        for _ in range(20):
            kargo.write()
            await site.run(60.0, step=20.0)
        assert site.condition("p") is None
        assert len(site.writes()) <= 4
        assert site.writes_counted["disputed"] == 1


@pytest.mark.parametrize("rotate", [False, True], ids=["left alone", "and the Secret rotates"])
async def test_a_condition_that_another_changes_is_told_once(rotate: bool) -> None:
    """Somebody insists on another message: no fight, and no Event about a condition that was not written."""
    async with Publishing() as site:
        site.secret("p")
        site.config("p", azure("az"))
        await site.run()
        for number in range(5):
            stored = site.stored("p")
            (ours,) = stored["conditions"]
            site.write("p", {**stored, "conditions": [{**ours, "message": "mine"}]})
            if rotate:
                site.secret("p", value=b"another-secret-of-some-length-%d" % number)
            await site.run(60.0, step=20.0)
        condition = site.condition("p")
        assert condition is not None
        assert condition["message"] == "mine"
        assert site.writes_counted["disputed"] == 1
        assert site.reasons() == ["ReceiversServed", "StatusDisputed"]
