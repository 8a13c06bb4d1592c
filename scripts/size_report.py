#!/usr/bin/env python3
"""Sizes of our C++ files and functions, beside the bars of STYLE.md; fails over the hard limits.

Hard: a file beyond 600 lines (kernel .inl 900), a function beyond 70 lines outside kernels/ (more
than 1 % of them inside), a line beyond 100 columns. Functions are counted from their first line
to their closing brace.

Usage: size_report.py [--largest N] [--root FOLDER]
"""
import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

PRODUCT = ["base", "billing", "cli", "daemon", "loader", "runtime", "scheduler", "snapshot"]
GROUPS = {"product": PRODUCT, "kernels": ["kernels"], "tests": ["tests"]}
SUFFIXES = {".h", ".cpp", ".inl", ".cu"}

FILE_LINES_MAX = 600
KERNEL_INL_LINES_MAX = 900
FUNCTION_LINES_MAX = 70
KERNEL_LONG_FUNCTIONS_MAX = 0.01
WIDTH_MAX = 100
# Lines that cannot be broken: a path in an #include, a NOLINT with its reason, a URL.
UNBREAKABLE = re.compile(r"^\s*#\s*include|NOLINT|https?://")

# Written by a script of the repository: nobody reads it line by line.
GENERATED = re.compile(r"\A// (Written|Generated|Made) by (tests|scripts)/")
ACCESS = re.compile(r"^\s*(public|protected|private)\s*:")

# Everything that can hide a brace.
HIDING = re.compile(
    r'R"(?P<tag>[^()\s\\]{0,16})\((?:.|\n)*?\)(?P=tag)"'  # Raw string.
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-zA-Z])'(?:\\.[^']*|[^'\\\n])'"  # Not the ' of 1'000.
    r"|//[^\n]*"
    r"|/\*(?:.|\n)*?\*/"
    r"|^[ \t]*#(?:\\\n|[^\n])*",
    re.M)
NOT_A_FUNCTION = re.compile(r"(^|\s)(namespace|extern|enum|class|struct|union|concept)\b")


@dataclass
class Group:
    files: list = field(default_factory=list)      # (lines, path)
    functions: list = field(default_factory=list)  # (lines, path:line)
    widths: list = field(default_factory=list)
    comment_lines: int = 0
    code_lines: int = 0  # Not blank, comments included.


def blank(text):
    """The same text, with strings, comments and directives as spaces; and the comment lines."""
    comments = set()

    def replace(match):
        piece = match.group(0)
        if piece.startswith(("//", "/*")):
            first = text.count("\n", 0, match.start())
            comments.update(range(first, first + piece.count("\n") + 1))
        return re.sub(r"[^\n]", " ", piece)

    return HIDING.sub(replace, text), comments


def is_function(head, before_brace):
    head = head.strip()
    if "(" not in head or before_brace.isalnum() or before_brace in "_>,(=":
        return False  # A brace that touches a name initialises something.
    before_arguments = head.split("(", 1)[0]
    return not NOT_A_FUNCTION.search(before_arguments) and not head.endswith("=")


def functions_of(text):
    """(first line, last line) of each function that is not inside another."""
    head_start, line, stack = 0, 0, []
    inside = 0  # Depth within a function; 0 outside.
    first_line = 0
    for at, char in enumerate(text):
        if char == "\n":
            line += 1
        elif char == "{":
            if inside:
                inside += 1
                continue
            head = ACCESS.sub("", text[head_start:at])
            if is_function(head, text[at - 1] if at else " "):
                inside = 1
                first_line = line - head.lstrip().count("\n")
            else:
                stack.append(at)
                head_start = at + 1
        elif char == "}":
            if inside:
                inside -= 1
                if not inside:
                    yield first_line, line
            elif stack:
                stack.pop()
            if not inside:
                head_start = at + 1
        elif char == ";" and not inside:
            head_start = at + 1


