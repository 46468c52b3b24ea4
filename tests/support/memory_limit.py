"""A limit of memory for one process, as a container has: the kernel kills what passes it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def memory_limit(pid: int, limit: int) -> Iterator[bool]:
    """Hold a process within ``limit`` bytes, in a cgroup of its own; yield False where that can't be had.

    The process must have ended when the context does.
    """
    group = _group(limit)
    if group is not None:
        (group / "cgroup.procs").write_text(str(pid))
    try:
        yield group is not None
    finally:
        if group is not None:
            with contextlib.suppress(OSError):
                group.rmdir()


def _group(limit: int) -> Path | None:
    name = f"kargo-attack-{os.getpid()}-{limit}"
    for root, file in ((V1, "memory.limit_in_bytes"), (V2, "memory.max")):
        if (root / "cgroup.procs").exists():
            try:
                (root / name).mkdir(exist_ok=True)
                (root / name / file).write_text(str(limit))
            except OSError:  # no right to it, or no memory controller here
                with contextlib.suppress(OSError):
                    (root / name).rmdir()
            else:
                return root / name
    return None
