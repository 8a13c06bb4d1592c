#!/usr/bin/env python3
"""Golden token ids from Hugging Face `tokenizers`, for every pre-tokenizer rule set.

  make_tokenizer.py                 trains the small vocabulary; writes small_vocabulary.json, small.jsonl
  make_tokenizer.py --model X.gguf  writes smollm2.jsonl with the vocabulary of that file

Needs: pip install tokenizers==0.23.3, and gguf for --model.
"""
import argparse
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from strings import RUNS, strings

HERE = pathlib.Path(__file__).parent
RUN_CHARACTERS = 100_000
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
PATTERNS = {
    "llama-bpe": CONTRACTIONS + LETTERS + r"|\p{N}{1,3}" + TAIL,
    "qwen2": CONTRACTIONS + LETTERS + r"|\p{N}" + TAIL,
    "qwen35": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
              + TAIL.replace(r"\p{L}", r"\p{L}\p{M}"),
}
IGNORE_MERGES = {"llama-bpe"}
PREFIXED = "gpt-2 with a space prefix"
RULES = ["smollm", "gpt-2", *PATTERNS, PREFIXED]


def pre_tokenizer(rule: str):
    if rule in ("gpt-2", PREFIXED):
        return pre_tokenizers.ByteLevel(add_prefix_space=rule == PREFIXED, use_regex=True)
    if rule == "smollm":
        return pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERNS[rule]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def build(vocabulary: dict, rule: str, special: bool) -> Tokenizer:
    """The vocabulary as a Hugging Face tokenizer; control tokens are matched only with `special`."""
    tokens, types = vocabulary["tokens"], vocabulary["token_types"]
    merges = [tuple(m.split(" ")) for m in vocabulary["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges,
                                     ignore_merges=rule in IGNORE_MERGES))
    tokenizer.pre_tokenizer = pre_tokenizer(rule)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(t, normalized=False)
                          for t, kind in zip(tokens, types) if kind == 4])
    if special:
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                      for t, kind in zip(tokens, types) if kind == 3])
    assert tokenizer.get_vocab_size() == len(tokens)
    return tokenizer


def train() -> dict:
    """Two thousand tokens from the licence text and the golden strings: small enough to commit."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer("gpt-2")
    trainer = trainers.BpeTrainer(vocab_size=2000, show_progress=False, min_frequency=2,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    licence = (HERE.parents[2] / "LICENSE").read_text()
    tokenizer.train_from_iterator([licence, *strings()], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    special = [("<|endoftext|>", 3), ("<|im_start|>", 3), ("<|im_end|>", 3), ("<|im_end", 3),
               ("<tool>", 4), ("<tool_call>", 4), ("<tool_calls>", 4)]
    trained = sorted(model["vocab"], key=model["vocab"].get)
    return {"tokens": [t for t, _ in special] + trained,
            "token_types": [k for _, k in special] + [1] * len(trained),
            "merges": [m if isinstance(m, str) else " ".join(m) for m in model["merges"]],
            "bos": 1, "eos": 2}


def from_gguf(path: str) -> dict:
    import gguf
    fields = gguf.GGUFReader(path).fields
    read = lambda key: fields["tokenizer.ggml." + key].contents()
    return {"tokens": read("tokens"), "token_types": read("token_type"), "merges": read("merges")}


def fingerprint(ids: list[int]) -> list:
    """Count and 64-bit FNV-1a over the ids: a run of 100,000 characters need not be written out."""
    value = 0xCBF29CE484222325
    for token in ids:
        value = (value ^ token) * 0x100000001B3 % 2**64
    return [len(ids), f"{value:016x}"]


def write_golden(vocabulary: dict, path: pathlib.Path) -> None:
    plain = {rule: build(vocabulary, rule, False) for rule in RULES}
    special = {rule: build(vocabulary, rule, True) for rule in RULES}
    control = [t for t, kind in zip(vocabulary["tokens"], vocabulary["token_types"]) if kind == 3]
    encode = lambda tokenizer, text: tokenizer.encode(text, add_special_tokens=False).ids
    with path.open("w") as out:
        put = lambda record: out.write(
            json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        for text in strings():
            ids = {rule: encode(plain[rule], text) for rule in RULES}
            # Rules that agree with the first one are left out.
            record = {"text": text, "ids": {r: v for r, v in ids.items()
                                            if r == RULES[0] or v != ids[RULES[0]]}}
            if any(token in text for token in control):
                record["special"] = {rule: encode(special[rule], text) for rule in RULES}
            put(record)
        for unit in RUNS:
            text = unit * (RUN_CHARACTERS // len(unit))
            put({"unit": unit, "times": RUN_CHARACTERS // len(unit),
                 "runs": {rule: fingerprint(encode(plain[rule], text)) for rule in RULES}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    model = parser.parse_args().model
    if model:
        write_golden(from_gguf(model), HERE / "smollm2.jsonl")
        return
    vocabulary = train()
    (HERE / "small_vocabulary.json").write_text(
        json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_golden(vocabulary, HERE / "small.jsonl")


if __name__ == "__main__":
    main()
