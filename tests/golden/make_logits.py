#!/usr/bin/env python3
"""Writes tests/golden/logits/<model>.json: what a float32 forward pass with exactly dequantised
weights says about ten prompts, for tests/runtime/golden_logits_test.cpp.

For each prompt: its token ids, the ten most likely next tokens with their log-probabilities, the 64
tokens that the reference answers with (greedily), and the ten most likely tokens after each of them.

    make_logits.py MODEL.gguf OUT.json
"""

import hashlib
import json
import sys

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TOP = 10
FORCED = 64

CHAT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
PROMPTS = [
    ("one word", "The"),
    ("fact", "The capital of France is"),
    ("story", "Once upon a time, in a small village by the sea, there lived a fisherman who"),
    ("code", "def fibonacci(n):\n    if n < 2:\n        return n\n    return"),
    ("numbers", "1, 2, 4, 8, 16, 32, 64, 128,"),
    ("french", "Bonjour, je m'appelle Marie et j'habite à"),
    ("json", '{"name": "Ada", "born": 1815, "field": "mathematics", "machine": "'),
    ("chat", CHAT.format("What is gravity?")),
    ("chat code", CHAT.format("Write a C function that reverses a string in place.")),
    (
        "long",
        "A bakery keeps its flour in sacks of 25 kilograms. "
        + " ".join(
            f"On day {day} it uses {day * 7 % 23 + 5} kilograms for bread and {day * 5 % 11 + 1} for cakes."
            for day in range(1, 13)
        )
        + " After these days the baker counts the sacks and finds that",
    ),
]


def field(reader, name):
    return reader.fields[name].contents()


def make_tokenizer(reader):
    """The file's own byte-level BPE; "smollm" splits each digit, then as GPT-2 does."""
    assert field(reader, "tokenizer.ggml.pre") == "smollm"
    tokens = field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    types = field(reader, "tokenizer.ggml.token_type")
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, types) if kind == control])
    return tokenizer


class Llama:
    """Plain numpy, float32, keys and values cached in float32."""

    def __init__(self, reader):
        self.tensors = {t.name: t for t in reader.tensors}
        self.weights = {}
        self.layers = field(reader, "llama.block_count")
        self.heads = field(reader, "llama.attention.head_count")
        self.kv_heads = field(reader, "llama.attention.head_count_kv")
        self.epsilon = field(reader, "llama.attention.layer_norm_rms_epsilon")
        self.head_dim = field(reader, "llama.embedding_length") // self.heads
        rotated = field(reader, "llama.rope.dimension_count")
        assert rotated == self.head_dim
        base = field(reader, "llama.rope.freq_base")
        self.frequencies = base ** (-np.arange(0, rotated, 2, dtype=np.float64) / rotated)

    def weight(self, name):
        if name not in self.weights:
            tensor = self.tensors[name + ".weight"]
            self.weights[name] = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        return self.weights[name]

    def norm(self, x, name):
        scale = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(self.epsilon))
        return x * scale * self.weight(name)

    def rotate(self, x, positions):
        """x [tokens][heads][head_dim]; GGUF's llama files are permuted for adjacent pairs."""
        angles = positions[:, None] * self.frequencies[None, :]
        cos, sin = np.cos(angles).astype(np.float32)[:, None], np.sin(angles).astype(np.float32)[:, None]
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
        out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
        return out

    def attend(self, q, k, v, positions):
        """One sequence: q [tokens][heads][head_dim], k and v [context][kv_heads][head_dim]."""
        group = self.heads // self.kv_heads
        out = np.empty_like(q)
        seen = np.arange(k.shape[0])[None, :] <= positions[:, None]
        for head in range(self.heads):
            scores = q[:, head] @ k[:, head // group].T / np.float32(np.sqrt(self.head_dim))
            scores = np.where(seen, scores, -np.inf)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, head] = scores / scores.sum(axis=-1, keepdims=True) @ v[:, head // group]
        return out

    def forward(self, batch):
        """batch: (tokens, cache) of each sequence; a cache holds (keys, values) per layer and grows.
        Gives the logits after each sequence's last token, [sequences][vocabulary]."""
        starts = [cache[0][0].shape[0] if cache else 0 for _, cache in batch]
        counts = [len(tokens) for tokens, _ in batch]
        ends = np.cumsum(counts)
        positions = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, counts)])
        x = self.weight("token_embd")[np.concatenate([tokens for tokens, _ in batch])]
        for i in range(self.layers):
            block = f"blk.{i}."
            normed = self.norm(x, block + "attn_norm")
            q = (normed @ self.weight(block + "attn_q").T).reshape(-1, self.heads, self.head_dim)
            k = (normed @ self.weight(block + "attn_k").T).reshape(-1, self.kv_heads, self.head_dim)
            v = (normed @ self.weight(block + "attn_v").T).reshape(-1, self.kv_heads, self.head_dim)
            q, k = self.rotate(q, positions), self.rotate(k, positions)
            attended = np.empty_like(q)
            for end, count, (_, cache) in zip(ends, counts, batch):
                rows = slice(end - count, end)
                if len(cache) <= i:
                    cache.append((k[rows], v[rows]))
                else:
                    cache[i] = (np.concatenate([cache[i][0], k[rows]]), np.concatenate([cache[i][1], v[rows]]))
                attended[rows] = self.attend(q[rows], *cache[i], positions[rows])
            x = x + attended.reshape(len(x), -1) @ self.weight(block + "attn_output").T
            normed = self.norm(x, block + "ffn_norm")
            gate = normed @ self.weight(block + "ffn_gate").T
            gate = gate / (1 + np.exp(-gate)) * (normed @ self.weight(block + "ffn_up").T)
            x = x + gate @ self.weight(block + "ffn_down").T
        head = "output" if "output.weight" in self.tensors else "token_embd"
        return self.norm(x[ends - 1], "output_norm") @ self.weight(head).T


