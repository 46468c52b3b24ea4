"""The receivers' last deliveries, as the running replicas know them: each has a history of its own."""

import argparse
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controller.cli import settings
from webhook.admin.fleet import merged_receivers
from webhook.admin.peers import Address, Peers
from webhook.admin.reports import Overview
from webhook.admin.text import visible
from webhook.journal.history import Summary

NOT_KNOWN = "last deliveries are not known"


class LastDeliveries(NamedTuple):
    """What the replicas that answered know."""

    replicas: Sequence[str] = ()
    """Their names; with none of them nothing is known."""
    receivers: Mapping[str, Summary] = {}
    """By ``namespace/name``."""
    notes: Sequence[str] = ()
    """Which are not among them and why, a line each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--peers``."""
    settings.add_flag(
        parser, "peers", "admin ports of the running receivers, to be asked for last deliveries"
    )


async def last_deliveries(arguments: argparse.Namespace, environ: Mapping[str, str]) -> LastDeliveries:
    """Ask the replicas that flag or environment name, for a second; raises SettingsError.

    Without any, or with none that answers, nothing is known, and the notes say why.
    """
    address = settings.read_one("peers", arguments, environ)
    if address is None:
        return LastDeliveries(
            notes=[f"{NOT_KNOWN}: run this in a receiver's Pod, or give its admin port by --peers HOST:PORT"]
        )
    peers = Peers(Address(*address), secrets.token_hex(8))
    try:
        found = await peers.ask("", Overview)
    finally:
        await peers.close()
    notes = [f"{trouble.peer}: {trouble.why}" for trouble in found.troubles]
    notes += [f"{each.replica}: {each.error}" for each in found.answers if each.error]
    readable = [each for each in found.answers if not each.error]
    rows = merged_receivers([(each.replica, each.receivers) for each in readable])
    if not (readable or notes):
        notes.append(f"{Address(*address)}: it is no receiver's admin port")
    return LastDeliveries(
        [each.replica for each in readable],
        {row.name: row.summary for row in rows},
        [f"{NOT_KNOWN} of {visible(note)}" for note in notes],
    )
