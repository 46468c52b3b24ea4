"""The keys of the index of Warehouses: which text a subscription is filed under, and an event looks up.

One key per URL. What Kargo's normalization brings together stays together, whatever the kinds (Kargo's
index knows none); the many URLs of one Azure repository come together besides.
"""

import functools

from controller.repositories.azure import KEY_PREFIX, azure_git_key, registry_key
from controller.repositories.normalize import normalize_chart, normalize_git, normalize_image

_NORMALIZE = {"git": normalize_git, "image": normalize_image, "chart": normalize_chart}


def subscription_key(kind: str, url: str) -> str:
    """Return the key of a subscription of this kind (``git``, ``image`` or ``chart``).

    Never raises, for any text in ``url``.
    """
    normalized = _NORMALIZE[kind](url)
    key = azure_git_key(normalized)
    if key is not None:
        return key
    if normalized.startswith(KEY_PREFIX):
        return f"{KEY_PREFIX}text{KEY_PREFIX}{normalized}"  # a URL given so can't pose as a key of ours
    return registry_key(normalized)


@functools.lru_cache(maxsize=1024)
def event_keys(kind: str, url: str) -> tuple[str, ...]:
    """Return the distinct keys to look up for an event about a repository (``git`` or ``image``).

    A pushed image may as well be a chart: nothing in the event tells them apart. Never raises, for any
    text in ``url``.
    """
    if kind == "git":
        return (subscription_key("git", url),)
    return tuple(dict.fromkeys((subscription_key("image", url), subscription_key("chart", url))))
