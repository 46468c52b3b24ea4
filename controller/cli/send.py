"""``kargo-azure-receiver send``: sends what Azure would send: a test of the whole way, a pipeline's notifier.

The URL is given, or built from the Secret of a receiver that is named; it is never printed.
"""

import argparse
import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from controller.cli import calling, cluster
from controller.cli.calling import Answer, call, place, trust
from controller.cli.command import FAILED, WRONG_USE, CommandError, redacted
from controller.cli.receivers import read_configs, read_receivers
from controller.cli.table import write, write_json
from controller.kargo.objects import Secret
from controller.receivers.state import State
from controller.receivers.url import receiver_url, scope_of
from webhook.payloads import samples
from webhook.payloads.azure_devops import MERGED, UPDATED


class Event(NamedTuple):
    """One request, and what its answer must hold besides a 2xx."""

    body: Any
    """None for a request without one: then the method is OPTIONS."""
    headers: Mapping[str, str]
    answer: Mapping[str, str] = {}
    """Members of the answer's JSON."""
    answer_headers: Mapping[str, str] = {}


class Factor(NamedTuple):
    """The second factor: a header's value, or a user and a password; empty where there is none."""

    authorization: str
    username: str
    password: str

    def header(self) -> dict[str, str]:
        """Return the header to send. Raises CommandError for half a pair, or what is no header's value."""
        if self.authorization:
            if not self.authorization.isprintable():
                raise CommandError("--authorization holds what no header can: a line break, say", WRONG_USE)
            return {"Authorization": self.authorization}
        if bool(self.username) != bool(self.password):
            raise CommandError("--username and --password go together", WRONG_USE)
        if not self.username:
            return {}
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the events of ``send``, each with its flags."""
    events = parser.add_subparsers(dest="event", metavar="EVENT", required=True)
    _event(events, "ping", "what ACR's button Ping sends")
    acr = _event(events, "acr", "a pushed image or chart, as an ACR webhook sends it")
    acr.add_argument("image", metavar="HOST/REPOSITORY[:TAG][@DIGEST]")
    acr.add_argument("--chart", action="store_true", help="as `helm push` pushes it")
    git = _event(events, "git", "a push to Git, as an Azure DevOps service hook sends it")
    git.add_argument("repository", metavar="URL", help="the repository's remoteUrl: https://dev.azure.com/…")
    git.add_argument("--ref", action="append", default=[], help="branch or ref, repeatable; default: main")
    request = _event(events, "pr", "a pull request that was merged or updated, as Azure DevOps sends it")
    request.add_argument("page", metavar="URL", help="of its page: …/pullrequest/NUMBER")
    request.add_argument("--status", choices=("completed", "abandoned", "active"), default="completed")
    request.add_argument("--updated", action="store_true", help="event `updated`, whatever the status")
    grid = _event(events, "eventgrid", "pushed images, as Event Grid sends them; or its validation")
    grid.add_argument("image", nargs="?", metavar="HOST/REPOSITORY[:TAG][@DIGEST]")
    grid.add_argument("--schema", choices=("eventgrid", "cloudevents"), default="eventgrid")
    grid.add_argument("--validate", action="store_true", help="the question whether the URL wants events")


def _event(events: Any, name: str, help_text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = events.add_parser(
        name, help=help_text, description=f"Send {help_text}."
    )
    parser.add_argument("--url", metavar="URL", help="the receiver's URL, a credential [RECEIVER_URL]")
    parser.add_argument(
        "--receiver",
        metavar="PROJECT/NAME",
        type=cluster.receiver,
        help="a receiver of the cluster (ClusterConfig's: cluster/NAME)",
    )
    parser.add_argument(
        "--to",
        default="",
        metavar="[https://]HOST:PORT",
        help="connect to this port instead of the URL's host",
    )
    parser.add_argument("--username", help="of basic authentication [RECEIVER_USERNAME]")
    parser.add_argument("--password", help="[RECEIVER_PASSWORD]; from the Secret with --receiver")
    parser.add_argument("--authorization", metavar="VALUE", help="of the header [RECEIVER_AUTHORIZATION]")
    calling.add_arguments(parser)
    parser.add_argument(
        "--insecure-skip-tls-verify",
        action="store_true",
        help="accept any certificate",
    )
    cluster.add_arguments(parser)
    cluster.add_base_url(parser)
    return parser


async def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send one event; return 0 for a 2xx, 1 for any other answer. Raises CommandError."""
    event = _made(arguments)
    url, named = arguments.url, arguments.receiver
    if not url and not named:
        url = environ.get("RECEIVER_URL", "")
    if bool(url) == bool(named):
        raise CommandError("give either --url (RECEIVER_URL) or --receiver", WRONG_USE)
    seconds = calling.timeout(arguments)
    context = trust(arguments.ca_file, verify=not arguments.insecure_skip_tls_verify)
    factor = Factor(
        *(
            getattr(arguments, name) or environ.get(f"RECEIVER_{name.upper()}", "")
            for name in ("authorization", "username", "password")
        )
    )
    if named:
        url, secret = await _found(named, arguments, environ)
        if not any(factor):
            held = (secret.authorization, secret.username, secret.password)
            factor = Factor(*((value or b"").decode("latin-1").strip() for value in held))
    method = "OPTIONS" if event.body is None else "POST"
    body = None if event.body is None else json.dumps(event.body).encode()
    headers = {**event.headers, **factor.header()}
    answer = await call(place(url, arguments.to), method, body, headers, context=context, seconds=seconds)
    _write(answer, arguments.output)
    return 0 if 200 <= answer.status < 300 and _confirmed(event, answer) else FAILED


