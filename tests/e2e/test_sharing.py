"""Images on one disk: a fine-tune costs what it changed."""

import shutil

import gguf

CHUNK = 4 << 20


def kept(daemon):
    return daemon.json("gc")["bytes_kept"]


def variant(model_file, to, wanted):
    """A copy whose tensors with a name in `wanted` have other weights; their bytes."""
    shutil.copy(model_file, to)
    changed = 0
    with open(to, "r+b") as file:
        for tensor in gguf.GGUFReader(model_file).tensors:
            if tensor.name not in wanted:
                continue
            data = tensor.data.tobytes()
            if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_1:  # Not the scales: 4 of 20.
                other = bytes(b ^ 0x11 if i % 20 >= 4 else b for i, b in enumerate(data))
            else:
                other = (tensor.data * 1.25).astype(tensor.data.dtype).tobytes()
            file.seek(tensor.data_offset)
            file.write(other)
            changed += len(data)
    assert changed > 0
    return changed


def names(model_file):
    return [tensor.name for tensor in gguf.GGUFReader(model_file).tensors]


def test_a_fine_tune_of_a_tenth_of_the_tensors_adds_a_tenth(daemon, model_file, tmp_path):
    """Three of thirty layers."""
    wanted = [name for name in names(model_file)
              if name.split(".")[:2] in (["blk", "5"], ["blk", "14"], ["blk", "23"])]
    assert len(wanted) * 9 <= len(names(model_file)) < len(wanted) * 11
    changed = variant(model_file, tmp_path / "tuned.gguf", wanted)
    daemon.deploy(model_file, "base")
    before = kept(daemon)
    daemon.deploy(tmp_path / "tuned.gguf", "tuned")
    added = kept(daemon) - before
    assert changed <= added <= before / 10 + 3 * 2 * CHUNK  # A layer's neighbours at each end.


def test_scattered_changes_add_a_chunk_for_each_tensor_at_most(daemon, model_file, tmp_path):
    wanted = [f"blk.{layer}.ffn_down.weight" for layer in range(0, 30, 6)]
    changed = variant(model_file, tmp_path / "tuned.gguf", wanted)
    daemon.deploy(model_file, "base")
    before = kept(daemon)
    daemon.deploy(tmp_path / "tuned.gguf", "tuned")
    assert changed <= kept(daemon) - before <= changed + len(wanted) * CHUNK


def test_the_same_weights_again_add_nothing(daemon, model_file, tmp_path):
    shutil.copy(model_file, tmp_path / "copy.gguf")
    daemon.deploy(model_file, "base")
    before = kept(daemon)
    daemon.deploy(tmp_path / "copy.gguf", "copy")
    assert kept(daemon) == before


def test_what_one_of_them_still_needs_stays_when_the_other_goes(daemon, model_file, tmp_path):
    variant(model_file, tmp_path / "tuned.gguf", ["blk.3.ffn_down.weight"])
    daemon.deploy(model_file, "base")
    alone = kept(daemon)
    daemon.deploy(tmp_path / "tuned.gguf", "tuned")
    assert kept(daemon) > alone
    assert daemon.cli("undeploy", "tuned").code == 0
    assert kept(daemon) == alone
    assert daemon.json("verify")["faults"] == []


