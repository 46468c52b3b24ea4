"""Cuts the bytes of a watch into lines, one JSON event each.

aiohttp's own ``readline`` refuses lines above its buffer limit, and an object may have megabytes.
"""

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one event: an object in etcd has at most 1.5 MiB by default, and up to twice that as JSON."""


class LineTooLong(Exception):  # noqa: N818  says what happened
    """A line went on beyond the limit."""


class LineSplitter:
    """Collects chunks as they come and returns the lines they complete.

    Linear in the bytes, however they are cut. What follows the last newline is kept for the next chunk; at
    the end of the stream it is no event and is dropped with the splitter.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []  # of a line whose end has not come yet
        self._size = 0  # bytes in _parts

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that ``chunk`` completes, without newlines and blank ones left out.

        Raises LineTooLong, after which the splitter is of no more use.
        """
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._parts:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._size > self._limit or any(len(line) > self._limit for line in lines):
            raise LineTooLong
        return [line for line in lines if line and not line.isspace()]
