"""A stand-in for an API server's Secrets, with lists and watches that a test refuses, delays or lets hang."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from controller.receivers.state import SecretRef
from controller.runtime.api.client import Client
from controller.runtime.api.resource import Resource
from tests.support.clock import FakeClock
from tests.support.kube import Request, refused


class SecretApi(Client):
    """Every Secret exists, empty. ``lists`` and ``watches`` are the requests made: (when, which)."""

    def __init__(self, clock: FakeClock) -> None:
        self._fake_clock = clock
        self.lists: list[tuple[float, SecretRef]] = []
        self.watches: list[tuple[float, SecretRef]] = []
        self.refused: set[str] = set()
        """Namespaces."""
        self.silent: Callable[[SecretRef], bool] = lambda ref: False
        """Whether a watch of this Secret gets no answer."""
        self.list_seconds = 0.0

    async def list_page(
        self, resource: Resource, *, namespace: str | None = None, field_selector: str | None = None, **_: Any
    ) -> bytes:
        """Answer with the one Secret."""
        ref = _ref(namespace, field_selector)
        self.lists.append((self._fake_clock.monotonic(), ref))
        await self._fake_clock.sleep(self.list_seconds)
        if ref[0] in self.refused:
            raise refused(403)(Request("list", resource, *ref))
        item = {"metadata": {"name": ref[1], "namespace": ref[0], "uid": "u", "resourceVersion": "1"}}
        return json.dumps({"metadata": {"resourceVersion": "1"}, "items": [item]}).encode()

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        field_selector: str | None = None,
        opened: Callable[[], None] | None = None,
        **_: Any,
    ) -> AsyncGenerator[bytes, None]:
        """Accept a watch, unless it is to be silent, and never send anything."""
        ref = _ref(namespace, field_selector)
        self.watches.append((self._fake_clock.monotonic(), ref))
        await self._fake_clock.sleep(0.0)
        if opened is not None and not self.silent(ref):
            opened()
        await asyncio.Event().wait()
        yield b""


def _ref(namespace: str | None, field_selector: str | None) -> SecretRef:
    assert namespace is not None
    assert field_selector is not None
    return namespace, field_selector.removeprefix("metadata.name=")
