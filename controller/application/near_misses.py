"""Gives the webhook the near misses of what matched nothing, in words."""

from collections.abc import Sequence

from controller.refreshing.near_miss_scan import NearMissScan
from controller.refreshing.near_misses import WHY, Kind, shown
from webhook.arrival import Subject
from webhook.outcome import NearMiss, NearMisses

_WHY = {**WHY, Kind.OUT_OF_SCOPE: "the same repository, in a Project that this receiver does not cover"}


class NearMissesInWords:
    """Satisfies ``webhook.ports.NearMissFinder``."""

    def __init__(self, scan: NearMissScan) -> None:
        self._scan = scan

    async def find(self, receiver: str, subjects: Sequence[Subject]) -> NearMisses | None:
        """Return the near misses of an event that matched nothing; None if it is about no repository."""
        found = await self._scan.scan(receiver, subjects)
        if found is None:
            return None
        return NearMisses(
            tuple(
                NearMiss(f"{miss.target.namespace}/{miss.target.name}", shown(miss.key), _WHY[miss.kind])
                for miss in found.near_misses
            ),
            found.note,
        )
