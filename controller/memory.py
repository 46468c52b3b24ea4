"""How this process uses memory: what the C library and the garbage collector are told, and when.

At the start everything is read once and mostly stays; afterwards there are many connections and little that
lasts. Each suits other settings.
"""

import ctypes
import gc

GC_THRESHOLDS = (20_000, 20, 20)
"""Of the garbage collector. A thousand requests in progress are more than the usual 700 objects, and it would
look at all of them again and again: an eighth of the processor in a burst."""
APART = 128 * 1024
"""Bytes of a block that gets pages of its own once there are many connections."""
_M_MMAP_THRESHOLD = -3  # malloc.h


def begin() -> None:
    """Set what suits the first lists: all that they bring stays, and none of it is garbage."""
    gc.set_threshold(*GC_THRESHOLDS)


def settle() -> None:
    """Set what suits the time after the first lists; to be called before many connections are made.

    - What is known now mostly stays: the garbage collector need not walk it again and again (55 ms each time
      with 20,000 Warehouses, during which nobody is answered).
    - The C library maps each block of 128 KiB or more on its own. By itself it raises that bound to 32 MiB
      once a page of a list was freed. From then on the read buffer of each TLS connection (uvloop: 256 KiB,
      hardly used) lies where pages were, all of it in memory: 1,000 watches cost 45 to 100 MB more. Not from
      the start on: each piece of a list is read into such a block, and its pages come one by one.
    """
    gc.freeze()
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # there is none in musl
        library.mallopt(_M_MMAP_THRESHOLD, APART)
        library.malloc_trim(0)
