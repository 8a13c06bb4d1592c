#!/usr/bin/env python3
"""Writes runtime/tokenizer/unicode_class_table.inl.

The classes are asked of the Hugging Face `tokenizers` package itself, one code point at a time, so
that the scanners agree with its regular expressions whatever Unicode version it was built with.
Needs: pip install tokenizers==0.23.3
"""
import pathlib
import sys

from tokenizers import Regex, __version__, pre_tokenizers

LIMIT = 0x32400  # Above lie variation selectors and private use: class "other" or "mark" by rule.
BLOCK = 128
# Order: later ones do not overlap earlier ones. The numbers are enum CharClass.
CLASSES = [
    (1, r"\s"), (2, r"\p{N}"), (3, r"\p{M}"), (4, r"\p{Lu}"), (5, r"\p{Lt}"),
    (6, r"\p{Ll}"), (7, r"\p{Lm}"), (8, r"\p{Lo}"),
]
DIGITS_ONLY = 9
SELECTORS = range(0xE0100, 0xE01F0)


def members(pattern: str) -> set[int]:
    splitter = pre_tokenizers.Split(Regex(pattern), "removed")
    return {c for c in range(0x110000)
            if not 0xD800 <= c < 0xE000 and not splitter.pre_tokenize_str(chr(c))}


def classes() -> list[int]:
    table = [0] * 0x110000
    for number, pattern in CLASSES:
        for codepoint in members(pattern):
            assert table[codepoint] == 0, hex(codepoint)
            table[codepoint] = number
    digits = pre_tokenizers.Digits(individual_digits=True)
    for codepoint in range(0x110000):
        if 0xD800 <= codepoint < 0xE000:
            continue
        alone = len(digits.pre_tokenize_str("x" + chr(codepoint))) == 2
        if alone and table[codepoint] != 2:
            assert table[codepoint] == 0, hex(codepoint)
            table[codepoint] = DIGITS_ONLY
        assert alone or table[codepoint] != 2, hex(codepoint)
    for codepoint in range(LIMIT, 0x110000):
        expected = 3 if codepoint in SELECTORS else 0
        assert table[codepoint] == expected, hex(codepoint)
    return table


def rows(values: list[str], per_line: int) -> str:
    return "\n".join("    " + ", ".join(values[i:i + per_line]) + ","
                     for i in range(0, len(values), per_line))


def main() -> None:
    table = classes()
    blocks: dict[tuple[int, ...], int] = {}
    index = [blocks.setdefault(tuple(table[i:i + BLOCK]), len(blocks))
             for i in range(0, LIMIT, BLOCK)]
    assert len(blocks) <= 256
    words = []
    for block in blocks:
        for at in range(0, BLOCK, 16):  # Sixteen classes of four bits in a word, lowest first.
            word = sum(value << (4 * i) for i, value in enumerate(block[at:at + 16]))
            words.append(f"0x{word:016X}")
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                       pathlib.Path(__file__).parents[3] / "runtime/tokenizer/unicode_class_table.inl")
    out.write_text(
        f"// Written by tests/golden/tokenizer/make_unicode_classes.py from tokenizers {__version__}.\n"
        "// clang-format off\n"
        f"inline constexpr uint32_t kClassTableEnd = 0x{LIMIT:X};\n"
        f"inline constexpr uint8_t kClassBlocks[{len(index)}] = {{\n"
        + rows([str(i) for i in index], 24) + "\n};\n"
        f"inline constexpr uint64_t kClassWords[{len(words)}] = {{\n"
        + rows(words, 5) + "\n};\n// clang-format on\n")


if __name__ == "__main__":
    main()
