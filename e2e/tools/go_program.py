"""Builds a program from its Go module, once, into the cache of the control plane."""

import contextlib
import re
import tempfile
import time
from pathlib import Path

from e2e.controlplane import ControlPlaneError, toolchain
from e2e.controlplane.binaries import Say, cache_root, pinned_versions
from e2e.controlplane.build import REPORT_EVERY, alone, remove
from e2e.controlplane.process import Process


def ensure(package: str, version: str, say: Say, *, cost: str, linker_flags: str = "-s -w") -> Path:
    """Return the program that a package's last element names, in this version, and build it if it is missing.

    ``cost`` says what building takes. Go checks the modules' content with the public checksum database.
    Raises ControlPlaneError in one line: no Go to be had, a failed build.
    """
    name = package.rsplit("/", 1)[-1]
    root = cache_root().parent
    program = root / f"{name}-{version}" / name
    if program.exists():
        return program
    root.mkdir(parents=True, exist_ok=True)
    with alone(root / f"{name}.lock", say):
        if program.exists():  # the process that we waited for has built it
            return program
        say(f"Building {name} {version}, once: it takes {cost}")
        work = Path(tempfile.mkdtemp(prefix=f"{name}-build-", dir=root))
        try:
            _install(f"{package}@{version}", linker_flags, work, say)
            program.parent.mkdir(exist_ok=True)
            (work / "bin" / name).rename(program)
        finally:
            remove(work)
    return program


def _install(package: str, linker_flags: str, work: Path, say: Say) -> None:
    go, environment = toolchain.prepare(work, pinned_versions().go, say)
    environment["GOBIN"] = str(work / "bin")
    command = [go, "install", "-v", "-trimpath", "-ldflags", linker_flags, package]
    process = Process("go", command, log=work / "log", env=environment)
    began = time.monotonic()
    process.start()
    try:
        while process.running:
            with contextlib.suppress(ControlPlaneError):
                process.wait(REPORT_EVERY)
                break
            compiled = sum(not line.startswith("go: ") for line in process.output().splitlines())
            say(f"  {time.monotonic() - began:.0f} s  {compiled} packages compiled")
    finally:
        process.kill()
    if process.exit_code != 0:
        lines = [line for line in process.output().splitlines() if not re.fullmatch(r"[\w./-]+", line)]
        raise ControlPlaneError(f"building {package} failed: {lines[-1] if lines else 'no output'}")
