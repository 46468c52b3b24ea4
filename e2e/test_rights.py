"""RBAC exactly sufficient: with all rights everything works; without any one of them a named thing does not.

The receiver runs here as a process under the Deployment's ServiceAccount, on either kind of cluster: what it
may do is the API server's business, wherever it runs. The Deployment has no Pods meanwhile.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from e2e.clusters import Cluster
from e2e.clusters.cluster import MANIFESTS, NAMESPACE, SERVICE_ACCOUNT, SYSTEM_NAMESPACE, eventually
from e2e.clusters.user import Operator, User
from e2e.controlplane import CommandError, ControlPlaneError
from e2e.demo.events import REGISTRY, acr_push, ping
from e2e.kargo.project import API_VERSION, image, webhook_path
from e2e.receiver import Answer, ReceiverProcess
from e2e.test_journey import PODS, refreshed

PATIENCE = 20.0
"""Seconds that something may take which must work."""
START_LIMIT = 6.0
"""Seconds after which a receiver counts as one that never gets ready; it takes 1 to 2."""
IMPATIENCE = 2.0
"""Seconds after which something that must not work counts as not working."""
AT_ONCE = 2.0
"""Seconds until a watched change must be seen. Without a watch the receiver lists again and again, ever more
seldom: it sees one change in time by chance, and not ``CHANGES`` of them."""
CHANGES = 4

GROUP = "kargo.akuity.io"
SECRET = "the-secret-of-this-scenario"
PULL_REQUEST = "https://dev.azure.com/kargo-demo/shop/_git/manifests/pullrequest/{}"


class Site:
    """One user, the operator, and a receiver that starts when a scenario says so."""

    def __init__(
        self, cluster: Cluster, user: User, kubeconfig: Path, folder: Path, *, patience: float
    ) -> None:
        self.cluster = cluster
        self.user = user
        self.operator = Operator(cluster)
        self.repository = user.project
        self.patience = patience
        self.receiver = ReceiverProcess(kubeconfig, folder, base_url=cluster.base_url)

    def start(self) -> None:
        """Start the receiver; raises ControlPlaneError if it is not ready soon."""
        self.receiver.start(limit=max(self.patience, START_LIMIT))

    def within(self, condition: Callable[[], object]) -> None:
        """Wait for something; AssertionError if it does not come."""
        eventually(condition, self.patience)

    def post(self, owner: User, body: object, *, secret: str, receiver: str = "azure") -> Answer:
        """Deliver to a receiver of the user or the operator."""
        project = "" if owner is self.operator else owner.project
        return self.receiver.post(webhook_path(project, receiver, secret), body)

    def refreshes(self, owner: User, repository: str | None = None) -> bool:
        """Whether a push refreshes exactly one Warehouse."""
        body = acr_push(repository or self.repository, "v1")
        return bool(self.post(owner, body, secret=SECRET).json == refreshed(1))

    def set_up(self, owner: User) -> None:
        """Secret and config of the owner's receiver, and a Warehouse of the user's."""
        warehouse = self.user.warehouse("app", image(f"{REGISTRY}/{self.repository}"))
        secret = owner.secret("azure", SECRET)
        self.cluster.apply(secret, owner.config("azure"), warehouse)

    def add_promotion(self, number: int) -> None:
        """A running Promotion that waits for a pull request."""
        name, project = f"promotion-{number}", self.user.project
        self.cluster.apply(
            {
                "apiVersion": API_VERSION,
                "kind": "Promotion",
                "metadata": {"name": name, "namespace": project},
                "spec": {"steps": [{"uses": "git-wait-for-pr", "as": "wait"}]},
            }
        )
        state = {"wait": {"pr": {"url": PULL_REQUEST.format(number)}}}
        status = {"status": {"phase": "Running", "currentStep": 0, "state": state}}
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status))
        self.cluster.kubectl("patch", "promotion", name, "-n", project, *patch)

    def merges(self, number: int) -> bool:
        """Whether the merged pull request refreshes the Promotion that waits for it."""
        resource = {
            "pullRequestId": number,
            "status": "completed",
            "_links": {"web": {"href": PULL_REQUEST.format(number)}},
        }
        body = {
            "subscriptionId": "00000000-0000-0000-0000-000000000000",
            "notificationId": 1,
            "id": "03c164c2-8912-4d5e-8009-3707d5f83734",
            "eventType": "git.pullrequest.merged",
            "resource": resource,
            "resourceVersion": "1.0",
        }
        answer = self.post(self.user, body, secret=SECRET)
        return bool(answer.json == {"msg": "refreshed 1 promotion(s)"})


# -- scenarios: each fails if what it is named after does not work


def a_push_refreshes(site: Site) -> None:
    """A push refreshes the Warehouse that subscribes."""
    site.set_up(site.user)
    site.start()
    site.within(lambda: site.refreshes(site.user))


def a_url_in_status(site: Site) -> None:
    """The ProjectConfig's status names the URL."""
    site.set_up(site.user)
    site.start()
    site.within(site.user.url)


