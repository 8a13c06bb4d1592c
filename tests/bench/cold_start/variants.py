"""Many models out of one file: fine-tunes that share all but one matrix, and models that share none."""

import functools
import pathlib
import shutil

import gguf
import numpy

BLOCK_BYTES, NIBBLES_AT = 20, 4  # Of Q4_1: two F16 factors, then 32 weights of four bits.


@functools.cache
def q4_1_tensors(source):
    """(name, offset, bytes) of each."""
    return [(tensor.name, int(tensor.data_offset), int(tensor.n_bytes))
            for tensor in gguf.GGUFReader(source).tensors
            if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_1]


def make_variant(source, path, number):
    """Even numbers: one matrix is another. Odd numbers: every Q4_1 tensor is another.

    Factors stay as they were, so that weights are of a sensible size.
    """
    path = pathlib.Path(path)
    tensors = q4_1_tensors(source)
    if number % 2 == 0:
        tensors = [tensor for tensor in tensors if tensor[0].endswith("ffn_down.weight")]
        tensors = [tensors[number // 2 % len(tensors)]]
    shutil.copyfile(source, path)
    random = numpy.random.default_rng(number)
    file = numpy.memmap(path, numpy.uint8, "r+")
    for _, offset, size in tensors:
        blocks = file[offset:offset + size].reshape(-1, BLOCK_BYTES)
        blocks[:, NIBBLES_AT:] ^= random.integers(0, 256, (len(blocks), BLOCK_BYTES - NIBBLES_AT),
                                                  dtype=numpy.uint8)
    file.flush()
    return path
