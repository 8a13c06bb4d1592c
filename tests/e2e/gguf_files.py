"""Model files that are wrong in one way each, and a small one that is right."""

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, WORDS, HIDDEN = 64, 4, 1, 300, 128


def byte_alphabet():
    """The 256 characters that stand for bytes in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def write_llama(path, architecture="llama", tensor_type=None, leave_out=(), template=None, layers=LAYERS,
                last_word=None):
    """A small llama with random weights."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(WORDS)
    tokens = [*byte_alphabet(), "ab"]
    tokens += [f"<|{i}|>" for i in range(WORDS - len(tokens))]
    tokens[-1] = last_word or tokens[-1]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3] * (WORDS - 257))
    writer.add_token_merges(["a b"])
    if template is not None:
        writer.add_chat_template(template)
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    random = np.random.default_rng(1)

    def add(name, *shape):
        if name in leave_out:
            return
        data = random.standard_normal(shape).astype(np.float32) * 0.05
        if tensor_type is not None and len(shape) == 2:
            packed = gguf.quants.quantize(data, tensor_type)
            writer.add_tensor(name, packed, raw_dtype=tensor_type)
        else:
            writer.add_tensor(name, data)

    add("token_embd.weight", WORDS, WIDTH)
    add("output_norm.weight", WIDTH)
    for layer in range(layers):
        for part in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            add(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
        for part in ["ffn_gate", "ffn_up"]:
            add(f"blk.{layer}.{part}.weight", HIDDEN, WIDTH)
        add(f"blk.{layer}.ffn_down.weight", WIDTH, HIDDEN)
        add(f"blk.{layer}.attn_norm.weight", WIDTH)
        add(f"blk.{layer}.ffn_norm.weight", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