def an_event_about_a_fault(site: Site) -> None:
    """A Kubernetes Event tells that a receiver has no Secret."""
    site.cluster.apply(site.user.config("azure"))  # and no Secret
    site.start()
    events = ("events", "-n", site.user.project)
    site.within(lambda: site.cluster.get(*events)["items"])


def a_warehouse_made_later(site: Site) -> None:
    """Warehouses made while the receiver runs are refreshed at once."""
    site.set_up(site.user)
    site.start()
    for number in range(CHANGES):
        name = f"later-{number}"
        site.cluster.apply(site.user.warehouse(name, image(f"{REGISTRY}/{name}")))
        eventually(lambda name=name: site.refreshes(site.user, name), AT_ONCE)  # type: ignore[misc]


def a_receiver_made_later(site: Site) -> None:
    """Receivers added to a ProjectConfig answer at once."""
    _receivers_made_later(site, site.user)


def a_changed_secret(site: Site) -> None:
    """A Project's changed Secret makes another URL at once."""
    _changed_secret(site, site.user)


def a_push_to_the_whole_cluster(site: Site) -> None:
    """A push to ClusterConfig's URL refreshes."""
    site.set_up(site.operator)
    site.start()
    site.within(lambda: site.refreshes(site.operator))


def a_url_of_the_whole_cluster_in_status(site: Site) -> None:
    """The ClusterConfig's status names the URL."""
    site.set_up(site.operator)
    site.start()
    site.within(site.operator.url)


def a_receiver_of_the_whole_cluster_made_later(site: Site) -> None:
    """Receivers added to the ClusterConfig answer at once."""
    _receivers_made_later(site, site.operator)


def a_changed_secret_of_the_whole_cluster(site: Site) -> None:
    """A changed Secret of ClusterConfig makes another URL at once."""
    _changed_secret(site, site.operator)


def a_merged_pull_request(site: Site) -> None:
    """A merged pull request refreshes the Promotion that waits for it."""
    site.set_up(site.user)
    site.add_promotion(0)
    site.start()
    site.within(lambda: site.merges(0))


def a_promotion_made_later(site: Site) -> None:
    """So it does if the Promotion was made while the receiver runs."""
    site.set_up(site.user)
    site.start()
    for number in range(CHANGES):
        site.add_promotion(number)
        eventually(lambda number=number: site.merges(number), AT_ONCE)  # type: ignore[misc]


def _receivers_made_later(site: Site, owner: User) -> None:
    names = [f"later-{number}" for number in range(CHANGES)]
    site.cluster.apply(*(owner.secret(name, SECRET) for name in names))
    site.start()
    for count, name in enumerate(names, 1):
        site.cluster.apply(owner.config(*names[:count]))
        _answers_at_once(site, owner, name, SECRET)


def _changed_secret(site: Site, owner: User) -> None:
    site.set_up(owner)
    site.start()
    for number in range(CHANGES):
        value = f"another-secret-of-this-scenario-{number}"
        site.cluster.apply(owner.secret("azure", value))
        _answers_at_once(site, owner, "azure", value)


def _answers_at_once(site: Site, owner: User, receiver: str, secret: str) -> None:
    eventually(
        lambda: site.post(owner, ping(), secret=secret, receiver=receiver).status == 200, AT_ONCE, receiver
    )


SCENARIOS: tuple[Callable[[Site], None], ...] = (
    a_push_refreshes,
    a_url_in_status,
    an_event_about_a_fault,
    a_warehouse_made_later,
    a_receiver_made_later,
    a_changed_secret,
    a_push_to_the_whole_cluster,
    a_url_of_the_whole_cluster_in_status,
    a_receiver_of_the_whole_cluster_made_later,
    a_changed_secret_of_the_whole_cluster,
    a_merged_pull_request,
    a_promotion_made_later,
)


# -- rights


class Role(NamedTuple):
    """A ClusterRole, or (``namespace``) a Role."""

    name: str
    namespace: str = ""

    def arguments(self) -> tuple[str, ...]:
        """How kubectl is asked for it."""
        if self.namespace:
            return ("role", self.name, "-n", self.namespace)
        return ("clusterrole", self.name)