def _made(arguments: argparse.Namespace) -> Event:
    """Make the event that was asked for. Raises CommandError."""
    kind = arguments.event
    if kind == "ping":
        return Event(samples.ping(), samples.ACR_HEADERS)
    if kind == "git":
        return Event(samples.git_push(arguments.repository, *arguments.ref), samples.ADO_HEADERS)
    if kind == "pr":
        given = UPDATED if arguments.updated or arguments.status != "completed" else MERGED
        try:
            return Event(samples.pull_request(arguments.page, arguments.status, given), samples.ADO_HEADERS)
        except ValueError:
            raise CommandError("the pull request's URL must end in /pullrequest/NUMBER", WRONG_USE) from None
    if kind == "eventgrid" and arguments.validate:
        if arguments.schema == "cloudevents":
            origin = samples.ORIGIN_HEADERS["WebHook-Request-Origin"]
            return Event(None, samples.ORIGIN_HEADERS, answer_headers={"WebHook-Allowed-Origin": origin})
        code = str(uuid.uuid4()).upper()
        body = samples.event_grid_validation(code)
        return Event(body, samples.VALIDATION_HEADERS, {"validationResponse": code})
    image = arguments.image or ""
    host, _, repository = image.partition("/")
    if "://" in image or not host or not repository:
        raise CommandError("give an image as HOST/REPOSITORY:TAG, or --validate to Event Grid", WRONG_USE)
    if kind == "acr":
        return Event(samples.image_push(arguments.image, chart=arguments.chart), samples.ACR_HEADERS)
    if arguments.schema == "cloudevents":
        return Event(samples.cloud_event_push(arguments.image), samples.CLOUD_EVENT_HEADERS)
    return Event(samples.event_grid_push(arguments.image), samples.EVENT_GRID_HEADERS)


async def _found(name: str, arguments: argparse.Namespace, environ: Mapping[str, str]) -> tuple[str, Secret]:
    """Return URL and Secret of the receiver of this name. Raises CommandError."""
    base_url, system = (
        cluster.setting(each, arguments, environ) for each in ("base_url", "system_namespace")
    )
    async with cluster.connected(arguments, environ) as client:
        configs = await read_configs(client, scope_of(name) or "cluster")
        receivers = await read_receivers(client, configs, system)
    found = next((each for each in receivers if each.name == name), None)
    if found is None:
        raise CommandError(f"there is no Azure receiver {name}", WRONG_USE)
    if found.state.state is not State.SERVED or found.secret is None:
        raise CommandError(f"{name} is not served: {found.state.message}")
    url = found.url(base_url)
    if not url and arguments.to:
        url = receiver_url("http://receiver", found.state.digest)  # only its path counts
    if not url:
        raise CommandError(f"{name} has no current URL in status: give --base-url, or --to")
    return url, found.secret


def _confirmed(event: Event, answer: Answer) -> bool:
    """Whether the answer holds what Event Grid's validation looks for."""
    try:
        body = json.loads(answer.text) if event.answer else {}
    except ValueError:
        return False
    held = isinstance(body, dict) and event.answer.items() <= body.items()
    return held and all(answer.headers.get(name) == value for name, value in event.answer_headers.items())


def _write(answer: Answer, output: str) -> None:
    said = redacted(answer.text)  # a proxy's page may repeat the URL
    if output == "json":
        fields = {
            "status": answer.status,
            "answer": said,
            "seconds": round(answer.seconds, 3),
            "delivery": answer.delivery,
        }
        write_json(fields)
        return
    by = f"delivery {answer.delivery}" if answer.delivery else "no X-Delivery-Id: another server answered"
    text = "".join(char if char.isprintable() else " " for char in said.strip())
    write(f"{answer.status} in {answer.seconds * 1000:.0f} ms, {by}\n{text}\n")
