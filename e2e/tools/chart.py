"""``python -m e2e.tools.chart``: write what follows from the chart's values and alerts; ``--check`` compares.

The README's table of values, from the comments in values.yaml: a comment directly above a key makes a row.
The links of the component `runbooks`: one for each alert.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from e2e.controlplane.errors import ControlPlaneError
from e2e.controlplane.terminal import run_command, say

MANIFESTS = Path(__file__).parents[2] / "manifests"
CHART = MANIFESTS / "chart"
README = CHART / "README.md"
LINKS = MANIFESTS / "components" / "runbooks"
RULES = {
    "links.yaml": CHART / "files" / "prometheusrule.yaml",
    "silence-links.yaml": CHART / "files" / "silence" / "prometheusrule.yaml",
}
"""By file of links, whose alerts they are of."""

_BEGIN, _END = "<!-- values: make chart -->\n", "<!-- end of values -->\n"


def main() -> int:
    """Write the files, or say which is not current and return 1."""
    stale = [path for path, text in current().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            say(f"{path.relative_to(MANIFESTS)} is not current: make chart")
        return int(bool(stale))
    for path in stale:
        path.write_text(current()[path], "utf-8")
        say(f"wrote {path.relative_to(MANIFESTS)}")
    return 0


def current() -> dict[Path, str]:
    """Each file and what it should hold; raises ControlPlaneError for a value without a comment."""
    before, _, rest = README.read_text("utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    rows = "".join(_row(*found) for found in documented((CHART / "values.yaml").read_text("utf-8")))
    table = f"\n| value | default | meaning |\n|---|---|---|\n{rows}\n"
    linked = {LINKS / name: links(yaml.safe_load(rules.read_text("utf-8"))) for name, rules in RULES.items()}
    return {README: before + _BEGIN + table + _END + after, **linked}


def documented(text: str) -> Iterator[tuple[str, Any, str]]:
    """Name, default and comment of each value that has a comment; those below it belong to it."""
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    yield from _below(root, yaml.safe_load(text), lines, "")


def _below(
    node: yaml.MappingNode, values: Any, lines: list[str], prefix: str
) -> Iterator[tuple[str, Any, str]]:
    for key, child in node.value:
        name, value = f"{prefix}{key.value}", values[key.value]
        if comment := _comment_above(lines, key.start_mark.line):
            yield name, value, comment
        elif isinstance(child, yaml.MappingNode) and child.value:
            yield from _below(child, value, lines, f"{name}.")
        else:
            raise ControlPlaneError(f"values.yaml: {name} has no comment that says what it is")


def _comment_above(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        found.insert(0, lines[line].lstrip()[2:])
    return " ".join(found)


def _row(name: str, default: Any, meaning: str) -> str:
    return f"| `{name}` | `{json.dumps(default)}` | {meaning.replace('|', chr(92) + '|')} |\n"


def links(rules: Any) -> str:
    """A JSON patch that adds ``runbook_url`` to each alert, and fails if an alert is not where it was."""
    text = "# Written by `make chart`. What is before the # is replaced by runbookBaseUrl.\n"
    for group_number, group in enumerate(rules["spec"]["groups"]):
        for number, rule in enumerate(group["rules"]):
            path, alert = f"/spec/groups/{group_number}/rules/{number}", rule["alert"]
            text += f"- {{op: test, path: {path}/alert, value: {alert}}}\n"
            text += f'- {{op: add, path: {path}/annotations/runbook_url, value: "URL#{alert.lower()}"}}\n'
    return text


if __name__ == "__main__":
    sys.exit(run_command(main))
