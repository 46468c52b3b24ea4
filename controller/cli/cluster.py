"""The cluster as the commands read it: with the rights of whoever calls them."""

import argparse
import contextlib
from collections.abc import AsyncIterator, Mapping

import msgspec

from controller.cli import setting_values, settings
from controller.cli.command import PROGRAM, WRONG_USE, CommandError
from controller.cli.table import add_output
from controller.runtime.api.client import Client
from controller.runtime.api.configuration import load_configuration
from controller.runtime.api.errors import (
    UNDECODABLE,
    ApiError,
    ConfigurationError,
    Forbidden,
    NotFound,
    Unauthorized,
)
from controller.runtime.api.resource import Resource
from controller.runtime.api.wire import parse_page
from controller.runtime.clock import Clock

PAGE = 500
"""Objects asked for at a time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every command has which reads a cluster."""
    add_output(parser)
    settings.add_flag(parser, "kubeconfig", "default: as for kubectl")
    settings.add_flag(parser, "system_namespace")


def add_base_url(parser: argparse.ArgumentParser) -> None:
    """Add ``--base-url``."""
    settings.add_flag(parser, "base_url", "public base URL; default: the one found in status")


def project(text: str) -> str:
    """Read a Project's name, for argparse: with any other the API server would be asked another question."""
    try:
        return setting_values.namespace(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!a} {error}") from error


def receiver(text: str) -> str:
    """Read ``PROJECT/NAME``, for argparse."""
    where, _, name = text.partition("/")
    if not name:
        raise argparse.ArgumentTypeError(f"{text[:80]!a} must be PROJECT/NAME or cluster/NAME")
    project(where)
    return text


def setting(name: str, arguments: argparse.Namespace, environ: Mapping[str, str]) -> str:
    """Read a field of Settings as ``run`` does; empty if it is not set. Raises SettingsError."""
    return str(settings.read_one(name, arguments, environ) or "")


@contextlib.asynccontextmanager
async def connected(arguments: argparse.Namespace, environ: Mapping[str, str]) -> AsyncIterator[Client]:
    """Yield a client for the cluster that flags and environment name.

    Raises CommandError for a configuration that can't be used, and for any fault of the API that is raised
    meanwhile.
    """
    clock = Clock()
    try:
        configuration = await load_configuration(setting("kubeconfig", arguments, environ) or None, clock)
        client = Client(configuration, clock=clock, user_agent=PROGRAM)
    except ConfigurationError as error:
        raise CommandError(str(error), WRONG_USE) from error
    try:
        yield client
    except (ApiError, *UNDECODABLE) as error:
        raise CommandError(explained(error)) from error
    finally:
        await client.close()


def explained(error: Exception) -> str:
    """Return one line for a fault of the API: an ApiError, or one that UNDECODABLE names."""
    if isinstance(error, Forbidden):
        where = f"in namespace {error.namespace}" if error.namespace else "in all namespaces"
        return f"you lack the right to {error.verb} {error.resource} {where}"
    if isinstance(error, Unauthorized):
        return "the cluster does not accept your credentials: log in anew, or name another --kubeconfig"
    if isinstance(error, NotFound) and error.verb == "list":
        return f"the cluster has no {error.resource}: is Kargo installed in it?"
    if isinstance(error, ApiError):
        return str(error)
    return f"the answer is not one of the Kubernetes API (a proxy's page?): {error}"


async def every(client: Client, resource: Resource, namespace: str | None = None) -> list[msgspec.Raw]:
    """List all objects of a kind, page by page; in all namespaces without ``namespace``.

    Raises ApiError, or what UNDECODABLE names for a list that is none.
    """
    found: list[msgspec.Raw] = []
    token = None
    while True:
        page = parse_page(
            await client.list_page(resource, namespace=namespace, limit=PAGE, continue_token=token)
        )
        found += page.items or ()
        token = page.token
        if not token:
            return found
