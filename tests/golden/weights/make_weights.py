"""Writes blocks.json: for each weight type three random blocks in GGUF's form (hexadecimal) and the
values that the `gguf` package (ggml's own reference in Python) gives them.

    python3 tests/golden/weights/make_weights.py      (needs gguf 0.19.0, numpy)
"""

import json
import pathlib

import gguf
import numpy as np

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
         "IQ4_XS"]
HALVES = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208]}
BLOCKS = 3


def main():
    random = np.random.default_rng(5)
    out = {}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        size = gguf.GGML_QUANT_SIZES[kind][1]
        blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
        for place in HALVES.get(name, [0]):
            halves = random.normal(0, 0.02, BLOCKS).astype(np.float16)
            blocks[:, place:place + 2] = halves.view(np.uint8).reshape(BLOCKS, 2)
        values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).reshape(-1)
        out[name] = {"blocks": blocks.tobytes().hex(), "values": [float(v) for v in values]}
    path = pathlib.Path(__file__).with_name("blocks.json")
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n", encoding="ascii")


main()
