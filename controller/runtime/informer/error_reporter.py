"""Reports an informer's failing requests once, and their recovery once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controller.runtime.api.errors import ApiError, StatusError


@dataclass(eq=False)
class ErrorReporter:
    """Remembers which failure of one informer was reported last.

    A failure is reported when it begins, and again only when it becomes another: of another class or status.
    It is over when the verb that failed works again; where both fail in one way, the list counts, since it
    comes before the watch. Reports go to ``on_error`` and ``on_recovered`` if the owner has given them, else
    to the log.
    """

    log: Callable[[], Any]
    on_error: Callable[[ApiError], None] | None
    on_recovered: Callable[[], None] | None
    _failing: tuple[type[ApiError], int] | None = field(default=None, init=False)
    _verb: str = field(default="", init=False)

    def failed(self, verb: str, error: ApiError, **data: Any) -> None:
        """Report that a ``list`` or a ``watch`` failed, if that is news."""
        failing = (type(error), error.status if isinstance(error, StatusError) else 0)
        if failing == self._failing:
            self._verb = "list" if verb == "list" else self._verb
            return
        self._failing, self._verb = failing, verb
        if self.on_error is not None:
            self.on_error(error)
        else:
            self.log().warning(f"{verb}_failed", error=str(error), **data)

    def worked(self, verb: str, **data: Any) -> None:
        """Report that a ``list`` or a ``watch`` works again, if it was that which failed."""
        if self._failing is None or self._verb != verb:
            return
        self._failing = None
        log = self.log()
        (log.info if self.on_error is None else log.debug)(f"{verb}_recovered", **data)
        if self.on_recovered is not None:
            self.on_recovered()
