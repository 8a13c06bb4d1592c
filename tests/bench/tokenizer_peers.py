#!/usr/bin/env python3
"""Encoding speed of Hugging Face tokenizers and of tiktoken with the vocabulary of a GGUF file, one
thread, processor time: the peers of tokenizer_bench.

  tokenizer_peers.py MODEL.gguf PROSE.txt

Needs: pip install tokenizers==0.23.3 tiktoken==0.14.0 gguf. The file's pre-tokenizer is smollm.
"""
import os
import pathlib
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "golden" / "tokenizer"))

import gguf
import tiktoken
from make_tokenizer import build

MEGABYTE = 1 << 20
# tiktoken's merging is quadratic in the length of a word.
QUADRATIC_BYTES = MEGABYTE // 16
PATTERN = r"'(?:[sdmt]|ll|ve|re)|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def read_vocabulary(path: str) -> dict:
    fields = gguf.GGUFReader(path).fields

    def strings(key: str) -> list[str]:
        return [bytes(fields[key].parts[i]).decode() for i in fields[key].data]

    types = fields["tokenizer.ggml.token_type"]
    return {"tokens": strings("tokenizer.ggml.tokens"),
            "token_types": [int(types.parts[i][0]) for i in types.data],
            "merges": strings("tokenizer.ggml.merges")}


def tiktoken_encoding(vocabulary: dict) -> tiktoken.Encoding:
    """Ranks in order of merges; ids differ from the model's, the work does not."""
    alphabet, following = {}, 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174:
            alphabet[chr(byte)] = byte
        else:
            alphabet[chr(following)] = byte
            following += 1
    ranks = {bytes([byte]): byte for byte in range(256)}
    for merge in vocabulary["merges"]:
        ranks.setdefault(bytes(alphabet[c] for c in merge.replace(" ", "", 1)), len(ranks))
    return tiktoken.Encoding("peer", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def megabytes_per_second(encode, text: str, times: int) -> float:
    best = float("inf")
    for _ in range(times):
        begun = time.process_time()
        encode(text)
        best = min(best, time.process_time() - begun)
    return len(text.encode()) / best / 1e6


def main() -> None:
    vocabulary = read_vocabulary(sys.argv[1])
    face = build(vocabulary, "smollm", special=False)
    tik = tiktoken_encoding(vocabulary)
    prose = pathlib.Path(sys.argv[2]).read_text(errors="replace")[:MEGABYTE]
    for name, text in {"english": prose, "one letter": "a" * MEGABYTE, "spaces": " " * MEGABYTE,
                       "one emoji": "\U0001F600" * (MEGABYTE // 4)}.items():
        short = text if name == "english" else text[:QUADRATIC_BYTES]
        hf = megabytes_per_second(lambda t: face.encode(t, add_special_tokens=False), text, 3)
        tk = megabytes_per_second(tik.encode_ordinary, short, 3 if name == "english" else 1)
        print(f"{name}: tokenizers {hf:.2f} MB/s, tiktoken {tk:.2f} MB/s on {len(short)} characters")


if __name__ == "__main__":
    main()