class Right(NamedTuple):
    """One verb on one resource, and the role that gives it."""

    role: Role
    resource: str
    verb: str


OURS = Role("kargo-azure-receiver")
KARGOS = Role("kargo-external-webhooks-server")
PROJECT_SECRETS = Role("kargo-project-secrets-reader")
SYSTEM_SECRETS = Role("kargo-system-resources-reader", SYSTEM_NAMESPACE)

NEEDED: dict[Right, Callable[[Site], None]] = {
    Right(OURS, "projectconfigs/status", "patch"): a_url_in_status,
    Right(OURS, "clusterconfigs/status", "patch"): a_url_of_the_whole_cluster_in_status,
    Right(OURS, "events", "create"): an_event_about_a_fault,
    Right(KARGOS, "warehouses", "list"): a_push_refreshes,
    Right(KARGOS, "warehouses", "watch"): a_warehouse_made_later,
    Right(KARGOS, "warehouses", "patch"): a_push_refreshes,
    Right(KARGOS, "projectconfigs", "get"): a_url_in_status,
    Right(KARGOS, "projectconfigs", "list"): a_push_refreshes,
    Right(KARGOS, "projectconfigs", "watch"): a_receiver_made_later,
    Right(KARGOS, "clusterconfigs", "get"): a_url_of_the_whole_cluster_in_status,
    Right(KARGOS, "clusterconfigs", "list"): a_push_to_the_whole_cluster,
    Right(KARGOS, "clusterconfigs", "watch"): a_receiver_of_the_whole_cluster_made_later,
    Right(KARGOS, "promotions", "list"): a_merged_pull_request,
    Right(KARGOS, "promotions", "watch"): a_promotion_made_later,
    Right(KARGOS, "promotions", "patch"): a_merged_pull_request,
    Right(PROJECT_SECRETS, "secrets", "get"): a_url_in_status,
    Right(PROJECT_SECRETS, "secrets", "list"): a_push_refreshes,
    Right(PROJECT_SECRETS, "secrets", "watch"): a_changed_secret,
    Right(SYSTEM_SECRETS, "secrets", "get"): a_url_of_the_whole_cluster_in_status,
    Right(SYSTEM_SECRETS, "secrets", "list"): a_push_to_the_whole_cluster,
    Right(SYSTEM_SECRETS, "secrets", "watch"): a_changed_secret_of_the_whole_cluster,
}
"""Every right that the receiver relies on, and what does not work without it."""
NOT_USED = {Right(KARGOS, "warehouses", "get"), Right(KARGOS, "promotions", "get")}
"""What Kargo gives to the ServiceAccount and the receiver does without."""

NOT_TOLD = {right for right in NEEDED if right.verb == "watch"}
"""Whose absence the log tells as information only (the watch begins anew), or, for Secrets, not at all."""


@pytest.fixture(scope="module")
def no_pods(cluster: Cluster) -> Iterator[None]:
    """Without the Deployment's Pods, and without what earlier tests left."""
    cluster.scale(0)
    cluster.kubectl("delete", "projectconfigs", "--all", "-A")
    yield
    cluster.scale(PODS)


@pytest.fixture(scope="module")
def kubeconfig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, no_pods: None) -> Path:
    """Of the Deployment's ServiceAccount."""
    return cluster.service_account_kubeconfig(tmp_path_factory.mktemp("rights"))


@pytest.fixture(scope="module")
def needed_rights_only(cluster: Cluster, no_pods: None) -> Iterator[None]:
    """Without the rights that Kargo gives and the receiver does not use."""
    with taken_away(cluster, *NOT_USED):
        yield


@pytest.fixture
def new_site(
    cluster: Cluster, new_user: Callable[[], User], kubeconfig: Path, tmp_path: Path
) -> Iterator[Callable[[float], Site]]:
    """Make a site with a namespace; its receiver, and what it serves, are gone after the test."""
    made: list[Site] = []

    def make(patience: float) -> Site:
        site = Site(cluster, new_user(), kubeconfig, tmp_path, patience=patience)
        made.append(site)
        site.user.namespace()
        return site

    yield make
    for site in made:
        site.receiver.kill()
        print(site.receiver.process.output())
    cluster.kubectl("delete", "projectconfigs,clusterconfigs", "--all", "-A")


