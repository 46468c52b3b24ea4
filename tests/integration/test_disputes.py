"""Kargo's own management controller writes the same status: the two agree, or leave each other alone."""

import itertools
from collections.abc import Callable

import pytest

from e2e.controlplane import ControlPlane
from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project
from tests.support.config_watch import ConfigWatch
from tests.support.configs import azure, condition, entries, events, github, url_of
from tests.support.kargo_controller import KargoController
from tests.support.receiver_process import ReceiverFactory, ReceiverProcess

BASE_URL = "https://kargo.example.com/webhooks"
GOOD = "a-secret-that-is-long-enough"
ROUNDS = 6
"""Rounds of Kargo's controller after which a loop would have shown."""


@pytest.fixture
def shared(new_project: Callable[..., Project]) -> Project:
    """A Project with receivers of two types."""
    project = new_project(secret=GOOD).create()
    project.put_secret({"secret": GOOD}, name="hub-secret")
    project.put_receivers([github("hub"), azure("azure")])
    return project


def test_equal_values_cause_no_writes(
    control_plane: ControlPlane, shared: Project, start_receiver: ReceiverFactory
) -> None:
    """Beside a Kargo that computes the same, we add our condition and nothing else, also after rotation."""
    receiver = start_receiver(base_url=BASE_URL)
    eventually(lambda: url_of(shared.config(), "azure"))
    with KargoController(control_plane, [shared.name], base_url=BASE_URL) as controller:
        _rounds(controller, 2)
        eventually(lambda: condition(shared.config()))
        before = _writes(receiver, shared)
        _rounds(controller, ROUNDS)
        assert _writes(receiver, shared) == before
        shared.secret = f"{GOOD}-2"
        shared.put_secret({"secret": shared.secret})
        eventually(lambda: str(url_of(shared.config(), "azure")).endswith(shared.path), limit=2.0)
        _rounds(controller, 2)
        after = _writes(receiver, shared)
        assert after <= before + 1  # or none, if Kargo was faster
        _rounds(controller, ROUNDS)
        assert _writes(receiver, shared) == after
    config = shared.config()
    assert [entry["name"] for entry in entries(config)] == ["hub", "azure"]
    assert {condition(config, name)["status"] for name in ("Ready", "AzureReceiversReady")} == {"True"}
    assert receiver.metric("kargo_azure_receiver_status_writes_total", result="disputed") == 0
    assert [line for line in receiver.events("status_disputed") if line["config"] == shared.name] == []


def test_different_values_are_reported_once_and_left(
    control_plane: ControlPlane, shared: Project, start_receiver: ReceiverFactory
) -> None:
    """With another base URL in Kargo's settings: one line, one Event, one count, and Kargo's values stay."""
    elsewhere = "https://elsewhere.example.com"
    receiver = start_receiver(base_url=BASE_URL)
    eventually(lambda: url_of(shared.config(), "azure"))
    with (
        ConfigWatch(control_plane) as watch,
        KargoController(control_plane, [shared.name], base_url=elsewhere) as controller,
    ):
        eventually(lambda: receiver.events("status_disputed"))
        before = _writes(receiver, shared)
        _rounds(controller, ROUNDS)
        assert _writes(receiver, shared) == before
        versions = watch.versions[shared.name]
    config = shared.config()
    assert str(url_of(config, "azure")).startswith(elsewhere)
    assert condition(config)["status"] == "True"
    # Once at most it was set right: what a person sees must not flicker.
    urls = [url for version in versions if (url := url_of(version, "azure"))]
    changes = sum(one != other for one, other in itertools.pairwise(urls))
    assert changes <= 3
    (line,) = (line for line in receiver.events("status_disputed") if line["config"] == shared.name)
    assert line["level"] == "warning"
    assert "base URL" in line["message"]
    assert receiver.metric("kargo_azure_receiver_status_writes_total", result="disputed") == 1
    assert len(eventually(lambda: events(control_plane, shared.name, "StatusDisputed"))) == 1


def test_a_dispute_does_not_stop_a_rotation(
    control_plane: ControlPlane, shared: Project, start_receiver: ReceiverFactory
) -> None:
    """A new Secret is a new value: it is written once, and served in any case."""
    receiver = start_receiver(base_url=BASE_URL)
    eventually(lambda: url_of(shared.config(), "azure"))
    with KargoController(
        control_plane, [shared.name], base_url="https://elsewhere.example.com"
    ) as controller:
        eventually(lambda: receiver.events("status_disputed"))
        shared.secret = f"{GOOD}-2"
        shared.put_secret({"secret": shared.secret})
        eventually(lambda: receiver.post(shared.path, {"action": "ping"}).status != 404, limit=2.0)
        eventually(lambda: str(url_of(shared.config(), "azure")).endswith(shared.path), limit=2.0)
        _rounds(controller, 2)
        before = _writes(receiver, shared)
        _rounds(controller, ROUNDS)
        assert _writes(receiver, shared) == before


def test_a_condition_erased_by_accident_is_written_again(
    control_plane: ControlPlane, shared: Project, start_receiver: ReceiverFactory
) -> None:
    """Kargo replaces the list of conditions with what it read before ours was there: that is no dispute."""
    first = [True]

    def ours_comes_meanwhile() -> None:
        if first:
            first.clear()
            eventually(lambda: condition(shared.config()))

    with KargoController(
        control_plane, [shared.name], base_url=BASE_URL, between=ours_comes_meanwhile
    ) as controller:
        receiver = start_receiver(base_url=BASE_URL)
        _rounds(controller, 2)
        eventually(lambda: condition(shared.config()).get("status") == "True", limit=2.0)
        _rounds(controller, 2)
    config = shared.config()
    assert condition(config)["status"] == condition(config, "Ready")["status"] == "True"
    assert [line for line in receiver.events("status_disputed") if line["config"] == shared.name] == []


def _rounds(controller: KargoController, count: int) -> None:
    """Wait until Kargo's controller has come back so many times."""
    wanted = controller.rounds + count

    def reached() -> bool:
        assert controller.failure is None, controller.failure
        return controller.rounds >= wanted

    eventually(reached)


def _writes(receiver: ReceiverProcess, project: Project) -> int:
    """How often it wrote this Project's status; other tests' Projects are none of our business."""
    return len([line for line in receiver.events("status_written") if line["config"] == project.name])
