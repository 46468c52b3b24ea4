"""Whether the public URL leads to the receiver: an answer to a path that no receiver has tells."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Mapping

from controller.cli.calling import Answer, Place, call, place
from controller.cli.checks.findings import Finding, counted, error, ok, warning
from controller.cli.command import CommandError
from controller.receivers.url import receiver_url

NOBODY = "0" * 64
"""Digits that no receiver's path ends with."""
SOON = 14 * 86_400.0
"""Seconds that a certificate should be valid for yet."""
SUBJECT = "route"
_TO_THE_SERVICE = "route …/azure/ of the base URL to the Service kargo-azure-receiver: docs/install.md, Route"


async def check(base_url: str, *, context: ssl.SSLContext, seconds: float, from_pod: bool) -> list[Finding]:
    """Call the base URL, for at most twice ``seconds``; ``from_pod``: a NetworkPolicy may prevent that."""
    try:
        where = place(receiver_url(base_url, NOBODY))
    except (CommandError, ValueError):
        return [error(SUBJECT, "the base URL is no absolute http or https URL", "correct it")]
    try:
        answer = await call(where, "POST", b"{}", {}, context=context, seconds=seconds)
    except CommandError as fault:
        if from_pod:
            do = "the Pod's NetworkPolicy may be why: run doctor outside of the cluster as well"
            return [warning(SUBJECT, f"from this Pod, {fault}", do)]
        do = "see to DNS, firewall, Ingress and certificate: Azure calls it from the Internet"
        return [error(SUBJECT, str(fault), do)]
    found = [judge(answer, where)]
    if where.url.scheme == "https":
        with contextlib.suppress(OSError, TimeoutError, ValueError):  # the call has worked: a proxy, say
            async with asyncio.timeout(seconds):
                left = await _valid_for(where, context)
            found.append(judge_certificate(left))
    else:
        do = "use https: whoever reads the URL on its way can call it"
        found.append(warning("certificate", "none: the base URL is http", do))
    return found


def judge(answer: Answer, where: Place) -> Finding:
    """Judge the answer to a path that no receiver has."""
    host = where.url.host
    if answer.delivery and answer.status == 404:
        took = f"{answer.seconds * 1000:.0f} ms"
        return ok(SUBJECT, f"{host} leads to the receiver, which answered in {took}")
    if answer.delivery:
        text = f"{host} leads to the receiver, which answers {answer.status}"
        return warning(SUBJECT, text, "is it overloaded, or stopping? kubectl logs of its Pods")
    if 300 <= answer.status < 400:
        text = f"{host} redirects with status {answer.status}, which Azure does not follow"
        return error(SUBJECT, text, "make the base URL the one that it redirects to (http or https, say)")
    if answer.status in (502, 503, 504):
        text = f"{host} answers {answer.status}, not from the receiver: nothing is ready behind the Ingress"
        return error(SUBJECT, text, "see to the receiver's Pods and its Service's endpoints")
    text = (
        f"{host} leads to another server, Kargo's own perhaps: status {answer.status} without X-Delivery-Id"
    )
    return error(SUBJECT, text, _TO_THE_SERVICE)


def judge_certificate(left: float) -> Finding:
    """Judge for how many seconds more a trusted certificate is valid."""
    days = counted(round(left / 86_400), "day")
    if left < SOON:
        return warning("certificate", f"trusted, but expires in {days}", "renew it")
    return ok("certificate", f"trusted, valid for {days}")


async def _valid_for(where: Place, context: ssl.SSLContext) -> float:
    """Raises OSError, or ValueError where there is no date."""
    _, writer = await asyncio.open_connection(
        where.url.host, where.url.port, ssl=context, server_hostname=where.host
    )
    try:
        certificate: Mapping[str, object] = writer.get_extra_info("peercert") or {}
        return ssl.cert_time_to_seconds(str(certificate.get("notAfter"))) - time.time()
    finally:
        writer.close()
