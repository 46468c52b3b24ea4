"""What the C library does with large blocks."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from controller.process import memory

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks".split()]
    _fields_ += [(name, ctypes.c_size_t) for name in "fsmblks uordblks fordblks keepcost".split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Info
library.malloc.restype = ctypes.c_void_p

def apart(size):
    before = library.mallinfo2().hblks
    assert library.malloc(ctypes.c_size_t(size))
    return library.mallinfo2().hblks - before

memory.begin()
print(apart(256 * 1024), apart(4 << 20))
"""


@pytest.mark.process
def test_only_a_pages_blocks_lie_apart() -> None:
    """Whatever is read from a connection does not, or each read would map and unmap its own."""
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library does not tell")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["0", "1"]
