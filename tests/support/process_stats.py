"""What a process and a folder take: read from /proc and from the file system."""

import contextlib
import os
from pathlib import Path

MIB = 1024 * 1024


def memory(pid: int) -> int:
    """Resident bytes now."""
    return _status(pid, "VmRSS") * 1024


def peak_memory(pid: int) -> int:
    """The most resident bytes since the process began, or since ``forget_peak``."""
    return _status(pid, "VmHWM") * 1024


def forget_peak(pid: int) -> None:
    """Let the peak begin anew from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5)


def open_files(pid: int) -> int:
    """Open file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder, which may come and go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise ValueError(f"no {key} in /proc/{pid}/status")
