"""How this process uses memory: settings of the C library and the garbage collector."""

import ctypes
import gc

GC_THRESHOLDS = (20_000, 20, 20)
"""Of the garbage collector. A thousand requests in progress are more than the usual 700 objects, and it would
look at all of them again and again: an eighth of the processor in a burst."""
LARGE = 1024 * 1024
"""Bytes of a block that gets pages of its own: the pages of a list do, and go back when they are freed. What
is read from a connection (256 KiB) does not, since such a block is slow to make and to use."""
TRIM = 4 * 1024 * 1024
"""Free bytes at the end of the heap that are kept for what is read next."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

_library = ctypes.CDLL(None)
_glibc = hasattr(_library, "mallopt") and hasattr(_library, "malloc_trim")  # there is neither in musl


def begin() -> None:
    """Make the settings that hold from the start on."""
    gc.set_threshold(*GC_THRESHOLDS)
    if _glibc:
        _library.mallopt(_M_TRIM_THRESHOLD, TRIM)
        _library.mallopt(_M_MMAP_THRESHOLD, LARGE)


def settle() -> None:
    """Exempt what was read at the start from garbage collection, and give back what the lists took besides.

    The collector would walk it again and again: 55 ms each time with 20,000 Warehouses, during which nobody
    is answered.
    """
    gc.freeze()
    if _glibc:
        _library.malloc_trim(0)
