"""What the receiver is for, as one small scenario each: it fails if what it is named after does not work."""

import json
from collections.abc import Callable
from pathlib import Path

from e2e.clusters import Cluster
from e2e.clusters.cluster import NAMESPACE
from e2e.clusters.user import Operator, User
from e2e.controlplane.waiting import eventually
from e2e.demo.events import REGISTRY, acr_push, ping
from e2e.kargo.project import API_VERSION, REFRESH_ANNOTATION, image, webhook_path
from e2e.receiver import Answer, ReceiverProcess

START_LIMIT = 6.0
"""Seconds after which a receiver counts as one that never gets ready; it takes 1 to 2."""
AT_ONCE = 2.0
"""Seconds until a watched change must be seen. Without a watch the receiver lists again and again, ever more
seldom: it sees one change in time by chance, and not ``CHANGES`` of them."""
CHANGES = 4
LOST_LIMIT = 45.0
"""Seconds until a replica that does not renew its Lease must be known to be gone; it takes 20."""

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
        pod = {"POD_NAME": f"receiver-of-{user.project}", "POD_NAMESPACE": NAMESPACE}
        self.receiver = ReceiverProcess(kubeconfig, folder, base_url=cluster.base_url, environment=pod)

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
        return bool(self.post(owner, body, secret=SECRET).json == {"msg": "refreshed 1 warehouse(s)"})

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


def a_catch_up(site: Site) -> None:
    """After an outage, Warehouses are refreshed without a push."""
    site.set_up(site.user)
    _lease(site, "gone", holder="")
    site.start()
    warehouse = ("warehouse", "app", "-n", site.user.project)
    site.within(lambda: REFRESH_ANNOTATION in site.cluster.get(*warehouse)["metadata"].get("annotations", {}))


def a_finished_catch_up(site: Site) -> None:
    """Its end is recorded, so that nobody makes it again."""
    _lease(site, "gone", holder="")
    site.start()
    job = ("lease", "kargo-azure-receiver-catch-up", "-n", NAMESPACE)
    site.within(lambda: "kargo-azure-receiver/finished" in site.cluster.get(*job)["metadata"]["annotations"])


def a_lost_replica(site: Site) -> None:
    """The Lease of a replica that is gone is removed."""
    _lease(site, "lost", holder="lost")
    site.start()
    lease = ("get", "lease", "lost", "-n", NAMESPACE, "--ignore-not-found")
    eventually(lambda: not site.cluster.kubectl(*lease), LOST_LIMIT)


def _lease(site: Site, name: str, *, holder: str) -> None:
    long_ago = "2026-01-01T00:00:00.000000Z"
    label = {"app.kubernetes.io/name": "kargo-azure-receiver"}
    site.cluster.apply(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": label},
            "spec": {"holderIdentity": holder, "acquireTime": long_ago, "renewTime": long_ago},
        }
    )


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
    a_catch_up,
    a_finished_catch_up,
    a_lost_replica,
)
