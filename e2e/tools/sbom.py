"""``python -m e2e.tools.sbom``: the image's bill of materials, from its locked requirements.

CycloneDX JSON, made by cyclonedx-bom. The same lock gives the same file.
"""

import configparser
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from e2e.controlplane.errors import CommandError
from e2e.controlplane.terminal import run_command, say

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "sbom.cdx.json"
FORMAT = "1.6"
"""Of CycloneDX: the newest that common readers take."""


def main() -> int:
    """Write the file of ``make sbom``, and say where it is."""
    write(OUTPUT)
    say(f"{OUTPUT.relative_to(ROOT)}: CycloneDX {FORMAT}, from requirements.lock")
    return 0


def write(output: Path) -> None:
    """Write the bill of materials to a file; raises CommandError if cyclonedx-bom can't."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sbom-") as folder:
        project = Path(folder) / "pyproject.toml"
        project.write_text(_project(), "utf-8")
        command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(ROOT / "requirements.lock")]
        command += [f"--pyproject={project}", "--mc-type=application", f"--spec-version={FORMAT}"]
        command += ["--output-reproducible", "--validate", f"--output-file={output}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise CommandError(f"cyclonedx-bom: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    bill = json.loads(output.read_text("utf-8"))
    for component in bill["components"]:
        del component["description"]  # the lines of the lock, which say nothing that is not said elsewhere
    output.write_text(json.dumps(bill, indent=2) + "\n", "utf-8")


def _project() -> str:
    """What the tool reads of the project itself, from where we keep it to where it looks."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", "utf-8")
    fields = {name: settings["metadata"][name] for name in ("name", "version", "description", "license")}
    return "[project]\n" + "".join(f'{name} = "{value}"\n' for name, value in fields.items())


if __name__ == "__main__":
    sys.exit(run_command(main))
