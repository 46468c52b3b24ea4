"""Kargo's normalization of repository URLs: pure functions, equal to Kargo's byte for byte.

Two URLs name one repository, for Kargo, if they normalize to the same text. The rules are those of Kargo's
``pkg/urls`` (August 2026); whatever can't be normalized is returned as it was given. No function raises,
for any text, and each takes time linear in its length.
"""

import re

from controller.repositories import gourl, image_reference
from controller.repositories.gotext import clean, lower, printable
from controller.repositories.normalize_ssh import normalize_ssh

# The usual web URL: nothing in it that Go would reject or encode differently ("%20" is Go's own way).
_PLAIN_HOST = r"[A-Za-z0-9._-]+(?::[0-9]*)?"
_PLAIN_WEB = re.compile(
    rf"(https?://)(?:[A-Za-z0-9._-]*+(?::[A-Za-z0-9._-]*+)?@)?({_PLAIN_HOST})(/(?:[A-Za-z0-9._~/-]|%20)*+)",
    re.IGNORECASE | re.ASCII,
)
# An image in a registry that is not Docker Hub's, without tag and digest: as it was given.
_PLAIN_IMAGE = re.compile(
    r"(?!(?:[a-z0-9-]++\.)?docker\.io/)[a-z0-9-]++(?:\.[a-z0-9-]++)++/[a-z0-9_./-]{2,255}"
)
# What Go parses as a URL without a second look: a relative path without colons, or a plain absolute URL.
_PLAIN_CHART = re.compile(rf"(?:[A-Za-z0-9._~/-]+|[A-Za-z]+://{_PLAIN_HOST}(?:/[A-Za-z0-9._~/-]*)?)")


def normalize_git(url: str) -> str:
    """Normalize the URL of a Git repository: web URLs, and the SSH forms."""
    plain = _PLAIN_WEB.fullmatch(url)
    if plain is not None:
        path = plain[3].removesuffix("/").lower().removesuffix(".git")
        return (plain[1] + plain[2]).lower() + path
    cleaned = clean(url)
    try:
        if not cleaned.startswith(("http://", "https://")):
            return normalize_ssh(cleaned)
        parsed = gourl.parse(cleaned.encode("utf-8"))
    except ValueError:
        return url
    if parsed.has_parameters():
        return url
    parsed.user = None
    parsed.path = parsed.path.removesuffix(b"/").removesuffix(b".git")
    return str(parsed)


def normalize_image(url: str) -> str:
    """Normalize the URL of an image repository: without tag and digest, without Docker Hub's prefixes."""
    if _PLAIN_IMAGE.fullmatch(url):
        return url
    try:
        registry, name = image_reference.parse(clean(url))
    except ValueError:
        return url
    if registry in (image_reference.DOCKER_HUB, "registry-1.docker.io"):
        return name.removeprefix("library/")
    return f"{registry}/{name}"


def normalize_chart(url: str) -> str:
    """Normalize the URL of a chart repository: without ``oci://``, then as an image where it is one."""
    if _PLAIN_IMAGE.fullmatch(url):
        return url
    text = printable(url)
    if not _PLAIN_CHART.fullmatch(text):
        try:
            gourl.parse(text.encode("utf-8"))
        except ValueError:
            return url
    return normalize_image(lower(text).removeprefix("oci://"))
