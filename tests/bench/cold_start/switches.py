"""Many models on one node with memory for a few, called at random: right answers, times, memory.

An answer is right when it is, letter by letter, what the model said while it was deployed. All
answers differ, so that no model can stand in for another.
"""

import collections
import pathlib
import random
import sys
import time

import client
import figures
import memory
import servers
import variants

TOKENS = 12  # Enough for models to differ in what they say.
MESSAGES = [{"role": "user", "content": "Tell me about the harbour in winter."}]
SAMPLE_EVERY = 25  # Switches between two looks at the memory.
SETTLED_AFTER = 500  # Switches after which memory must not grow.
LLAMA_FLAGS = ["--no-warmup"]


def name_of(number):
    return f"m{number:03}"


def deploy_variants(node, source, count, folder):
    """Deploys them one by one; {number: what it says}."""
    said = {}
    for number in range(count):
        path = variants.make_variant(source, folder / f"{name_of(number)}.gguf", number)
        node.deploy(path, name_of(number), kv="32MiB")
        said[number] = node.ask(name_of(number), MESSAGES, TOKENS)[1]
        node.cool(name_of(number), "disk")
        if number % 10 == 9:
            print(f"\rdeployed {number + 1} of {count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if len(set(said.values())) != count:
        raise RuntimeError("two models say the same: wrong answers would not be seen")
    return said


def other_than(last, count, source):
    """Each call goes to another model than the one before: every one is a switch."""
    return source.choice([number for number in range(count) if number != last])


def call_at_random(node, said, switches):
    """(seconds of each, [(switch, KiB of rekindled)], wrong answers, failures)."""
    source, last = random.Random(6), None
    times, sizes, wrong, failures = [], [], [], []
    for switch in range(switches):
        last = other_than(last, len(said), source)
        try:
            took, text, _ = node.ask(name_of(last), MESSAGES, TOKENS)
            times.append(took)
            if text != said[last]:
                wrong.append((switch, last, text, said[last]))
        except (RuntimeError, OSError) as failure:
            failures.append((switch, last, str(failure)))
        if (switch + 1) % SAMPLE_EVERY == 0:
            sizes.append((switch + 1, memory.own_kib(node.process.pid)))
            print(f"\r{switch + 1} of {switches} switches, {len(wrong)} wrong, "
                  f"{len(failures)} failed", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return times, sizes, wrong, failures


def call_llama(binaries, folder, count, kept, switches, threads):
    """The same calls on server processes, of which `kept` stay: the one used longest ago goes."""
    source, last = random.Random(6), None
    running, times, said, wrong = collections.OrderedDict(), [], {}, 0
    try:
        for switch in range(switches):
            last = other_than(last, count, source)
            begun = time.perf_counter()
            server = running.pop(last, None)
            if server is None:
                if len(running) == kept:
                    running.popitem(last=False)[1].end()
                server = servers.RunningLlama(binaries, folder / f"{name_of(last)}.gguf", threads,
                                              LLAMA_FLAGS)
            running[last] = server
            first, text = server.answer(MESSAGES, TOKENS)
            times.append(first - begun)
            wrong += said.setdefault(last, text) != text
            if (switch + 1) % 10 == 0:
                print(f"\rllama-server: {switch + 1} of {switches}", end="", file=sys.stderr,
                      flush=True)
    finally:
        for server in running.values():
            server.end()
    print(file=sys.stderr)
    return times, wrong


def measure(arguments, peers):
    """Prints the report; its figures."""
    count, switches = arguments.models, arguments.switches
    image = arguments.model.stat().st_size
    budget = f"{(arguments.kept * image * 21 // 20) >> 20}MiB"  # An image is its file's size, nearly.
    with servers.Rekindled(arguments.programs, arguments.threads, "--host-memory", budget) as node:
        folder = pathlib.Path(node.folder.name) / "files"
        folder.mkdir()
        said = deploy_variants(node, arguments.model, count, folder)
        before = memory.own_kib(node.process.pid)
        times, sizes, wrong, failures = call_at_random(node, said, switches)
        settled = [size for size in sizes if size[0] >= min(SETTLED_AFTER, switches // 4)]
        rows = {"Rekindle": figures.summary(times)}
        if peers is not None:
            other, _ = call_llama(peers, folder, count, arguments.kept, arguments.llama_switches,
                                  arguments.threads)
            rows["llama-server"] = figures.summary(other)
    found = {"rows": rows, "wrong": len(wrong), "failures": len(failures), "models": count,
             "kept": arguments.kept, "switches": switches,
             "kib_before": before, "kib_after": sizes[-1][1], "kib_per_switch": memory.slope(settled)}
    report(found, wrong + failures)
    return found


def report(found, bad):
    print(f"\n{found['models']} models, memory for {found['kept']}, {found['switches']} switches\n\n"
          f"{figures.table(found['rows'], {})}\n\n"
          f"wrong answers {found['wrong']}, failures {found['failures']} (goal 0 and 0)\n"
          f"rekindled's own memory {found['kib_before']} KiB before, {found['kib_after']} KiB after: "
          f"{found['kib_per_switch']:.2f} KiB per switch once settled (goal ≤ 1)")
    for one in bad[:5]:
        print("bad:", one)
