"""Plain requests to the API server: for what tests do a thousand times, too slow with a kubectl each."""

import contextlib
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from e2e.controlplane.errors import ControlPlaneError
from e2e.controlplane.ports import HOST

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
CLOSED_WHILE_IDLE = (http.client.RemoteDisconnected, BrokenPipeError, ssl.SSLEOFError)
"""What a request over a kept connection meets that the API server has closed in the meantime."""


class RequestError(ControlPlaneError):
    """The API server answered with another status than 2xx."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status} {body[:500]}")
        self.status = status


class Api:
    """One user's connection to the API server, kept open; TLS is verified. Not for use by several threads."""

    def __init__(self, port: int, ca: Path, token: str) -> None:
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._connection: http.client.HTTPSConnection | None = None

    def get(self, path: str) -> Any:
        """GET; raises RequestError for an answer other than 2xx, OSError if there is none."""
        return self.request("GET", path)

    def create(self, path: str, body: object) -> Any:
        """POST one object to the path of its collection."""
        return self.request("POST", path, body)

    def patch(self, path: str, body: object) -> Any:
        """Apply a JSON merge patch."""
        return self.request("PATCH", path, body, content_type=MERGE_PATCH)

    def delete(self, path: str) -> Any:
        """DELETE one object, or all of a collection."""
        return self.request("DELETE", path)

    def request(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json"
    ) -> Any:
        """Send one request and return the decoded JSON answer (text where it is none, such as /readyz)."""
        payload = None if body is None else json.dumps(body).encode()
        status, text = self._exchange(method, path, payload, {**self._headers, "Content-Type": content_type})
        if not 200 <= status < 300:
            raise RequestError(method, path, status, text)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        reused = self._connection is not None
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(HOST, self._port, context=self._tls, timeout=30)
        try:
            self._connection.request(method, path, payload, headers)
            with contextlib.closing(self._connection.getresponse()) as response:
                return response.status, response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if reused and isinstance(error, CLOSED_WHILE_IDLE):
                return self._exchange(method, path, payload, headers)
            if isinstance(error, http.client.HTTPException):
                raise ConnectionError(str(error)) from error
            raise
