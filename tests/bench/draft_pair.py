#!/usr/bin/env python3
"""Makes a model and a draft of one family out of one GGUF file, for measuring drafts: by layers.

  draft_pair.py first SOURCE OUT LAYERS          the first LAYERS layers, the norm and the head
  draft_pair.py deepen SOURCE OUT LAYERS SHARE   LAYERS layers more, each a copy of an earlier one
                                                 whose outputs are SHARE of that one's

Fewer layers give a draft that is cheap and knows little. A deepened file is a model that costs more
and of which SOURCE is a draft: it says the same as SOURCE with a SHARE of 0, and something near it
with a small one; so the rate of right guesses can be chosen.
"""

import sys

import gguf
import numpy

OUTPUTS = ("attn_output.weight", "ffn_down.weight")  # What a layer adds to the residual stream.
# Halves that scale a block of each type, at its beginning.
SCALES = {gguf.GGMLQuantizationType.Q4_0: 1, gguf.GGMLQuantizationType.Q4_1: 2,
          gguf.GGMLQuantizationType.Q8_0: 1}


def copy_facts(reader, writer, layers):
    """All metadata, but for the number of layers."""
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = layers if name.endswith(".block_count") else field.contents()
        writer.add_key_value(name, value, kind, sub_type=sub)


def scaled(tensor, share):
    """The tensor with all its values times `share`."""
    if tensor.tensor_type == gguf.GGMLQuantizationType.F32:
        return tensor.data * numpy.float32(share)
    halves = SCALES[tensor.tensor_type]
    _, block_bytes = gguf.GGML_QUANT_SIZES[tensor.tensor_type]
    blocks = numpy.array(tensor.data).reshape(-1, block_bytes)
    scales = blocks[:, :2 * halves].copy().view(numpy.float16)
    blocks[:, :2 * halves] = (scales * numpy.float16(share)).view(numpy.uint8)
    return blocks.reshape(tensor.data.shape)


def resize(source, out, layers, share=0.0):
    """Writes `source` with `layers` layers in all to `out`; gives `out`."""
    reader = gguf.GGUFReader(source)
    own = {tensor.name: tensor for tensor in reader.tensors}
    had = 1 + max(int(name.split(".")[1]) for name in own if name.startswith("blk."))
    writer = gguf.GGUFWriter(out, "llama")
    copy_facts(reader, writer, layers)
    for name, tensor in own.items():
        if not name.startswith("blk.") or int(name.split(".")[1]) < layers:
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
    parts = [name.split(".", 2)[2] for name in own if name.startswith("blk.0.")]
    for layer in range(had, layers):
        for part in parts:
            tensor = own[f"blk.{layer % had}.{part}"]
            data = scaled(tensor, share) if part in OUTPUTS else tensor.data
            writer.add_tensor(f"blk.{layer}.{part}", data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def main():
    verb, source, out, layers = sys.argv[1:5]
    if verb == "first":
        resize(source, out, int(layers))
    elif verb == "deepen":
        reader = gguf.GGUFReader(source)
        had = int(reader.fields["llama.block_count"].contents())
        resize(source, out, had + int(layers), float(sys.argv[5]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
