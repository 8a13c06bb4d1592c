#!/usr/bin/env python3
"""Writes runtime/template/case_table.inl: the one-to-one case mappings of Unicode, as ranges."""
import pathlib
import sys
import unicodedata


def ranges(mapping: dict[int, int]) -> list[list[int]]:
    out: list[list[int]] = []
    for codepoint, delta in sorted(mapping.items()):
        last = out[-1] if out else None
        if last and last[3] == delta:
            step = codepoint - last[1]
            if step <= 2 and (last[0] == last[1] or last[2] == step):
                last[1], last[2] = codepoint, step
                continue
        out.append([codepoint, codepoint, 1, delta])
    return out


def mapping(convert) -> dict[int, int]:
    pairs = ((c, convert(chr(c))) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    return {c: ord(m) - c for c, m in pairs if len(m) == 1 and ord(m) != c}


def main() -> None:
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                       pathlib.Path(__file__).parents[3] / "runtime/template/case_table.inl")
    lines = [f"// Written by tests/golden/template/make_case_table.py, Unicode {unicodedata.unidata_version}.",
             "// clang-format off", "struct CaseRange {", "    uint32_t first;", "    uint32_t last;",
             "    uint32_t step;", "    int32_t delta;", "};"]
    for name, convert in (("kToUpper", str.upper), ("kToLower", str.lower)):
        rows = ["{0x%X, 0x%X, %d, %d}" % tuple(r) for r in ranges(mapping(convert))]
        lines.append(f"constexpr CaseRange {name}[] = {{")
        lines += ["    " + ", ".join(rows[i:i + 3]) + "," for i in range(0, len(rows), 3)]
        lines.append("};")
    rows = []
    for c in range(0x110000):
        upper = [] if 0xD800 <= c < 0xE000 else [ord(u) for u in chr(c).upper()]
        if len(upper) > 1:
            rows.append("{0x%X, {%s}}" % (c, ", ".join(f"0x{u:X}" for u in upper)))
    lines += ["struct CaseExpansion {", "    uint32_t from;", "    uint32_t to[3];", "};",
              "constexpr CaseExpansion kUpperExpansions[] = {"]
    lines += ["    " + ", ".join(rows[i:i + 3]) + "," for i in range(0, len(rows), 3)]
    lines.append("};")
    out.write_text("\n".join([*lines, "// clang-format on"]) + "\n")


if __name__ == "__main__":
    main()
