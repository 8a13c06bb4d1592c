"""What a model at zero costs: memory of a node with many deployments against none, and wake-ups."""

import pathlib
import sys
import time

import memory
import servers
import variants

SETTLE_SECONDS = 3  # Spare workers and the pool's refill come to rest.


def processes(node):
    return [node.process.pid, *memory.children(node.process.pid)]


def all_kib(node):
    return sum(memory.pss_kib(pid)["Pss"] for pid in processes(node))


def switches_in(node, seconds):
    """Context switches of rekindled and its spare workers while nobody calls."""
    before = memory.context_switches(processes(node))
    time.sleep(seconds)
    return memory.context_switches(processes(node)) - before


def deploy_many(node, source, count, folder):
    """Different models of which each shares most chunks with the others; [(deployments, KiB)]."""
    sizes = [(0, all_kib(node))]
    for number in range(count):
        path = variants.make_variant(source, folder / "next.gguf", 2 * number)
        node.deploy(path, f"m{number:04}", kv="32MiB")
        node.cool(f"m{number:04}", "disk")
        if (number + 1) % max(1, count // 20) == 0:
            time.sleep(SETTLE_SECONDS)
            sizes.append((number + 1, all_kib(node)))
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
        sizes = deploy_many(node, arguments.model, arguments.deployments, folder)
        time.sleep(SETTLE_SECONDS)
        many = switches_in(node, arguments.seconds)
        restarted = restart_kib(node)
    found = {"deployments": arguments.deployments, "kib": sizes,
             "kib_each": memory.slope(sizes), "kib_restarted": restarted,
             "switches_without": idle, "switches_with": many, "seconds": arguments.seconds}
    print(f"\n{found['deployments']} models at zero: {found['kib_each']:.1f} KiB of memory each "
          f"({sizes[0][1]} KiB with none, {sizes[-1][1]} KiB with all, goal ≤ 64); started again "
          f"with all {restarted} KiB\n"
          f"context switches in {arguments.seconds} s: {idle} with none, {many} with all (goal: no "
          "more)")
    return found


def restart_kib(node):
    """Memory of a daemon that found the deployments on its disk."""
    node.stop()
    node.start()
    time.sleep(SETTLE_SECONDS)
    return all_kib(node)
