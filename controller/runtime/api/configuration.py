"""Where the API server is and how to identify to it: in-cluster or from a kubeconfig.

What the library reads is taken over; what it leaves to its users is added: credentials that are renewed while
the process runs, a proxy looked up once, and one readable error.
"""

import asyncio
import contextlib
import copy
import logging
import os
import signal
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import structlog
import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

from controller.runtime.api.errors import ConfigurationError, one_line
from controller.runtime.clock import Clock

RENEWAL_SECONDS = 60.0
"""Between two looks at a kubeconfig's token; client-go rereads token files as often."""
PLUGIN_SECONDS = 20.0
"""For a kubeconfig's exec plugin to print credentials: requests wait for it."""

TOKEN = "BearerToken"  # noqa: S105  the library's name for where it keeps the header's value

T = TypeVar("T")

log = structlog.get_logger()

LIBRARY_LOG = logging.getLogger("kubernetes.aio.config.kube_config")

ReadToken = Callable[[], Awaitable[str | None]]
"""Reads a token anew, with its type before it; None where there is none."""

CREDENTIAL_FAULTS = (ConfigException, OSError, ValueError)
"""What reading credentials anew may raise in the middle of a request."""


async def load_configuration(kubeconfig: str | None, clock: Clock) -> Configuration:
    """Load ``kubeconfig`` (a path, or several as in ``KUBECONFIG``).

    Without one: the environment's ``KUBECONFIG``; else the in-cluster configuration, when running in a Pod;
    else ``~/.kube/config``. Raises ConfigurationError with one line that says what is wrong.
    """
    configuration: Any = Configuration()  # Any: the library declares its hook as always None
    paths = kubeconfig or os.environ.get("KUBECONFIG")
    read_token: ReadToken | None = _service_token
    try:
        if not paths and _in_pod():
            load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
        else:
            read_token = await _load_kubeconfig(configuration, _existing(paths or "~/.kube/config"))
    except ConfigException as error:
        raise ConfigurationError(one_line(error)) from error
    except TimeoutError as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {error.filename or 'the cluster configuration'}: {error.strerror}"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"the kubeconfig is not valid YAML: {one_line(error)}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The library reads a kubeconfig without checking its shape.
        raise ConfigurationError(f"the kubeconfig is not valid: {one_line(error)}") from error
    if TOKEN in configuration.api_key:  # a token file ends in a newline, a header must not
        configuration.api_key[TOKEN] = configuration.api_key[TOKEN].strip()
    _require_usable(configuration)
    if read_token is not None:
        configuration.refresh_api_key_hook = _renewing(read_token, clock)
    _use_proxy(configuration)
    return cast("Configuration", configuration)


def _require_usable(configuration: Any) -> None:
    """Raise ConfigurationError, which shows neither, for what each request would fail by."""
    if not str(configuration.api_key.get(TOKEN, "")).isprintable():
        raise ConfigurationError("the token of the cluster configuration holds a line break or the like")
    try:
        server = urlsplit(str(configuration.host))
        usable = server.scheme in ("http", "https") and bool(server.hostname) and server.port != 0
    except ValueError:
        usable = False
    if not usable or server.username is not None:
        raise ConfigurationError("the cluster's server is no URL such as https://HOST:PORT")


def api_client(configuration: Configuration, connections: int, user_agent: str = "") -> ApiClient:
    """Build the library's client with a pool of so many connections; 0 sets no limit.

    To be called on a running event loop. Raises ConfigurationError if a certificate can't be loaded.
    """
    own = copy.deepcopy(configuration)  # the hook that renews the token is given, and fills, this copy
    own.connection_pool_maxsize = connections
    # trust_env makes aiohttp read ~/.netrc in a thread for each request: 350 µs of 500 (measured). The
    # library's read buffer of 2 MiB per connection is for readline, which is not used.
    own.client_session_kwargs = {
        "trust_env": False,
        "cookie_jar": aiohttp.DummyCookieJar(),
        "read_bufsize": 256 * 1024,
        # On a local network, compressing takes longer than sending.
        "headers": {"Accept-Encoding": "identity", "User-Agent": user_agent or "python"},
    }
    try:
        return ApiClient(own)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"a certificate of the cluster configuration is unusable: {error}"
        ) from error


def _in_pod() -> bool:
    return bool(os.environ.get(SERVICE_HOST_ENV_NAME)) and os.path.exists(SERVICE_TOKEN_FILENAME)