def read(group, path, name):
    text = path.read_text(encoding="utf-8")
    if GENERATED.search(text):
        return
    lines = text.splitlines()
    plain, comments = blank(text)
    group.files.append((len(lines), name))
    group.comment_lines += len(comments)
    group.code_lines += sum(1 for line in lines if line.strip())
    for number, line in enumerate(lines, 1):
        if not UNBREAKABLE.search(line):
            group.widths.append((len(line), f"{name}:{number}"))
    for first, last in functions_of(plain):
        group.functions.append((last - first + 1, f"{name}:{first + 1}"))


def share(values, part):
    """The value that `part` of the values do not exceed."""
    ordered = sorted(value for value, _ in values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0


def faults_of(kind, group):
    for lines, name in group.files:
        limit = KERNEL_INL_LINES_MAX if kind == "kernels" and name.endswith(".inl") \
            else FILE_LINES_MAX
        if lines > limit:
            yield f"{name}: {lines} lines, the limit is {limit}"
    long_ones = [item for item in group.functions if item[0] > FUNCTION_LINES_MAX]
    some_allowed = kind == "kernels" and \
        len(long_ones) <= KERNEL_LONG_FUNCTIONS_MAX * len(group.functions)
    for lines, place in [] if some_allowed else long_ones:
        yield f"{place}: a function of {lines} lines, the limit is {FUNCTION_LINES_MAX}"
    wide = {}
    for width, place in group.widths:
        if width > WIDTH_MAX:
            name, line = place.rsplit(":", 1)
            wide.setdefault(name, []).append(line)
    for name, lines in wide.items():
        more = f" and {len(lines) - 1} more lines" if len(lines) > 1 else ""
        yield f"{name}:{lines[0]}{more}: beyond {WIDTH_MAX} columns"


def print_row(name, bar, groups, value):
    cells = "".join(f"{value(group):>12}" for group in groups.values())
    print(f"{name:<34}{bar:>16}{cells}")


def print_report(groups):
    print(f"{'':<34}{'bar':>16}" + "".join(f"{name:>12}" for name in groups))
    print_row("files", "", groups, lambda g: len(g.files))
    print_row("lines", "", groups, lambda g: sum(n for n, _ in g.files))
    print_row("file lines, median / p90", "150 / 390", groups,
              lambda g: f"{share(g.files, .5)} / {share(g.files, .9)}")
    print_row("largest file", "600", groups, lambda g: share(g.files, 1))
    print_row("functions", "", groups, lambda g: len(g.functions))
    print_row("function lines, p90 / p99", "25 / 60", groups,
              lambda g: f"{share(g.functions, .9)} / {share(g.functions, .99)}")
    print_row("functions beyond 70 lines", "0", groups,
              lambda g: sum(n > FUNCTION_LINES_MAX for n, _ in g.functions))
    print_row("comment share", "12-20 %", groups,
              lambda g: f"{100 * g.comment_lines / max(1, g.code_lines):.1f} %")
    print_row("line width, p99 / largest", "100", groups,
              lambda g: f"{share(g.widths, .99)} / {share(g.widths, 1)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=0, metavar="N",
                        help="also list the N largest files and functions")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    groups = {}
    for kind, folders in GROUPS.items():
        groups[kind] = Group()
        for folder in folders:
            for path in sorted((arguments.root / folder).rglob("*")):
                if path.suffix in SUFFIXES and path.is_file():
                    read(groups[kind], path, path.relative_to(arguments.root).as_posix())
    print_report(groups)
    everything = [(kind, group) for kind, group in groups.items()]
    if arguments.largest:
        for what in ("files", "functions"):
            print(f"\nlargest {what}")
            items = sorted((item for _, g in everything for item in getattr(g, what)), reverse=True)
            for lines, place in items[:arguments.largest]:
                print(f"{lines:>6}  {place}")
    faults = [fault for kind, group in everything for fault in faults_of(kind, group)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