def top(logits):
    """[[token, log-probability], …], best first, ties to the lowest id."""
    logits = logits.astype(np.float64)
    logprobs = logits - (np.log(np.sum(np.exp(logits - logits.max()))) + logits.max())
    best = np.lexsort((np.arange(len(logits)), -logits))[:TOP]
    return [[int(i), round(float(logprobs[i]), 4)] for i in best]


def answers(model, prompts):
    """Prompts one by one, then all answers together: a step reads every weight once."""
    out = []
    caches = []
    for tokens in prompts:
        cache = []
        out.append({"tokens": tokens, "top": top(model.forward([(tokens, cache)])[0])})
        out[-1].update(forced=[], forced_top=[])
        caches.append(cache)
    rows = [one["top"] for one in out]
    for _ in range(FORCED):
        tokens = [row[0][0] for row in rows]
        logits = model.forward([([token], cache) for token, cache in zip(tokens, caches)])
        rows = [top(row) for row in logits]
        for one, token, row in zip(out, tokens, rows):
            one["forced"].append(token)
            one["forced_top"].append(row)
    return out


def main():
    source, target = sys.argv[1:]
    reader = gguf.GGUFReader(source)
    tokenizer = make_tokenizer(reader)
    names, texts = zip(*PROMPTS)
    found = answers(Llama(reader), [tokenizer.encode(text).ids for text in texts])
    prompts = [{"name": n, "text": t, **answer} for n, t, answer in zip(names, texts, found)]
    for prompt in prompts:
        text = tokenizer.decode(prompt["forced"])
        print(f"{prompt['name']}: {len(prompt['tokens'])} tokens, then {text!r}")
    with open(source, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with open(target, "w", encoding="utf-8") as file:
        file.write(f'{{"model_sha256": "{digest}",\n"prompts": [\n')
        file.write(",\n".join(json.dumps(p, separators=(",", ":")) for p in prompts))
        file.write("\n]}\n")


if __name__ == "__main__":
    main()
