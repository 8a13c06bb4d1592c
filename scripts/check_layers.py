#!/usr/bin/env python3
"""Fails on an #include, or a CMake dependency, against the layer diagram (ARCHITECTURE.md).

The include graph alone must suffice to see all physical dependencies. Checked:
  - every #include "…" names a file of the repository, from its root, in a box that the including
    box may use;
  - detail/ folders are included by their own folder (and by tests) only;
  - third-party libraries that are bound to some boxes stay there;
  - what is linked into rekindle-worker reaches neither billing nor loader nor RocksDB;
  - the DEPS of rekindle_library() are arrows of the diagram.

Usage: check_layers.py [--table] [--root FOLDER]
"""
import argparse
import os
import re
import sys
from pathlib import Path

# Box: its folder, and the boxes that it may include. The longest folder wins.
BOXES = {
    "base": ("base", []),
    "async": ("base/async", ["base"]),
    "kernels": ("kernels", ["base"]),
    "loader": ("loader", ["base"]),
    "formats": ("loader/formats", ["base"]),
    "remote": ("loader/remote", ["loader", "async", "base"]),
    "billing": ("billing", ["base"]),
    "scheduler_admit": ("scheduler/admit", ["base"]),
    "scheduler_scale": ("scheduler/scale", ["base"]),
    "daemon_api": ("daemon/api", ["base"]),
    "snapshot_view": ("snapshot/view", ["kernels", "base"]),
    "snapshot_retained": ("snapshot/retained", ["base"]),
    "snapshot_tiers": ("snapshot/tiers", ["snapshot_view", "loader", "base"]),
    "tokenizer": ("runtime/tokenizer", ["base"]),
    "template": ("runtime/template", ["base"]),
    "runtime": ("runtime", ["kernels", "snapshot_view", "snapshot_retained", "tokenizer", "template", "base"]),
    "scheduler_batch": ("scheduler/batch", ["runtime", "base"]),
    "daemon": ("daemon", None),  # Everything below.
    "cli": ("cli", ["daemon_api", "base"]),
}
ABOVE_DAEMON = {"cli"}

# Headers that start like this: where they may stand.
BOUND = {
    "boost/asio": ("Asio", ["base/async/", "loader/remote/", "daemon/"]),
    "boost/beast": ("Beast", ["base/async/", "loader/remote/", "daemon/"]),
    "openssl/ssl": ("TLS", ["base/async/", "loader/remote/", "daemon/"]),
    "rocksdb/": ("RocksDB", ["loader/", "billing/", "daemon/catalog"]),
    "liburing": ("io_uring", ["loader/"]),
    "yaml-cpp/": ("yaml-cpp", ["daemon/"]),
    "CLI/": ("CLI11", ["daemon/", "cli/"]),
}

WORKER = "rekindle-worker"
NOT_IN_WORKER = ("billing", "loader", "remote", "snapshot_tiers")

SOURCE_SUFFIXES = {".h", ".cpp", ".inl", ".cu"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
TARGET = re.compile(r"rekindle_(library|executable)\(\s*([\w-]+)([^)]*)\)")
KEYWORDS = {"SOURCES", "DEPS", "PRIVATE_DEPS"}


def box_of(path):
    found = None
    for box, (folder, _) in BOXES.items():
        inside = path.startswith(folder + "/")
        if inside and (found is None or len(folder) > len(BOXES[found][0])):
            found = box
    return found


def allowed(box):
    below = BOXES[box][1]
    return sorted(set(BOXES) - {box} - ABOVE_DAEMON) if below is None else below


class Tree:
    """Files of the boxes and of tests/, and what each includes."""

    def __init__(self, root):
        self.root = root
        self.includes = {}  # path -> [(line, is_own, target)]
        folders = sorted({folder.split("/")[0] for folder, _ in BOXES.values()} | {"tests"})
        for folder in folders:
            for path in sorted((root / folder).rglob("*")):
                if path.suffix in SOURCE_SUFFIXES and path.is_file():
                    self.read(path)

    def read(self, path):
        text = path.read_text(encoding="utf-8")
        found = []
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start(2)) + 1
            found.append((line, match.group(1) == '"', match.group(2)))
        self.includes[path.relative_to(self.root).as_posix()] = found