def _existing(paths: str) -> str:
    """Return those of ``paths`` that exist, as kubectl does; raise ConfigurationError if none is usable."""
    files = [os.path.expanduser(path) for path in paths.split(os.pathsep) if path]
    found = [path for path in files if os.path.exists(path)]
    if not found:
        raise ConfigurationError(f"no kubeconfig at {os.pathsep.join(files)}, and not running in a Pod")
    for path in found:
        with open(path, encoding="utf-8") as file:  # the library's own errors don't say which file it was
            if not isinstance(yaml.safe_load(file), dict):
                raise ConfigurationError(f"{path} is not a kubeconfig")
    return os.pathsep.join(found)


async def _load_kubeconfig(configuration: Configuration, paths: str) -> ReadToken | None:
    """Load the files of ``paths``; return what reads their token anew, if it can change."""
    with _collected_errors() as errors:
        # persist_config=False: never write to the user's file.
        loader = await _in_time(
            load_kube_config(  # type: ignore[no-untyped-call]
                paths, client_configuration=configuration, persist_config=False
            )
        )
    if not getattr(loader, "host", None):
        raise ConfigurationError(f"{paths}: the current context's cluster has no server")
    user = loader._user  # noqa: SLF001  the library's refresh_token() reads the same, in a loop without an end
    if user is None:
        return None
    if "exec" in user:
        if TOKEN not in configuration.api_key and not configuration.cert_file:
            why = "; ".join(errors) or "it printed none"
            raise ConfigurationError(one_line(f"{paths}: the exec plugin gave no credentials: {why}"))
    elif "tokenFile" not in user or "token" in user:
        return None

    async def read_token() -> str | None:
        if "exec" in user:
            await loader.load_from_exec_plugin()
        else:
            loader._load_user_token()  # noqa: SLF001
        return getattr(loader, "token", None)

    return read_token


@contextlib.contextmanager
def _collected_errors() -> Iterator[list[str]]:
    """Collect what the library logs meanwhile: it reports a failing exec plugin in no other way."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    LIBRARY_LOG.addHandler(handler)
    try:
        yield messages
    finally:
        LIBRARY_LOG.removeHandler(handler)


async def _in_time(work: Awaitable[T]) -> T:
    """Await what may run an exec plugin; after PLUGIN_SECONDS kill the plugin and raise TimeoutError."""
    before = _children()
    try:
        async with asyncio.timeout(PLUGIN_SECONDS):
            return await work
    except TimeoutError:
        for plugin in _children() - before:  # the library forgets it, and it would run on
            with contextlib.suppress(ProcessLookupError):
                os.kill(plugin, signal.SIGKILL)
        message = f"the kubeconfig's exec plugin gave no credentials within {PLUGIN_SECONDS:g} s"
        log.warning("credentials_not_renewed", error=message)
        raise TimeoutError(message) from None


def _children() -> set[int]:
    """Return the process ids of this process's children; none where the system does not list them."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended
            found.update(map(int, file.read_text().split()))
    return found


def _renewing(read: ReadToken, clock: Clock) -> Callable[[Configuration], Awaitable[None]]:
    """Return a hook that puts a fresh token into a configuration; the library calls it before each request.

    The token is read at most once a minute, however many requests there are.
    """
    lock = asyncio.Lock()
    due = clock.monotonic() + RENEWAL_SECONDS
    token: str | None = None

    async def hook(configuration: Configuration) -> None:
        nonlocal due, token
        if clock.monotonic() >= due:
            async with lock:
                if clock.monotonic() >= due:
                    due = clock.monotonic() + RENEWAL_SECONDS  # also if it fails: not on each request
                    token = await _in_time(read())
        if token:
            configuration.api_key[TOKEN] = token.strip()

    return hook


async def _service_token() -> str:
    return f"bearer {Path(SERVICE_TOKEN_FILENAME).read_text()}"  # noqa: ASYNC240  a mounted file


def _use_proxy(configuration: Configuration) -> None:
    """Take the environment's proxy (HTTPS_PROXY, NO_PROXY), where the kubeconfig names none.

    Once and here, since aiohttp's ``trust_env`` reads ``~/.netrc`` in a thread for every request.
    """
    address = urlsplit(configuration.host)
    bypassed = urllib.request.proxy_bypass(address.netloc.rpartition("@")[2])
    if configuration.proxy is None and not bypassed:
        configuration.proxy = urllib.request.getproxies().get(address.scheme)