@contextlib.contextmanager
def taken_away(cluster: Cluster, *rights: Right, project: str = "") -> Iterator[None]:
    """Take rights out of their roles, and give them back at the end; ``project`` is where it is looked."""
    originals = {right.role: cluster.get(*right.role.arguments()) for right in rights}
    try:
        for role, original in originals.items():
            gone = {(right.resource, right.verb) for right in rights if right.role == role}
            _replace(cluster, {**original, "rules": _rules_without(original["rules"], gone)})
        for right in rights:
            eventually(lambda right=right: not allowed(cluster, right, project), 10)  # type: ignore[misc]
        yield
    finally:
        for original in originals.values():
            _replace(cluster, original)


def allowed(cluster: Cluster, right: Right, project: str) -> bool:
    """Ask the API server whether the ServiceAccount has a right, in ``project`` if it is one of Projects'."""
    resource, _, subresource = right.resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}",
            "resourceAttributes": {
                "verb": right.verb,
                "group": "" if resource in ("secrets", "events") else GROUP,
                "resource": resource,
                "subresource": subresource,
                "namespace": project if right.role == PROJECT_SECRETS else right.role.namespace,
            },
        },
    }
    printed = cluster.kubectl(
        "create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=json.dumps(review)
    )
    return printed == "true"


def rights_of(cluster: Cluster, role: Role) -> set[Right]:
    """Every right that a role gives."""
    return {
        Right(role, resource, verb)
        for rule in cluster.get(*role.arguments())["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _rules_without(rules: list[dict[str, Any]], gone: set[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"apiGroups": rule["apiGroups"], "resources": [resource], "verbs": verbs}
        for rule in rules
        for resource in rule["resources"]
        if (verbs := [verb for verb in rule["verbs"] if (resource, verb) not in gone])
    ]


def _replace(cluster: Cluster, role: dict[str, Any]) -> None:
    metadata = {key: value for key, value in role["metadata"].items() if key != "resourceVersion"}
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps({**role, "metadata": metadata}))


# -- tests


def test_every_right_of_ours_is_in_the_table(cluster: Cluster) -> None:
    """No rule of our ClusterRole is superfluous: each is tried below."""
    assert rights_of(cluster, OURS) == {right for right in NEEDED if right.role is OURS}


def test_every_right_of_kargos_is_in_the_table(cluster: Cluster) -> None:
    """What Kargo gives is either tried below, or known not to be used."""
    roles = (KARGOS, PROJECT_SECRETS, SYSTEM_SECRETS)
    given = set().union(*(rights_of(cluster, role) for role in roles))
    assert given == {right for right in NEEDED if right.role is not OURS} | NOT_USED


@pytest.mark.parametrize("overlay", ["own-serviceaccount", "standalone"])
def test_where_all_roles_are_ours_they_give_what_is_needed(cluster: Cluster, overlay: str) -> None:
    """Without Kargo's roles our overlays give the rights of the table, and no others."""
    objects = yaml.safe_load_all(cluster.kubectl("kustomize", str(MANIFESTS / "overlays" / overlay)))
    given = {
        (resource, verb)
        for each in objects
        if each["kind"] in ("Role", "ClusterRole")
        for rule in each["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given == {(right.resource, right.verb) for right in NEEDED}


@pytest.mark.usefixtures("needed_rights_only")
@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.__name__) for each in SCENARIOS])
def test_with_all_rights_it_works(
    new_site: Callable[[float], Site], scenario: Callable[[Site], None]
) -> None:
    """What the table's rights are for works with them, and without those that are not used."""
    site = new_site(PATIENCE)
    scenario(site)
    assert "Traceback" not in site.receiver.process.output()


@pytest.mark.parametrize(
    ("right", "scenario"),
    [
        pytest.param(
            right, scenario, id=f"{right.verb}-{right.resource}-{scenario.__name__}-{right.role.name}"
        )
        for right, scenario in NEEDED.items()
    ],
)
def test_without_one_right_it_does_not(
    cluster: Cluster, new_site: Callable[[float], Site], right: Right, scenario: Callable[[Site], None]
) -> None:
    """One right taken away breaks what the table says, for that reason, which the log names."""
    site = new_site(IMPATIENCE)
    failures = (AssertionError, ControlPlaneError, CommandError)
    with taken_away(cluster, right, project=site.user.project), pytest.raises(failures) as failure:
        scenario(site)
    print(f"{right}: {failure.value}")
    assert site.receiver.process.running
    assert "Traceback" not in site.receiver.process.output()
    if right not in NOT_TOLD:
        assert any(_names(line, right.resource) for line in site.receiver.events())


def _names(line: dict[str, Any], resource: str) -> bool:
    """Whether a line of the log is about a resource, or an object of it, and not just for information."""
    kind = resource.partition("/")[0].removesuffix("s")
    return line["level"] in ("warning", "error") and kind in json.dumps(line).lower()
