"""``python -m e2e.tools.audit``: known vulnerabilities of the locked requirements, by pip-audit.

PyPI has the data. Where it can't be asked (no network, or a mirror without its JSON API), the audit is
skipped, and one line says so: pip-audit itself would report that nothing was found.
"""

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from e2e.controlplane.binaries import Say
from e2e.controlplane.errors import ControlPlaneError
from e2e.controlplane.terminal import run_command, say

PROBE = "https://pypi.org/pypi/pip/25.0/json"
"""Answered with ``vulnerabilities`` where PyPI's JSON API is there, as pip-audit asks it.

https://docs.pypi.org/api/json/#known-vulnerabilities
"""
PROBE_SECONDS = 5.0
"""However the network fails, also while a name is resolved, this is the end of it."""
AUDIT_SECONDS = 120.0

ROOT = Path(__file__).parents[2]
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-build.lock")


def main() -> int:
    """Audit both locks; returns 1 if a vulnerability is known."""
    return audit(say)


def audit(say: Say, *, probe: str = PROBE, seconds: float = PROBE_SECONDS) -> int:
    """Say what was found and return 1 for a known vulnerability, else 0; raises ControlPlaneError.

    ``probe`` is asked first, for ``seconds`` at the most, whether there is data at all.
    """
    reason = _unreachable(probe, seconds)
    if reason is None:
        with tempfile.TemporaryDirectory(prefix="pip-audit-") as folder:
            report, reason = _run(Path(folder) / "report.json")
        if report is not None:
            return tell(report["dependencies"], say)
    return _skip(reason, say)


def _skip(reason: str, say: Say) -> int:
    say(f"pip-audit: skipped, since PyPI's data on vulnerabilities can't be reached: {reason}")
    return 0


def tell(dependencies: Iterable[dict[str, Any]], say: Say) -> int:
    """Say what pip-audit's report holds, one line for each vulnerability."""
    checked, unknown, found = 0, [], 0
    for each in dependencies:
        if "skip_reason" in each:
            unknown.append(str(each["name"]))
            continue
        checked += 1
        for flaw in each["vulns"]:
            found += 1
            fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
            say(f"pip-audit: {each['name']} {each['version']}: {flaw['id']}, fixed in {fixed}")
    if not checked:
        return _skip("it knows none of the locked packages", say)
    say(f"pip-audit: {checked} locked packages checked, {found} vulnerabilities known")
    if unknown:
        say(f"pip-audit: not checked, since PyPI does not know them: {', '.join(unknown)}")
    return 1 if found else 0


def _unreachable(url: str, seconds: float) -> str | None:
    """Return why there is no data, None if there is."""
    reasons = [f"no answer within {seconds:g} s"]
    # A thread, since resolving a name can't be given a limit; the process does not wait for a daemon's end.
    asking = threading.Thread(target=lambda: reasons.append(_ask(url, seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    return reasons[-1] or None


def _ask(url: str, seconds: float) -> str:
    try:
        # Longer than is waited for the thread, so that what is said does not depend on which ends first.
        with urllib.request.urlopen(url, timeout=2 * seconds) as answer:
            known = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    except ValueError:
        return "the answer is not JSON"
    return "" if isinstance(known, dict) and "vulnerabilities" in known else "the answer has no such data"


def _run(output: Path) -> tuple[Any, str]:
    """Run pip-audit; returns its report, or None and why there is none."""
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--timeout=10"]
    command += [f"--requirement={lock}" for lock in LOCKS]
    command += ["--progress-spinner=off", "--format=json", f"--output={output}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no end within {AUDIT_SECONDS:g} s"
    if "No module named pip_audit" in done.stderr:
        raise ControlPlaneError(
            "pip-audit is not installed: make check installs it, or pip install '.[supply]'"
        )
    if not output.exists() or not output.stat().st_size:
        return None, (done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"])[-1]
    return json.loads(output.read_text("utf-8")), ""


if __name__ == "__main__":
    sys.exit(run_command(main))
