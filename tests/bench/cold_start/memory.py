"""What processes cost while they do nothing: proportional memory, and how often they were switched."""

import pathlib
import re


def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += [int(one) for one in (task / "children").read_text().split()]
    return found


def pss_kib(pid):
    """{"Pss": …, "Pss_Anon": …, "Pss_File": …, "Pss_Shmem": …} of one process."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(kib) for name, kib in re.findall(r"^(Pss\w*):\s+(\d+) kB", text, re.M)}


def own_kib(pid):
    """Memory that is not an image's: a leak of the daemon shows here, the budget does not."""
    found = pss_kib(pid)
    return found["Pss_Anon"] + found["Pss_File"]


def context_switches(pids):
    """Of all threads, of their own will and not."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            text = (task / "status").read_text()
            total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", text))
    return total


def slope(points):
    """Of the line through (x, y) with the least squares."""
    count = len(points)
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    above = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return above / sum((x - middle_x) ** 2 for x, _ in points)
