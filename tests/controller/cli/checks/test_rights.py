"""What is said of the rights that are there and that are not."""

from controller.cli.checks.findings import Level
from controller.cli.checks.rights import MOST_NAMESPACES, judge, needed
from controller.kargo.objects import SECRETS

SYSTEM = "kargo-system-resources"
RIGHTS = needed("kargo", [SYSTEM, *(f"project-{number}" for number in range(MOST_NAMESPACES + 9))], SYSTEM)


def test_all_rights_are_there() -> None:
    """Projects are one line, and not asked about without end."""
    assert sum(right.resource == SECRETS for right in RIGHTS) == MOST_NAMESPACES
    found = judge((), RIGHTS)
    assert {each.level for each in found} == {Level.OK}
    secrets = [each.text for each in found if "secrets" in each.text]
    assert secrets[0] == f"may get, list, watch secrets in namespace {SYSTEM}"
    assert secrets[1].endswith("project-4 and 194 more")


def test_what_is_missing_is_said_with_what_suffers() -> None:
    """Verb by verb; as an error only where pushes are lost."""
    missing = {(right, verb) for right in RIGHTS for verb in ("patch", "get") if verb in right.verbs}
    found = [each for each in judge(missing, RIGHTS) if each.level is not Level.OK]
    assert {(each.level, each.text) for each in found} >= {
        (Level.ERROR, "may not patch warehouses: no push refreshes anything"),
        (Level.WARNING, "may not patch promotions: ended pull requests wake no Promotion"),
        (Level.WARNING, "may not patch leases in namespace kargo: nothing is caught up after an outage"),
        (Level.WARNING, "may not patch projectconfigs/status: status shows no URL and no fault"),
        (Level.ERROR, f"may not get secrets in namespace {SYSTEM}: receivers there are not served"),
    }
    assert all(each.do for each in found)
