"""The many URLs of one Azure repository, brought to one key: pure functions on normalized URLs.

Azure DevOps answers to two domains, two protocols and several generations of paths; a container registry to
its own host and to one per region. Hosts are matched whole: ``dev.azure.com.evil.example`` is nothing.
"""

import re
from urllib.parse import unquote_to_bytes

from controller.repositories.gotext import lower

KEY_PREFIX = "\x1f"
"""What begins with it is a key and no URL."""

_URL = re.compile(
    r"(?P<scheme>https?|ssh)://(?:(?P<user>[^/:@?#]*+)(?::[^/:@?#]*+)?@)?"
    r"(?P<host>[a-z0-9.-]++)(?::(?P<port>[0-9]*+))?/(?P<path>[^?#]*+)"
)
# How nearly all of them are written. A name that would be read in another way (".git", DefaultCollection) is
# left to the long way round.
_USUAL = re.compile(
    r"https://dev\.azure\.com/([a-z0-9][a-z0-9-]*+)/(?!defaultcollection/)([a-z0-9][a-z0-9._-]*+)/_git/"
    r"([a-z0-9][a-z0-9._-]*+)(?<!\.git)"
)
_PORTS = {"https": "443", "http": "80", "ssh": "22"}
_LEGACY_HOST = re.compile(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.visualstudio\.com")
_LEGACY_SSH_HOST = "vs-ssh.visualstudio.com"
_COLLECTION = "defaultcollection"
_VARIANTS = {"_optimized", "_full"}
"""How much of the repository a clone shall fetch; not a part of its name."""
_MAX_SEGMENTS = 7

_NEVER_IN_NAMES = re.compile(r"[/\x00-\x1f\x7f]")

_REGIONAL = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*+)\.[a-z0-9]+(?:-[a-z0-9]+)*+\.geo\.azurecr\.io(?=/)")


def azure_git_key(url: str) -> str | None:
    """Return the key of the Azure DevOps repository that a normalized Git URL names, or None.

    Two URLs have one key exactly if organization, project and repository are the same, with case folded
    and escapes decoded. Never raises, for any text.
    """
    if "dev.azure.com" not in url and "visualstudio.com" not in url:
        return None
    usual = _USUAL.fullmatch(url)
    if usual is not None:
        return f"{KEY_PREFIX}ado{KEY_PREFIX}{usual[1]}/{usual[2]}/{usual[3]}"
    match = _URL.fullmatch(url)
    if match is None or (match["port"] or _PORTS[match["scheme"]]) != _PORTS[match["scheme"]]:
        return None
    segments = _segments(match["path"])
    if segments is None:
        return None
    if match["scheme"] == "ssh":
        names = _over_ssh(match["host"], _decoded(match["user"] or ""), segments)
    else:
        names = _over_http(match["host"], segments)
    return None if names is None else f"{KEY_PREFIX}ado{KEY_PREFIX}{'/'.join(names)}"


def registry_key(url: str) -> str:
    """Return a normalized image URL with a registry's regional endpoint replaced by the registry itself.

    A push through ``{registry}.{region}.geo.azurecr.io`` is a push to ``{registry}.azurecr.io``; any other
    URL is returned unchanged.
    """
    match = _REGIONAL.match(url)
    return url if match is None else f"{match[1]}.azurecr.io{url[match.end() :]}"


def _over_http(host: str, segments: list[str]) -> tuple[str, str, str] | None:
    if host == "dev.azure.com":
        return _named(segments[0], segments[1:], "_git")
    legacy = _LEGACY_HOST.fullmatch(host)
    if legacy is None or host == _LEGACY_SSH_HOST:
        return None
    return _named(legacy[1], segments, "_git")


def _over_ssh(host: str, user: str | None, segments: list[str]) -> tuple[str, str, str] | None:
    if host in ("ssh.dev.azure.com", _LEGACY_SSH_HOST) and segments[0] == "v3":
        if len(segments) == 5 and segments[3] in _VARIANTS:
            del segments[3]
        return (segments[1], segments[2], segments[3]) if len(segments) == 4 else None
    if host == _LEGACY_SSH_HOST:
        return _named(user, segments, "_ssh") if user else None
    legacy = _LEGACY_HOST.fullmatch(host)
    return None if legacy is None else _named(legacy[1], segments, "_ssh")


def _named(organization: str, path: list[str], marker: str) -> tuple[str, str, str] | None:
    """Read ``[project]/{marker}/repository``, where a missing project is called as its repository."""
    if marker not in path:
        return None
    project, repository = path[: path.index(marker)], path[path.index(marker) + 1 :]
    if _COLLECTION in project:
        project.remove(_COLLECTION)
    if repository and repository[0] in _VARIANTS:
        del repository[0]
    if len(repository) != 1 or len(project) > 1:
        return None
    return organization, (project or repository)[0], repository[0]


def _segments(path: str) -> list[str] | None:
    """Split into decoded, lower-case segments; None if there are too many or one can't be a name."""
    end = len(path)
    while end and (path[end - 1] == "/" or path.endswith(".git", 0, end)):
        end -= 1 if path[end - 1] == "/" else len(".git")
    parts = path[:end].split("/", _MAX_SEGMENTS)
    if len(parts) > _MAX_SEGMENTS:
        return None
    decoded = [_decoded(part) for part in parts]
    segments = [part for part in decoded if part is not None]
    return segments if len(segments) == len(parts) else None


def _decoded(part: str) -> str | None:
    """Decode a segment; None for what is no name: empty, dots, a slash or control character in it."""
    try:
        text = lower(unquote_to_bytes(part).decode("utf-8"))
    except UnicodeError:
        return None
    if not text.strip(" .") or _NEVER_IN_NAMES.search(text):
        return None
    return text
