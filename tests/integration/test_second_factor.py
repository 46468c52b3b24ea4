"""The second factor in a receiver's Secret: demanded, rotated at once, told of, never logged."""

import base64
from collections.abc import Callable

from e2e.controlplane.waiting import eventually
from e2e.kargo.project import Project, image
from tests.support.azure import REGISTRY, image_push, ping
from tests.support.configs import condition
from tests.support.receiver_process import ReceiverFactory

SECRET = {"secret": "a-secret-that-is-long-enough"}
PAIR = {"receiver-username": "ado-of-contoso", "receiver-password": "pa:ss-wörd"}
HEADER = {"receiver-authorization": "Bearer from-acr-with-lövé"}


def _basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def test_what_the_secret_demands_is_demanded_at_once(
    new_project: Callable[..., Project], start_receiver: ReceiverFactory
) -> None:
    """None, a pair, another pair, a header, both, none again: each change takes effect with no restart."""
    project = new_project(secret=SECRET["secret"]).create()
    project.add_warehouse("app", image(f"{REGISTRY}/app"))
    receiver = start_receiver("--log-level=debug")
    good = _basic("ado-of-contoso", "pa:ss-wörd")
    # http.client sends Latin-1: so the bytes on the wire are those of UTF-8.
    bearer = {"Authorization": HEADER["receiver-authorization"].encode().decode("latin-1")}
    rotated = {**PAIR, "receiver-password": "the-new-one"}
    new = _basic("ado-of-contoso", "the-new-one")
    wrong = _basic("ado-of-contoso", "wrong")
    steps: list[tuple[dict[str, str], list[dict[str, str]], list[dict[str, str]], str]] = [
        ({}, [{}, wrong], [], ""),
        (PAIR, [good], [{}, wrong, bearer, new], "demands basic authentication"),
        (rotated, [new], [{}, good, wrong], "demands basic authentication"),
        (HEADER, [bearer], [{}, new, {"Authorization": "Bearer x"}], "demands Authorization header"),
        ({**PAIR, **HEADER}, [good, bearer], [{}, new], "demands basic authentication or Authorization"),
        ({}, [{}, wrong], [], ""),
    ]
    for factors, accepted, refused, told in steps:
        project.put_secret({**SECRET, **factors})

        def in_force(
            accepted: list[dict[str, str]] = accepted, refused: list[dict[str, str]] = refused
        ) -> bool:
            return all(receiver.post(project.path, ping(), each).status == 200 for each in accepted) and all(
                receiver.post(project.path, ping(), each).status == 401 for each in refused
            )

        eventually(in_force, limit=2.0)
        for each in refused:
            answer = receiver.post(project.path, image_push("app"), each)
            assert answer.status == 401
            headers = {name.lower(): value for name, value in answer.headers.items()}
            assert headers["www-authenticate"].startswith("Basic")
            origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}
            assert receiver.request("OPTIONS", project.path, None, {**each, **origin}).status == 401
        before = project.refresh("app")
        assert receiver.post(project.path, image_push("app"), accepted[0]).status == 200
        assert project.refresh("app") != before

        def says(told: str = told) -> bool:
            message = condition(project.config()).get("message", "")
            return told in message if told else "served" in message and "demands" not in message

        eventually(says, limit=2.0)
    output = receiver.process.output()
    hidden = [*PAIR.values(), *HEADER.values(), "the-new-one", "from-acr-with-", SECRET["secret"]]
    hidden += [each["Authorization"].partition(" ")[2] for each in (good, new, wrong)]
    assert [value for value in hidden if value in output] == []
