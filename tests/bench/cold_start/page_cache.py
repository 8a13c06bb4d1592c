"""The page cache of one file: dropped, and seen to be dropped."""

import ctypes
import mmap
import os
import pathlib

HUGE = pathlib.Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")


def huge_pages():
    """Whether memory files may have huge pages."""
    try:
        return any(f"[{mode}]" in HUGE.read_text() for mode in ("advise", "always", "within_size"))
    except OSError:
        return False


def cached_bytes(path):
    """Bytes of the file that the page cache holds (mincore)."""
    size = os.path.getsize(path)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                          ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    file = os.open(path, os.O_RDONLY)
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file, 0)
    os.close(file)
    present = ctypes.create_string_buffer((size + mmap.PAGESIZE - 1) // mmap.PAGESIZE)
    failed = libc.mincore(address, size, present)
    libc.munmap(address, size)
    if failed:
        raise OSError(ctypes.get_errno(), f"mincore of {path}")
    return sum(one & 1 for one in present.raw) * mmap.PAGESIZE


def evict(path):
    """Drops the file's pages, and only those; RuntimeError when they stay."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    left = cached_bytes(path)
    if left > 0.01 * os.path.getsize(path):
        raise RuntimeError(f"{left} bytes of {path} stay in the page cache: something maps the file")
