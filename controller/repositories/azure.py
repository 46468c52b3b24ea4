"""The many URLs of one Azure repository, brought to one key: pure functions on normalized URLs.

Azure DevOps' cloud answers to two domains, two protocols and several generations of paths; Azure DevOps
Server to a customer's own host; a container registry to its own host and to one per region. Hosts are matched
whole: ``dev.azure.com.evil.example`` is a host of its own.
"""

import re
from urllib.parse import unquote_to_bytes

from controller.repositories.gotext import lower

KEY_PREFIX = "\x1f"
"""What begins with it is a key and no URL."""
_CLOUD_KEY = f"{KEY_PREFIX}ado{KEY_PREFIX}"
_SERVER_KEY = f"{KEY_PREFIX}ado-server{KEY_PREFIX}"
_SERVER_SSH_KEY = f"{KEY_PREFIX}ado-server-ssh{KEY_PREFIX}"

_URL = re.compile(
    r"(?P<scheme>https?|ssh)://(?:(?P<user>[^/:@?#]*+)(?::[^/:@?#]*+)?@)?"
    r"(?P<host>\[[^]/@?#]*+\]|[^]/:@?#[]++)(?::(?P<port>[0-9]*+))?/(?P<path>[^?#]*+)"
)
# How nearly all of them are written. A name that would be read in another way (".git", DefaultCollection) is
# left to the general rules.
_USUAL = re.compile(
    r"https://dev\.azure\.com/([a-z0-9][a-z0-9-]*+)/(?!defaultcollection/)([a-z0-9][a-z0-9._-]*+)/_git/"
    r"([a-z0-9][a-z0-9._-]*+)(?<!\.git)"
)
_PORTS = {"https": "443", "http": "80", "ssh": "22"}
_CLOUD_HOST = re.compile(r"(?:.*\.)?(?:dev\.azure|visualstudio)\.com")
_LEGACY_HOST = re.compile(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.visualstudio\.com")
_LEGACY_SSH_HOST = "vs-ssh.visualstudio.com"
_COLLECTION = "defaultcollection"
_MARKERS = {"https": ("_git",), "http": ("_git",), "ssh": ("_ssh", "_git")}
"""The segment before a repository's name. Over SSH, the oldest URLs have either."""
_VARIANTS = {"_optimized", "_full"}
"""How much of the repository a clone shall fetch; not a part of its name."""
_MAX_SEGMENTS = 16

_NEVER_IN_NAMES = re.compile(r"[/\x00-\x1f\x7f]")

_DEFAULT_PORT = re.compile(r"([^/:]++):443(?=/)")
_REGIONAL = re.compile(
    r"([a-z0-9]+(?:-[a-z0-9]+)*+)\.[a-z0-9]+(?:-[a-z0-9]+)*+\.geo\.(azurecr\.(?:io|cn|us|de))(?=/)"
)
_SERVER_PLACE = re.compile(rf"{_SERVER_KEY}(\[[^]]*+\]|[^/:]++)(?::[0-9]*+)?(?:/tfs(?=/))?(/.*)", re.DOTALL)


def azure_git_key(url: str) -> str | None:
    """Return the key of the Azure DevOps repository that a normalized Git URL names, or None.

    In the cloud, two URLs have one key exactly if organization, project and repository are the same; on a
    server, if host, port, collection, project and repository are (over SSH, host, collection, project and
    repository). Case is folded and escapes are decoded. Never raises, for any text.
    """
    if "/_git/" not in url and "dev.azure.com" not in url and "visualstudio.com" not in url:
        return None
    usual = _USUAL.fullmatch(url)
    if usual is not None:
        return f"{_CLOUD_KEY}{usual[1]}/{usual[2]}/{usual[3]}"
    match = _URL.fullmatch(url)
    segments = _segments(match["path"]) if match is not None else None
    if match is None or segments is None:
        return None
    scheme, host = match["scheme"], match["host"]
    port = "" if match["port"] in (None, "", _PORTS[scheme]) else f":{match['port']}"
    if _CLOUD_HOST.fullmatch(host):
        names = None if port else _in_cloud(scheme, host, match["user"], segments)
        return None if names is None else f"{_CLOUD_KEY}{'/'.join(names)}"
    place = _split(segments, _MARKERS[scheme])
    if place is None:
        return None
    above, repository = place
    if above and above[-1] == repository:
        above = above[:-1]  # the project's own repository, which URLs may name without the project
    key = f"{_SERVER_KEY}{'/'.join((host + port, *above, repository))}"
    return server_ssh_key(key) if scheme == "ssh" else key


def server_ssh_key(key: str) -> str | None:
    """Return the key that SSH URLs of an Azure DevOps Server repository have; None for other keys.

    An SSH URL has a port of its own, and may leave out the virtual directory ``tfs``: so its key holds
    neither, and an event, whose URL is a web URL, looks it up beside the event's own.
    """
    match = _SERVER_PLACE.fullmatch(key)
    return None if match is None else f"{_SERVER_SSH_KEY}{match[1]}{match[2]}"


def registry_key(url: str) -> str:
    """Return a normalized image URL without the default port, at the registry instead of its region.

    A push through ``{registry}.{region}.geo.azurecr.io`` is a push to ``{registry}.azurecr.io``, and likewise
    in the sovereign clouds; any other URL is returned unchanged.
    """
    written_port = _DEFAULT_PORT.match(url)
    if written_port is not None:
        url = written_port[1] + url[written_port.end() :]
    match = _REGIONAL.match(url)
    return url if match is None else f"{match[1]}.{match[2]}{url[match.end() :]}"


def _in_cloud(scheme: str, host: str, user: str | None, segments: list[str]) -> tuple[str, str, str] | None:
    """Return organization, project and repository."""
    if scheme == "ssh" and host in ("ssh.dev.azure.com", _LEGACY_SSH_HOST) and segments[0] == "v3":
        if len(segments) == 5 and segments[3] in _VARIANTS:
            del segments[3]
        return (segments[1], segments[2], segments[3]) if len(segments) == 4 else None
    legacy = _LEGACY_HOST.fullmatch(host)
    organization: str | None
    if scheme != "ssh" and host == "dev.azure.com":
        organization, *segments = segments
    elif host == _LEGACY_SSH_HOST:
        organization = _decoded(user or "") if scheme == "ssh" else None
    else:
        organization = legacy[1] if legacy is not None else None
    place = _split(segments, _MARKERS[scheme])
    if organization is None or place is None:
        return None
    project, repository = place
    if _COLLECTION in project:
        project.remove(_COLLECTION)
    if len(project) > 1:
        return None
    return organization, (project or [repository])[0], repository


def _split(segments: list[str], markers: tuple[str, ...]) -> tuple[list[str], str] | None:
    """Split ``…/{marker}/repository`` into what stands above the marker, and the repository."""
    marker = next((at for at, segment in enumerate(segments) if segment in markers), None)
    if marker is None:
        return None
    repository = segments[marker + 1 :]
    if repository and repository[0] in _VARIANTS:
        del repository[0]
    return (segments[:marker], repository[0]) if len(repository) == 1 else None


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
