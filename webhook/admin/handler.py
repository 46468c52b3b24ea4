"""The base of every handler of the admin port: GET and HEAD, JSON, and errors of one line."""

import traceback
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from tornado import web

log = structlog.get_logger()

SAFE = {
    # Only our own style sheet and icon: no script, no frame, no form that leads elsewhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer."""


class Handler(web.RequestHandler):
    """Answers in JSON, errors too."""

    SUPPORTED_METHODS = ("GET", "HEAD")

    def set_default_headers(self) -> None:
        """Set the headers of every answer."""
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json")
        for name, value in SAFE.items():
            self.set_header(name, value)

    def answer(self, code: int, body: Any) -> None:
        """Answer with JSON."""
        self.set_status(code)
        self.finish(msgspec.json.encode(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a request that is refused or failed."""
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", "GET, HEAD")
        self.refuse(status_code, _line(status_code, kwargs.get("exc_info")))

    def refuse(self, code: int, line: str) -> None:
        """Write an error."""
        self.answer(code, {"error": line})

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log a fault of our own; a refused request is none."""
        if not isinstance(value, web.HTTPError):
            frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(tb)[-5:]]
            log.error("admin_request_failed", error=repr(value), where=frames)

    def head(self, *args: str) -> Any:
        """Answer as for GET; Tornado leaves the body out."""
        return self.get(*args)

    def get(self, *args: str) -> Any:
        """Answer."""
        raise NotImplementedError


class Unknown(Handler):
    """Any other path."""

    def get(self, *args: str) -> None:
        """Answer 404."""
        self.answer(HTTPStatus.NOT_FOUND, {"error": "not found"})


def _line(code: int, raised: Any) -> str:
    error = raised[1] if raised else None
    said = error.log_message if isinstance(error, web.HTTPError) else None
    return said or HTTPStatus(code).phrase.lower()
