"""Models to measure with: the real small one, and one of 1.1 B parameters with random weights."""

import pathlib
import subprocess

import gguf
import numpy

ROOT = pathlib.Path(__file__).resolve().parents[3]

# The shape of TinyLlama-1.1B: rows are multiples of 256, so K types are what their name says.
LAYERS, WIDTH, FEED_FORWARD, HEADS, KV_HEADS = 22, 2048, 5632, 32, 4
CONTEXT = 2048

Q = gguf.GGMLQuantizationType

# Bytes of a block, and where its F16 factors lie: random bits there would be infinite or huge.
FACTORS = {Q.Q8_0: (0,), Q.Q4_K: (0, 2), Q.Q6_K: (208,)}


def small():
    printed = subprocess.run([ROOT / "scripts/fetch-model"], check=True, stdout=subprocess.PIPE)
    return pathlib.Path(printed.stdout.decode().strip())


def random_blocks(random, kind, rows, columns):
    """A tensor of random weights of about 1 / sqrt(columns), in GGUF's form."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows, columns // values, size), dtype=numpy.uint8)
    largest = {Q.Q8_0: 127, Q.Q4_K: 63 * 15, Q.Q6_K: 127 * 32}[kind]
    factor = numpy.array([1.7 / columns**0.5 / largest], dtype=numpy.float16).view(numpy.uint8)
    for at in FACTORS[kind]:
        blocks[:, :, at : at + 2] = factor
    return blocks.reshape(rows, -1)


def kinds_of(mix, layer, layers):
    """Types of value, down and all other matrices of a layer, as llama.cpp's quantiser mixes them."""
    if mix == "Q8_0":
        return Q.Q8_0, Q.Q8_0, Q.Q8_0
    more = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    best = Q.Q6_K if more else Q.Q4_K
    return best, best, Q.Q4_K


def copy_tokenizer(writer, source):
    for name, field in gguf.GGUFReader(source).fields.items():
        if name.startswith("tokenizer.") and name != "tokenizer.chat_template":
            kind = field.types[0]
            sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=sub)
    writer.add_chat_template(gguf.GGUFReader(source).fields["tokenizer.chat_template"].contents())


def random_1b(folder, mix, layers=LAYERS):
    """A file of 1.1 B random weights (with more layers of more), mix "Q4_K_M" or "Q8_0", made once."""
    size = "1.1b" if layers == LAYERS else f"{layers}-layers"
    path = pathlib.Path(folder) / f"random-{size}-{mix}.gguf"
    if path.exists():
        return path
    random = numpy.random.default_rng(1)
    scratch = path.with_suffix(".part")
    writer = gguf.GGUFWriter(scratch, "llama")
    writer.add_name(f"Random {size} {mix}")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type({"Q4_K_M": 15, "Q8_0": 7}[mix])
    copy_tokenizer(writer, small())
    vocabulary = len(gguf.GGUFReader(small()).fields["tokenizer.ggml.tokens"].data)
    writer.add_vocab_size(vocabulary)

    def matrix(name, kind, rows, columns):
        writer.add_tensor(name, random_blocks(random, kind, rows, columns), raw_dtype=kind)

    def norm(name):
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    head = Q.Q8_0 if mix == "Q8_0" else Q.Q6_K
    matrix("token_embd.weight", Q.Q8_0 if mix == "Q8_0" else Q.Q4_K, vocabulary, WIDTH)
    matrix("output.weight", head, vocabulary, WIDTH)
    norm("output_norm.weight")
    kv_width = WIDTH // HEADS * KV_HEADS
    for layer in range(layers):
        value, down, other = kinds_of(mix, layer, layers)
        block = f"blk.{layer}."
        norm(block + "attn_norm.weight")
        matrix(block + "attn_q.weight", other, WIDTH, WIDTH)
        matrix(block + "attn_k.weight", other, kv_width, WIDTH)
        matrix(block + "attn_v.weight", value, kv_width, WIDTH)
        matrix(block + "attn_output.weight", other, WIDTH, WIDTH)
        norm(block + "ffn_norm.weight")
        matrix(block + "ffn_gate.weight", other, FEED_FORWARD, WIDTH)
        matrix(block + "ffn_up.weight", other, FEED_FORWARD, WIDTH)
        matrix(block + "ffn_down.weight", down, WIDTH, FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    scratch.rename(path)
    return path
