#!/usr/bin/env python3
"""Renders templates for random conversations by Python's jinja2 and by template_render, and counts.

    compare.py --render build/dev/bin/template_render [--seed 1] [--count 200] [FILE_OR_FOLDER…]

Without files: the templates beside this script. Equal means the same text, or a failure of both.
Exit code 1 when anything differs; a template that is refused by name when it is compiled, or a
rendering that is (`unsupported`), is counted and listed, but differs from nothing; nor does a
generator that Python cannot print or dump.
Needs: pip install jinja2==3.1.6
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys

from make_templates import HERE, environment, render
from random_chats import Chats


class Renderer:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        self.process.stdin.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def templates(paths):
    for path in map(pathlib.Path, paths):
        yield from sorted(path.rglob("*.jinja")) if path.is_dir() else [path]


def outcome(expected, given):
    if "generator" in expected.get("error", "") and "output" in given:
        return "a list here"  # What Python can only iterate (map, select, items) is a list.
    if "error" in expected:
        return "fails alike" if "error" in given else "must fail"
    if given.get("code") == "unsupported":
        return "refused"
    if "error" in given:
        return "fails alone"
    return "equal" if given["output"] == expected["output"] else "differs"


BAD = {"must fail", "fails alone", "differs"}


def compare(renderer, env, path, seed, count, show):
    """Counts of one template."""
    counts = collections.Counter()
    source = path.read_text()
    compiled = renderer.ask({"template": source})
    if "error" in compiled:
        print(f"{path.name}: refused at compilation: {compiled['error']}")
        return collections.Counter({"refused at compilation": 1})
    for number in range(count):
        variables = Chats(f"{seed}/{number}").variables()
        expected = render(env, source, variables)
        given = renderer.ask({"variables": variables})
        what = outcome(expected, given)
        counts[what] += 1
        if (what in BAD or what == "refused") and counts[what] <= show:
            print(f"{path.name}: seed {seed}/{number}: {what}\n  jinja2:   {expected!r:.1500}\n"
                  f"  rekindle: {given!r:.1500}")
    return counts


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--render", required=True, help="the program template_render")
    options.add_argument("--seed", default="1")
    options.add_argument("--count", type=int, default=200, help="conversations for each template")
    options.add_argument("--show", type=int, default=1, help="cases shown of each kind and template")
    options.add_argument("paths", nargs="*", default=[HERE / "templates"])
    chosen = options.parse_args()
    env, renderer = environment(), Renderer(chosen.render)
    total, files = collections.Counter(), 0
    for path in templates(chosen.paths):
        counts = compare(renderer, env, path, chosen.seed, chosen.count, chosen.show)
        print(f"{path.name}: {dict(counts)}")
        total += counts
        files += 1
    renderer.close()
    print(f"{files} templates, seed {chosen.seed}: {dict(total)}")
    return 1 if any(total[what] for what in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
