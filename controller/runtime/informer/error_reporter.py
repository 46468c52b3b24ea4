"""Reports an informer's failing requests once, and their recovery once."""

from collections.abc import Callable
from typing import Any

from controller.runtime.api.errors import ApiError, StatusError


class ErrorReporter:
    """Remembers which failure of one informer was reported last.

    A failure is reported when it begins, and again only when it becomes another: of another class or status.
    It is over when the verb that failed works again; where both fail in one way, the list counts, since it
    comes before the watch. Reports go to ``on_error`` and ``on_recovered`` if the owner has given them, else
    to the log.
    """

    def __init__(
        self,
        log: Callable[[], Any],
        on_error: Callable[[ApiError], None] | None,
        on_recovered: Callable[[], None] | None,
    ) -> None:
        self._log = log
        self._on_error = on_error
        self._on_recovered = on_recovered
        self._failing: tuple[type[ApiError], int] | None = None
        self._verb = ""

    def failed(self, verb: str, error: ApiError, **data: Any) -> None:
        """Report that a ``list`` or a ``watch`` failed, if that is news."""
        failing = (type(error), error.status if isinstance(error, StatusError) else 0)
        if failing == self._failing:
            self._verb = "list" if verb == "list" else self._verb
            return
        self._failing, self._verb = failing, verb
        if self._on_error is not None:
            self._on_error(error)
        else:
            self._log().warning(f"{verb}_failed", error=str(error), **data)

    def worked(self, verb: str, **data: Any) -> None:
        """Report that a ``list`` or a ``watch`` works again, if it was that which failed."""
        if self._failing is None or self._verb != verb:
            return
        self._failing = None
        log = self._log()
        (log.info if self._on_error is None else log.debug)(f"{verb}_recovered", **data)
        if self._on_recovered is not None:
            self._on_recovered()
