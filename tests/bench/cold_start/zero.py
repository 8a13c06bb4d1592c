"""What a model at zero costs: memory of a node with many deployments against none, and wake-ups.

The models are small and all different: what the node keeps of one does not depend on its size, but for
about 110 bytes for each chunk of 2 to 4 MiB that it shares with no other.
"""

import pathlib
import sys
import time

import memory
import servers

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
import gguf_files

SETTLE_SECONDS = 3  # Spare workers and the pool's refill come to rest.
LOOKS = 20


def processes(node):
    return [node.process.pid, *memory.children(node.process.pid)]


def node_kib(node):
    """rekindled without pages of files: those are shared with its spare workers, and divided anew
    whenever one of them comes or goes."""
    found = memory.pss_kib(node.process.pid)
    return found["Pss"] - found["Pss_File"]


def switches_in(node, seconds):
    """Context switches of rekindled and its spare workers while nobody calls."""
    before = memory.context_switches(processes(node))
    time.sleep(seconds)
    return memory.context_switches(processes(node)) - before


def deploy_many(node, count, folder):
    """[(deployments, KiB)]"""
    sizes = [(0, node_kib(node))]
    data = bytearray(pathlib.Path(gguf_files.write_llama(folder / "first.gguf")).read_bytes())
    for number in range(count):
        data[-4:] = number.to_bytes(2, "little") + b"\0\x3f"  # Its last weight: 0.5 and a bit.
        (folder / "next.gguf").write_bytes(data)
        node.deploy(folder / "next.gguf", f"m{number:04}", kv="1MiB")
        node.cool(f"m{number:04}", "disk")
        if (number + 1) % max(1, count // LOOKS) == 0:
            time.sleep(SETTLE_SECONDS)
            sizes.append((number + 1, node_kib(node)))
            print(f"\r{number + 1} deployments, {sizes[-1][1]} KiB", end="", file=sys.stderr,
                  flush=True)
    print(file=sys.stderr)
    return sizes


def measure(arguments):
    with servers.Rekindled(arguments.programs, arguments.threads) as node:
        folder = pathlib.Path(node.folder.name) / "files"
        folder.mkdir()
        time.sleep(SETTLE_SECONDS)
        idle = switches_in(node, arguments.seconds)
        sizes = deploy_many(node, arguments.deployments, folder)
        time.sleep(SETTLE_SECONDS)
        many = switches_in(node, arguments.seconds)
        restarted = restart_kib(node)
    found = {"deployments": arguments.deployments, "kib": sizes,
             "kib_each": memory.slope(sizes[len(sizes) // 10 + 1:]),
             "kib_each_restarted": (restarted - sizes[0][1]) / arguments.deployments,
             "switches_without": idle, "switches_with": many, "seconds": arguments.seconds}
    print(f"\n{found['deployments']} models at zero: {found['kib_each']:.1f} KiB of memory each by the "
          f"slope after the first tenth, {found['kib_each_restarted']:.1f} KiB in a node started with "
          f"all against one with none (goal ≤ 64; {sizes[0][1]} KiB with none, {sizes[-1][1]} KiB after "
          f"deploying all, {restarted} KiB started with all)\n"
          f"context switches in {arguments.seconds} s: {idle} with none, {many} with all (goal: no "
          "more)")
    return found


def restart_kib(node):
    """Memory of a daemon that found the deployments on its disk."""
    node.stop()
    node.start()
    time.sleep(SETTLE_SECONDS)
    return node_kib(node)
