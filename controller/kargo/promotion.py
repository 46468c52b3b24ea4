"""What is kept of a running Promotion that waits on a pull request.

The index over them is the same ``TargetIndex`` that Warehouses have, keyed by ``pull_request_key``.
"""

from typing import Any

import msgspec

from controller.kargo.objects import Known, Metadata, Refreshable, Target, decode_parts, field
from controller.repositories.keys import pull_request_key
from controller.runtime.api.wire import decode


class Promotion(Refreshable, gc=False):
    """What is kept of a running Promotion; ``keys`` are of the pull requests that its steps wait on."""


class _PromotionPhase(msgspec.Struct):
    phase: Any = None


class _PromotionHead(msgspec.Struct):
    metadata: Metadata
    status: _PromotionPhase | None = None


_promotion_head = msgspec.json.Decoder(_PromotionHead)
WAIT_STEP = "git-wait-for-pr"


def decode_promotion(raw: bytes | msgspec.Raw, known: Known) -> Promotion | None:
    """Decode one Promotion; None (not kept) unless it is running and waits on a pull request.

    A step waits if it is ``git-wait-for-pr``, at or before ``status.currentStep``; its output
    ``status.state[alias].pr.url`` names the pull request. The alias is ``as``, or Kargo's default for a step
    without one, ``step-N`` counted from 0.
    """
    try:
        head = decode(_promotion_head, raw)
        if head.status is None or head.status.phase != "Running":
            return None
    except msgspec.ValidationError:
        pass  # an odd status: the lenient decoder below takes what can be read
    parts = decode_parts(raw)
    if field(parts.status, "phase") != "Running":
        return None
    steps, state = field(parts.spec, "steps"), field(parts.status, "state")
    current = field(parts.status, "currentStep") or 0
    if not isinstance(steps, list) or not isinstance(current, int):
        return None
    keys: dict[str, None] = {}
    for number, step in enumerate(steps[: current + 1]):
        if field(step, "uses") == WAIT_STEP:
            alias = field(step, "as") or f"step-{number}"
            output = field(state, alias) if isinstance(alias, str) else None
            url = field(field(output, "pr"), "url")
            if isinstance(url, str) and url:
                keys[pull_request_key(url)] = None
    if not keys:
        return None
    meta = parts.metadata
    stored = known(meta.namespace, meta.name)
    target = stored.target if stored is not None else Target("Promotion", meta.namespace, meta.name)
    return Promotion(target=target, uid=meta.uid, version=meta.resource_version, keys=tuple(keys))
