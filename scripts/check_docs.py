#!/usr/bin/env python3
"""Fails when a document names a file that does not exist: paths in backquotes that begin with one of
the repository's folders, and the targets of links. Patterns (with * or {a,b}) must match something."""

import glob
import itertools
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = {"base", "billing", "cli", "daemon", "docs", "kernels", "loader", "runtime", "scheduler",
           "scripts", "snapshot", "tests", ".ci"}
SUFFIXES = ("", ".h", ".cpp", ".inl", ".py", ".md", ".cu")


def expand(pattern):
    """`a/{b,c}.h` to `a/b.h` and `a/c.h`."""
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def exists(path, base):
    names = expand(path.rstrip("/"))
    found = lambda name: any(glob.glob(str(base / (name + suffix))) for suffix in SUFFIXES)
    return all(found(name.strip()) for name in names)


def named_paths(text):
    """Paths that a document says are there, each with its line."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
            continue
        if fenced:
            continue
        for quoted in re.findall(r"`([^`\s]+)`", line):
            path = quoted.split("::")[0]
            if "/" in path and path.split("/")[0] in FOLDERS and re.fullmatch(r"[\w./*{},-]+", path):
                yield number, path, "root"
        for target in re.findall(r"\]\(([^)#\s]+)", line):
            if "://" not in target:
                yield number, target, "here"


def main():
    documents = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, text=True,
                               capture_output=True).stdout.split()
    faults = checked = 0
    for document in documents:
        path = ROOT / document
        for number, named, where in named_paths(path.read_text(encoding="utf-8")):
            checked += 1
            if not exists(named, ROOT if where == "root" else path.parent):
                faults += 1
                print(f"{document}:{number}: {named} does not exist")
    print(f"{faults} faults in {checked} paths of {len(documents)} documents")
    sys.exit(1 if faults else 0)


main()
