"""Takes credentials out of a repository's URL before it is kept or logged."""

import re

_SUSPECT = re.compile(r'[^ !"$->A-~]')  # one class: three times as fast as "[@?#]|[^ -~]"
"""What a URL with credentials can't do without, or may hide them behind."""
_PREFIX = re.compile(r"(?:[^/@:]*:)?/+")
_HOST_AND_PORT = re.compile(r"(?:\[[^]/@]*\]|[^]:/@\[]*)(?::[0-9]*)?")
_NESTED = re.compile(r"//[^/@:]*:[^/@]*@")


def without_credentials(url: str) -> str:
    """Return the URL without password, query and fragment, and over HTTP without the user's name.

    It is read as leniently as Kargo's normalization reads it, which drops characters that can't be printed.
    Both URLs have one normal form, as that ignores user info over HTTP; but for a password over SSH, a query
    or a fragment, which Kargo compares as a part of the URL.
    """
    if not _SUSPECT.search(url):
        return url
    text = (url if url.isprintable() else "".join(filter(str.isprintable, url))).strip()
    kept = _without_user_info(re.split("[?#](?=.)", text, maxsplit=1)[0])
    return url if kept == text else kept


def _without_user_info(text: str) -> str:
    prefix = _PREFIX.match(text)
    scheme, rest = (prefix[0], text[prefix.end() :]) if prefix else ("", text)
    authority = rest.partition("/")[0]
    if "@" in authority:
        end = authority.rindex("@")
    elif _HOST_AND_PORT.fullmatch(authority) or not (scheme or ":" in authority):
        return scheme + _NESTED.sub("//", rest)
    elif "@" in rest:  # the password holds a slash
        end = rest.rindex("@")
    else:  # a password that was cut off with what looked like a query; or host:path
        return scheme + authority.partition(":")[0] if scheme else text
    user, _, password = rest[:end].partition(":")
    if scheme.lower().startswith(("http:", "https:")):
        return scheme + rest[end + 1 :]
    return f"{scheme}{user}@{rest[end + 1 :]}" if password else text