def check_include(tree, path, line, is_own, target):
    where = f"{path}:{line}"
    if not is_own:
        for prefix, (library, places) in BOUND.items():
            bound = target.startswith(prefix) and not path.startswith("tests/")
            if bound and not any(path.startswith(place) for place in places):
                yield f"{where}: {library} belongs to {', '.join(places)} only"
        return
    if not (tree.root / target).is_file():
        yield f'{where}: "{target}" is no file of the repository (paths start at its root)'
        return
    if path.startswith("tests/"):
        return
    here, there = box_of(path), box_of(target)
    if there is None:
        yield f'{where}: "{target}" lies outside the boxes'
    elif there != here and there not in allowed(here):
        yield f'{where}: {here} may not include {there} ("{target}")'
    owner = re.match(r"(.*?)/detail/", target)
    if owner and not path.startswith(owner.group(1) + "/"):
        yield f'{where}: "{target}" is private to {owner.group(1)}/'


def read_targets(root):
    """CMake targets: name -> (kind, folder, sources, dependencies)."""
    targets = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        is_list = path.name == "CMakeLists.txt" or path.suffix == ".cmake"
        if not is_list or parts[0] in ("build", "tests", "scripts"):
            continue
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        for kind, name, body in TARGET.findall(text):
            lists = {keyword: [] for keyword in KEYWORDS}
            current = None
            for word in body.split():
                if word in KEYWORDS:
                    current = word
                elif current:
                    lists[current].append(word)
            dependencies = [word.removeprefix("rekindle::")
                            for word in lists["DEPS"] + lists["PRIVATE_DEPS"]
                            if word.startswith("rekindle::")]
            folder = path.parent.relative_to(root).as_posix()
            targets[name] = (kind, folder, lists["SOURCES"], dependencies)
    return targets


def check_targets(targets):
    for name, (_, folder, _, dependencies) in targets.items():
        box = name if name in BOXES else box_of(folder + "/x")
        for dependency in dependencies:
            known = dependency in targets
            there = dependency if dependency in BOXES else (
                box_of(targets[dependency][1] + "/x") if known else None)
            if there is None:
                yield f"{folder}: {name} depends on rekindle::{dependency}, which is no library"
            elif there != box and there not in allowed(box):
                yield f"{folder}: {name} ({box}) may not depend on rekindle::{dependency}"


def linked_into(targets, name):
    todo, seen = [name], set()
    while todo:
        current = todo.pop()
        if current in targets and current not in seen:
            seen.add(current)
            todo.extend(targets[current][3])
    return seen


def check_worker(tree, targets):
    if WORKER not in targets:
        return
    linked = linked_into(targets, WORKER)
    for name in sorted(linked & set(NOT_IN_WORKER)):
        yield f"{WORKER} links rekindle::{name}"
    for name in sorted(linked):
        _, folder, sources, _ = targets[name]
        for source in sources:
            start = source if folder == "." else os.path.normpath(f"{folder}/{source}")
            yield from check_worker_source(tree, start)


def check_worker_source(tree, start):
    """What a source of the worker includes, directly or through headers."""
    todo, seen = [(start, None)], {}
    while todo:
        path, includer = todo.pop()
        if path in seen or path not in tree.includes:
            continue
        seen[path] = includer
        if box_of(path) in NOT_IN_WORKER:
            yield f"{start}: is linked into {WORKER} but includes {path} (through {includer})"
            continue
        for _, is_own, target in tree.includes[path]:
            if is_own:
                todo.append((target, path))
            elif target.startswith("rocksdb/"):
                yield f"{start}: is linked into {WORKER} but includes <{target}> (through {path})"


def print_table():
    width = max(map(len, BOXES))
    folder_width = max(len(folder) for folder, _ in BOXES.values())
    for box, (folder, below) in BOXES.items():
        arrows = "everything below" if below is None else ", ".join(below) or "nothing"
        print(f"{box:<{width}}  {folder + '/':<{folder_width + 1}}  -> {arrows}")
    print()
    for library, places in BOUND.values():
        print(f"{library:<{width}}  only in {', '.join(places)}")
    print(f"{WORKER:<{width}}  without {', '.join(NOT_IN_WORKER)}, RocksDB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the diagram and stop")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    if arguments.table:
        print_table()
        return 0
    tree = Tree(arguments.root.resolve())
    targets = read_targets(arguments.root.resolve())
    faults = []
    for path, includes in tree.includes.items():
        for line, is_own, target in includes:
            faults.extend(check_include(tree, path, line, is_own, target))
    faults.extend(check_targets(targets))
    faults.extend(check_worker(tree, targets))
    for fault in faults:
        print(fault)
    count = sum(map(len, tree.includes.values()))
    print(f"{len(faults)} faults in {count} includes of {len(tree.includes)} files, "
          f"{len(targets)} targets", file=sys.stderr if faults else sys.stdout)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
