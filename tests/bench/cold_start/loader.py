"""File to memory, without a model: Rekindle's loader beside others', the same bytes, page cache
dropped, in turns. The others verify nothing; Rekindle compares every byte's XXH3.

safetensors and runai-model-streamer are measured where Python has them:
  pip install numpy safetensors && pip install --no-deps runai-model-streamer humanize
"""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import page_cache

TENSOR_BYTES = 4 << 20
ROUNDS = 5

# Each prints its wall and processor seconds for reading argv[1] whole, imports not counted.
TIMED = """
import json, resource, sys, time
{imports}
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
began, used = time.perf_counter(), cpu()
{load}
print(json.dumps([time.perf_counter() - began, cpu() - used]))
"""
PEERS = {
    "safetensors": (("numpy", "safetensors"), TIMED.format(
        imports="from safetensors.numpy import load_file",
        load="kept = load_file(sys.argv[1])")),
    # Its library without the torch tensors on top: one range for each tensor, into pages that are
    # aligned as the file is, so that it may read directly.
    "runai-model-streamer": (("numpy", "runai_model_streamer"), TIMED.format(
        imports="import importlib.util, mmap, types\n"
                "import numpy\n"
                "found = importlib.util.find_spec('runai_model_streamer')\n"
                "package = types.ModuleType('runai_model_streamer')\n"
                "package.__path__ = list(found.submodule_search_locations)\n"
                "sys.modules['runai_model_streamer'] = package\n"
                "from runai_model_streamer.libstreamer import libstreamer\n",
        load="size = __import__('os').path.getsize(sys.argv[1])\n"
             "memory = mmap.mmap(-1, size)\n"
             "base = numpy.frombuffer(memory, numpy.uint8).ctypes.data\n"
             f"starts = list(range(0, size, {TENSOR_BYTES}))\n"
             f"sizes = [min({TENSOR_BYTES}, size - start) for start in starts]\n"
             "streamer = libstreamer.runai_start()\n"
             "libstreamer.runai_request(streamer, [sys.argv[1]], [len(starts)], starts, sizes,\n"
             "                          [base + start for start in starts])\n"
             "for _ in starts:\n"
             "    assert libstreamer.runai_response(streamer)[0] == 0\n"
             "libstreamer.runai_end(streamer)")),
}


def write_file(path, mib):
    """A safetensors file of random tensors of 4 MiB."""
    count = mib * (1 << 20) // TENSOR_BYTES
    header = json.dumps({f"t{i}": {"dtype": "U8", "shape": [TENSOR_BYTES],
                                   "data_offsets": [i * TENSOR_BYTES, (i + 1) * TENSOR_BYTES]}
                         for i in range(count)}).encode()
    header += b" " * (-(len(header) + 8) % 4096)
    with open(path, "wb") as file, open("/dev/urandom", "rb") as random:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(count):
            file.write(random.read(TENSOR_BYTES))


def own(programs, folder, mib):
    """GB/s of the disk; GB/s and processor ms per GB of a restore: of three rounds."""
    done = subprocess.run([programs / "loader_bench", folder, str(mib), "3"], check=True,
                          capture_output=True, text=True).stdout
    limit = float(re.search(r"O_DIRECT limit\s+([\d.]+) GB/s", done)[1])
    kept = re.search(r"kept memory\s+([\d.]+) GB/s.*\n\s+(\d+) ms", done)
    return limit, float(kept[1]), float(kept[2])


def median(values):
    return sorted(values)[len(values) // 2]


def measure(programs, folder, mib):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "weights.safetensors"
    write_file(file, mib)
    gigabytes = mib * (1 << 20) / 1e9
    limits, rows = [], {"rekindle": []}
    for _ in range(ROUNDS):
        limit, rate, cpu = own(programs, folder, mib)
        limits.append(limit)
        rows["rekindle"].append((rate, cpu))
        for name, (needs, code) in PEERS.items():
            if any(importlib.util.find_spec(module) is None for module in needs):
                continue
            page_cache.evict(file)
            done = subprocess.run([sys.executable, "-c", code, file], check=True,
                                  capture_output=True, text=True).stdout
            seconds, used = json.loads(done.splitlines()[-1])
            rows.setdefault(name, []).append((gigabytes / seconds, 1e3 * used / gigabytes))
    file.unlink()
    limit = median(limits)
    print(f"\n{mib} MiB, {ROUNDS} rounds, medians; O_DIRECT limit of the same run "
          f"{limit:.2f} GB/s\n\n| | GB/s | of the limit | processor ms per GB |\n|---|---|---|---|")
    results = {"limit": limit}
    for name in ["rekindle", *PEERS]:
        if name not in rows:
            print(f"| {name} | not installed | | |")
            continue
        rate, cpu = (median(column) for column in zip(*rows[name]))
        print(f"| {name} | {rate:.2f} | {100 * rate / limit:.0f} % | {cpu:.0f} |")
        results[name] = {"gb_per_s": rate, "cpu_ms_per_gb": cpu}
    return results
