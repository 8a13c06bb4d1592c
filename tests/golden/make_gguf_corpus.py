#!/usr/bin/env python3
"""Writes the seed corpora of the fuzz targets `gguf` and `import`: small files, valid and false ones.

Usage: make_gguf_corpus.py GGUF_FOLDER IMPORT_FOLDER

The false ones are the faults that GGUF readers have really had: counts and lengths that wrap,
alignments that are no power of two, unknown types, arrays larger than the file, overlapping data.
"""
import pathlib
import struct
import sys

U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def strings(values):
    return struct.pack("<IQ", STRING, len(values)) + b"".join(text(v) for v in values)


def tensor(name, dims, kind, offset):
    head = text(name) + struct.pack("<I", len(dims))
    return head + b"".join(struct.pack("<Q", d) for d in dims) + struct.pack("<IQ", kind, offset)


def gguf(entries, tensors, data=b"", version=3, tensor_count=None, entry_count=None, align=32):
    head = b"GGUF" + struct.pack(
        "<IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(entries) if entry_count is None else entry_count,
    )
    body = head + b"".join(entries) + b"".join(tensors)
    return body + bytes(-len(body) % align) + data


LLAMA = [
    entry("general.architecture", STRING, text("llama")),
    entry("llama.block_count", U32, struct.pack("<I", 1)),
    entry("llama.embedding_length", U32, struct.pack("<I", 32)),
    entry("llama.rope.freq_base", F32, struct.pack("<f", 1e5)),
    entry("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
    entry("tokenizer.ggml.tokens", ARRAY, strings(["a", "", "bc"])),
    entry("tokenizer.ggml.token_type", ARRAY, struct.pack("<IQ3i", 5, 3, 1, -1, 3)),
]
NORM = tensor("output_norm.weight", [32], 0, 0)
MATRIX = tensor("blk.0.attn_q.weight", [32, 2], 2, 128)
DATA = bytes(range(128)) + bytes(36)
ALIGN = "general.alignment"

CASES = {
    "valid_v3": gguf(LLAMA, [NORM, MATRIX], DATA),
    "valid_v2": gguf(LLAMA, [NORM, MATRIX], DATA, version=2),
    "empty": gguf([], []),
    "version_1": gguf(LLAMA, [], version=1),
    "big_endian": gguf(LLAMA, [], version=0x03000000),
    "tensor_count_wraps": gguf(LLAMA, [NORM], DATA, tensor_count=2**64 - 1),
    "entry_count_wraps": gguf(LLAMA, [NORM], DATA, entry_count=2**63 + 1),
    "string_wraps": gguf([text("k") + struct.pack("<IQ", STRING, 2**64 - 8)], []),
    "array_wraps": gguf([entry("k", ARRAY, struct.pack("<IQ", U64, 2**61 + 1))], []),
    "array_of_arrays": gguf([entry("k", ARRAY, struct.pack("<IQ", ARRAY, 1))], []),
    "alignment_0": gguf([entry(ALIGN, U32, struct.pack("<I", 0))], [NORM], DATA),
    "alignment_33": gguf([entry(ALIGN, U32, struct.pack("<I", 33))], [NORM], DATA),
    "alignment_64": gguf([entry(ALIGN, U32, struct.pack("<I", 64))], [NORM], DATA, align=64),
    "dimensions_wrap": gguf([], [tensor("t", [2**32, 2**32], 0, 0)], DATA),
    "type_negative": gguf([], [tensor("t", [32], 2**32 - 1, 0)], DATA),
    "offset_wraps": gguf([], [tensor("t", [32], 0, 2**64 - 32)], DATA),
    "data_overlaps": gguf([], [NORM, tensor("t", [32], 0, 96)], DATA),
    "name_twice": gguf([], [NORM, NORM], DATA),
}


TEMPLATE = "{% for m in messages %}{{ m['role'] ~ ': ' ~ m.content | trim }}{% endfor %}"


def tiny_llama(template, matrix_type, matrix_bytes, extra=()):
    """A whole model of one layer: 32 values a row, two heads, eight tokens."""
    tokens = list("abcdef") + ["ab", "<|im_end|>"]
    counts = {
        "block_count": 1,
        "context_length": 16,
        "embedding_length": 32,
        "feed_forward_length": 32,
        "attention.head_count": 2,
    }
    entries = [entry("general.architecture", STRING, text("llama"))]
    entries += [entry(f"llama.{k}", U32, struct.pack("<I", v)) for k, v in counts.items()]
    entries += [
        entry("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
        entry("tokenizer.ggml.model", STRING, text("gpt2")),
        entry("tokenizer.ggml.pre", STRING, text("smollm")),
        entry("tokenizer.ggml.tokens", ARRAY, strings(tokens)),
        entry("tokenizer.ggml.token_type", ARRAY, struct.pack("<IQ8i", 5, 8, *[1] * 7, 3)),
        entry("tokenizer.ggml.merges", ARRAY, strings(["a b"])),
        entry("tokenizer.chat_template", STRING, text(template)),
    ] + list(extra)
    tensors, data = [], b""
    parts = "attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down"
    matrices = [("token_embd", 8)] + [(f"blk.0.{part}", 32) for part in parts.split()]
    for name, rows in matrices:
        tensors.append(tensor(f"{name}.weight", [32, rows], matrix_type, len(data)))
        data += bytes(rows * matrix_bytes + -rows * matrix_bytes % 32)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        tensors.append(tensor(f"{name}.weight", [32], 0, len(data)))
        data += bytes(128)
    return gguf(entries, tensors, data)


MODELS = {
    "q4_0": tiny_llama("", 2, 18),
    "q8_0_template": tiny_llama(TEMPLATE, 8, 34),
    "bf16": tiny_llama("{{ bos_token }}", 30, 64),
    "rope_scaling": tiny_llama(
        "", 3, 20, [entry("llama.rope.scaling.type", STRING, text("yarn"))]
    ),
}


def main():
    for folder, cases in ((sys.argv[1], CASES), (sys.argv[2], MODELS)):
        path = pathlib.Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name, content in cases.items():
            (path / f"{name}.gguf").write_bytes(content)


if __name__ == "__main__":
    main()
