"""How this process uses memory: what the C library and the garbage collector are told, and when."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator

GC_THRESHOLDS = (20_000, 20, 20)
"""Of the garbage collector. A thousand requests in progress are more than the usual 700 objects, and it would
look at all of them again and again: an eighth of the processor in a burst."""
APART = 128 * 1024
"""Bytes of a block that gets pages of its own while a connection is made: its buffer has 256 KiB."""
TOGETHER = 1024 * 1024
"""The same at other times: the pages of a list lie apart, what is read from a connection does not."""
TRIM = 4 * 1024 * 1024
"""Free bytes at the end of the heap that are kept for what is read next."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

_library = ctypes.CDLL(None)
_glibc = hasattr(_library, "mallopt") and hasattr(_library, "malloc_trim")  # there is neither in musl
_connecting = 0


def begin() -> None:
    """Set what holds from the start on."""
    gc.set_threshold(*GC_THRESHOLDS)
    if _glibc:
        _library.mallopt(_M_TRIM_THRESHOLD, TRIM)
        _library.mallopt(_M_MMAP_THRESHOLD, TOGETHER)


@contextlib.contextmanager
def connecting() -> Iterator[None]:
    """Have large blocks made meanwhile lie apart from all others; may overlap with itself.

    They are buffers of connections (uvloop: 256 KiB each with TLS), hardly used and kept for long. Among
    others they would lie where something else was before, all of them in memory: 1,000 watches cost 45 to
    100 MB more so. But a block apart is slow to make and to use: whatever is read from a connection is read
    into such a one, which cost a fifth of the start with 50,000 Warehouses.
    """
    global _connecting
    _connecting += 1
    if _glibc and _connecting == 1:
        _library.mallopt(_M_MMAP_THRESHOLD, APART)
    try:
        yield
    finally:
        _connecting -= 1
        if _glibc and _connecting == 0:
            _library.mallopt(_M_MMAP_THRESHOLD, TOGETHER)


def settle() -> None:
    """Note that what was read at the start mostly stays.

    The garbage collector need not walk it again and again (55 ms each time with 20,000 Warehouses, during
    which nobody is answered), and what the lists took besides is given back.
    """
    gc.freeze()
    if _glibc:
        _library.malloc_trim(0)
