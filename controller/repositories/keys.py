"""The keys of the indexes: which text a subscription is filed under, and an event looks up.

One key per URL. What Kargo's normalization brings together stays together, whatever the kinds (Kargo's
index knows none); the many URLs of one Azure repository come together besides.
"""

import functools
import re

from controller.repositories.azure import KEY_PREFIX, azure_git_key, registry_key, server_ssh_key
from controller.repositories.normalize import normalize_chart, normalize_git, normalize_image

_NORMALIZE = {"git": normalize_git, "image": normalize_image, "chart": normalize_chart}
_PAGE = "/pullrequest"
_LONGEST_NUMBER = 18
_IN_AZURE = re.compile(
    r"(?:[a-z]+://)?(?:[^/@]*@)?[^/@]*(?:\.azurecr\.|\bdev\.azure\.com|\.visualstudio\.com)", re.IGNORECASE
)


def subscription_key(kind: str, url: str) -> str:
    """Return the key of a subscription of this kind (``git``, ``image`` or ``chart``).

    Never raises, for any text in ``url``.
    """
    return _key(_NORMALIZE[kind](url))


@functools.lru_cache(maxsize=1024)
def event_keys(kind: str, url: str) -> tuple[str, ...]:
    """Return the distinct keys to look up for an event about a repository (``git`` or ``image``).

    A pushed image may as well be a chart: nothing in the event tells them apart. An Azure DevOps Server
    repository may be subscribed to by SSH. Never raises, for any text in ``url``.
    """
    if kind == "git":
        key = subscription_key("git", url)
        over_ssh = server_ssh_key(key)
        return (key,) if over_ssh is None else (key, over_ssh)
    names = dict.fromkeys((normalize_image(url), normalize_chart(url)))  # nearly always one
    return tuple(dict.fromkeys(map(_key, names)))


@functools.lru_cache(maxsize=1024)
def pull_request_key(url: str) -> str:
    """Return the key of a pull request by the URL of its page.

    In Azure DevOps that is its repository and number, however the URL is written; elsewhere it is the URL
    without query and fragment. Never raises, for any text.
    """
    page = re.split("[?#]", url, maxsplit=1)[0]
    above, _, number = page.rstrip("/").rpartition("/")
    if len(number) <= _LONGEST_NUMBER and number.isascii() and number.isdigit():
        above = above.rstrip("/")
        if above[-len(_PAGE) :].lower() == _PAGE:
            repository = azure_git_key(normalize_git(above[: -len(_PAGE)]))
            if repository is not None:
                return f"{repository}{KEY_PREFIX}{int(number)}"
    return _text_key(page)


def is_azure(key: str) -> bool:
    """Whether a subscription's key is of a repository in Azure: a registry of ACR, Azure DevOps, its Server.

    A look-alike host may pass too.
    """
    return key.startswith(f"{KEY_PREFIX}ado") or _IN_AZURE.match(key) is not None


def _key(normalized: str) -> str:
    return azure_git_key(normalized) or registry_key(_text_key(normalized))


def _text_key(text: str) -> str:
    """Return text as a key, marked where it would pass for a key of ours."""
    return f"{KEY_PREFIX}text{KEY_PREFIX}{text}" if text.startswith(KEY_PREFIX) else text
