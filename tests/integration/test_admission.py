"""An admission webhook that denies refreshes, or can't be called, on a real API server."""

from typing import Any

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.admission import AdmissionWebhook
from tests.support.azure import REGISTRY, image_push
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

INNER = 'Promotion.kargo.akuity.io "app" is forbidden: subject "x" is not permitted to update Promotions'
KARGOS_DENIAL: dict[str, Any] = {
    "status": "Failure",
    "code": 500,
    "reason": "InternalError",
    "message": f"Internal error occurred: {INNER}",
    "details": {"causes": [{"message": INNER}]},
}
"""Kargo wraps its Forbidden into an InternalError."""


def _post(receiver: ReceiverProcess, project: Project) -> tuple[int, str]:
    answer = receiver.post(project.path, image_push("app"))
    return answer.status, answer.json["msg"]


def test_a_denial_that_lasts_is_a_rejection(
    project: Project, start_receiver: ReceiverFactory, control_plane: ControlPlane
) -> None:
    """It comes as a 500, and is final as any refusal: answered in time, logged, not tried for ever."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver()
    rejected = (200, "refreshed 0 of 1 warehouse(s); 1 were rejected by the Kubernetes API")
    with AdmissionWebhook(control_plane, project.name) as webhook:
        webhook.status = KARGOS_DENIAL
        # A webhook takes effect a moment after it is registered.
        eventually(lambda: _post(receiver, project) == rejected)
        line = eventually(lambda: receiver.events("refresh_rejected"))[0]
        assert line["name"] == "app"
        assert "denied the request" in line["message"]
        assert INNER in line["message"]
        assert not receiver.events("refresh_failing")
        tries = receiver.metric("kargo_azure_receiver_refresh_total", kind="Warehouse", result="retried")
        assert _post(receiver, project) == rejected
        assert tries == receiver.metric(
            "kargo_azure_receiver_refresh_total", kind="Warehouse", result="retried"
        ), "what was final is final at once when it comes again"
        webhook.status = None
        assert _post(receiver, project) == (200, "refreshed 1 warehouse(s)")


def test_a_webhook_that_can_not_be_called_is_waited_for(
    project: Project, start_receiver: ReceiverFactory, control_plane: ControlPlane
) -> None:
    """The same 500, but nobody has refused anything: the refresh follows when the webhook is back."""
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver()
    with AdmissionWebhook(control_plane, project.name) as webhook:
        webhook.answers = False
        eventually(lambda: _post(receiver, project)[0] == 202)
        before = project.refresh("app")
        line = eventually(lambda: receiver.events("refresh_failing"))[0]
        assert "failed calling webhook" in line["error"]
        webhook.answers = True
        eventually(lambda: project.refresh("app") != before, limit=20.0)
        assert not receiver.events("refresh_rejected")
