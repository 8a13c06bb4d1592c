"""Deploying what can't be deployed: one clear message, nothing lost, nothing left behind."""

import itertools
import os
import pathlib
import signal
import subprocess

import gguf
import pytest
import requests
from gguf_files import write_llama
from tools import BIN, Daemon, descendants, poll, start_rekindle


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("bad") / "data") as daemon:
        yield daemon


def stored_bytes(daemon):
    """Allocated bytes below the data folder but for the ledger."""
    return sum(file.stat().st_blocks * 512 for file in daemon.data.rglob("*")
               if file.is_file() and "ledger" not in file.parts)


def assert_refused(node, file, *words, code=5):
    before = node.json("models"), poll(lambda: len(descendants(node.pid)), "a spare worker")
    done = node.cli("deploy", file, "--name", "bad")
    assert done.code == code, done
    message = done.stderr.splitlines()[-1]
    assert message.startswith("rekindle: ")
    assert all(word in message for word in words), message
    assert "\ufffd" not in message
    assert done.stdout == ""
    assert node.json("models") == before[0]
    poll(lambda: len(descendants(node.pid)) <= before[1], "the importer has ended")


def test_a_small_model_is_deployed_and_answers(node, good_file):
    node.deploy(good_file, "tiny")
    answer = node.client().completions.create(model="tiny", prompt="abc", max_tokens=4,
                                              temperature=0, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 4 and answer.usage.prompt_tokens == 2  # "ab" and "c".
    assert node.cli("undeploy", "tiny").code == 0


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_every_supported_tensor_type_is_deployed(node, tmp_path, kind):
    file = write_llama(tmp_path / "m.gguf", tensor_type=gguf.GGMLQuantizationType[kind])
    node.deploy(file, "typed")
    answer = node.client().completions.create(model="typed", prompt="abc", max_tokens=3,
                                              temperature=0, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 3
    assert node.cli("undeploy", "typed").code == 0


def test_files_that_are_no_gguf(node, tmp_path):
    for name, content in [("empty", b""), ("one", b"G"), ("magic", b"GGUF"), ("zip", b"PK\3\4" * 9),
                          ("zeros", bytes(4096)), ("text", b"This is not a model.\n" * 99)]:
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(content)
        assert_refused(node, file)


def test_a_file_cut_at_many_offsets(node, good_file, tmp_path):
    content = good_file.read_bytes()
    file = tmp_path / "cut.gguf"
    cuts = {*range(1, 32, 3), *range(64, len(content), len(content) // 24), len(content) - 1}
    for cut in sorted(cuts):
        file.write_bytes(content[:cut])
        assert_refused(node, file)


def test_an_architecture_and_a_type_that_are_not_supported_are_named(node, tmp_path):
    other = write_llama(tmp_path / "mamba.gguf", architecture="mamba")
    assert_refused(node, other, "mamba")
    other = write_llama(tmp_path / "mx.gguf", tensor_type=gguf.GGMLQuantizationType.MXFP4)
    assert_refused(node, other, "MXFP4")


def test_a_missing_tensor_is_named(node, tmp_path):
    name = "blk.0.ffn_up.weight"
    file = write_llama(tmp_path / "m.gguf", leave_out={name})
    assert_refused(node, file, name)


def test_counts_and_offsets_that_lie(node, good_file, tmp_path):
    content = bytearray(good_file.read_bytes())
    file = tmp_path / "lie.gguf"
    for at in [8, 16]:  # Tensors and metadata entries, 64 bits each.
        for value in [2**63, 2**40, 10**6, 2**64 - 1]:
            lie = bytearray(content)
            lie[at:at + 8] = value.to_bytes(8, "little")
            file.write_bytes(lie)
            assert_refused(node, file)
    lie = bytearray(content)
    lie[4:8] = (99).to_bytes(4, "little")  # Version.
    file.write_bytes(lie)
    assert_refused(node, file, "99")


def test_a_model_uploaded_over_tcp(node, good_file):
    manifest = b'{"rekindle": 1, "name": "sent", "model": "a", "price": {"per_mtok": {"input": "0.5"}}}'
    whole = manifest + good_file.read_bytes()
    for data in [whole, iter([whole])]:  # Length, and chunks.
        answer = requests.post(node.url + "/admin/v1/deployments", data=data, timeout=60,
                               headers={"X-Rekindle-Manifest-Bytes": str(len(manifest))})
        lines = answer.text.splitlines()
        assert answer.status_code == 200 and '"deployment"' in lines[-1]
        assert node.json("models")["deployments"][0]["price"]["input"] == "0.5"
        assert node.cli("undeploy", "sent").code == 0


def test_a_deployment_that_is_interrupted_leaves_nothing(daemon, model_file):
    process = start_rekindle("deploy", model_file, "--name", "never", url=daemon.url)
    process.stderr.readline()  # Progress: it has begun.
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    if process.returncode == 0:
        pytest.skip("the deployment was faster than Ctrl-C")
    assert process.returncode == 130
    poll(lambda: daemon.json("models")["deployments"] == [], "nothing is deployed")
    daemon.deploy(model_file, "later")


def test_a_context_beyond_the_models_own_is_refused_and_a_smaller_one_binds(node, good_file):
    done = node.cli("deploy", good_file, "--name", "wide", "--context", "257")
    assert done.code == 5 and "longer than the model's own context of 256" in done.stderr
    assert node.json("models")["deployments"] == []
    node.deploy(good_file, "whole", "--context", "256")
    assert node.ps("whole")["context"] == 256
    assert node.cli("undeploy", "whole").code == 0
    node.deploy(good_file, "narrow", "--context", "16")
    assert node.ps("narrow")["context"] == 16
    with pytest.raises(Exception, match="16"):
        node.client().completions.create(model="narrow", prompt="abcdefgh" * 4)
    assert node.cli("undeploy", "narrow").code == 0


def run_rekindled(*flags):
    return subprocess.run([BIN / "rekindled", *flags], capture_output=True, timeout=30, text=True,
                          check=False)


def test_a_data_folder_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for folder in [file, file / "below", "/proc/rekindle"]:
        done = run_rekindled("--data-dir", folder, "--listen", "127.0.0.1:0")
        assert done.returncode == 1
        errors = [line for line in done.stderr.splitlines() if line.startswith("rekindled: ")]
        assert len(errors) == 1 and str(folder) in errors[0]


@pytest.mark.parametrize("flags, word", [
    ([], "--data-dir"), (["--data-dir", "d", "--listen", "nowhere"], "nowhere"),
    (["--data-dir", "d", "--threads", "0"], "threads"),
    (["--data-dir", "d", "--host-memory", "lots"], "host-memory"),
    (["--data-dir", "d", "--idle", "soon"], "idle"), (["--fly"], "fly"),
    (["--config", "/no/such/file"], "/no/such/file"),
])
def test_wrong_flags_of_the_daemon(flags, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_rekindled(*flags)
    assert done.returncode != 0 and word in done.stderr.replace("_", "-")
    assert not pathlib.Path("d/admin.sock").exists()


def test_a_config_file_is_read_and_flags_win(tmp_path, good_file):
    config = tmp_path / "rekindled.yaml"
    config.write_text("threads: 1\nidle: 300ms\nhost_memory: 256MiB\n")
    with Daemon(tmp_path / "data", "--config", config) as daemon:
        daemon.deploy(good_file, "tiny")
        daemon.client().completions.create(model="tiny", prompt="a", max_tokens=1)
        poll(lambda: daemon.ps("tiny")["worker_pid"] == 0, "the file's idle time")
    for name in ["rekindled", "rekindle-worker", "rekindle"]:
        shown = subprocess.run([BIN / name, "--version"], capture_output=True, text=True,
                               check=True).stdout
        assert shown.startswith(name + " 0.")


@pytest.mark.parametrize("way", ["descriptor", "upload"])
def test_a_disk_that_fills_up_while_deploying(little_disk, model_file, good_file, way):
    with Daemon(little_disk / "data") as daemon:
        daemon.deploy(good_file, "tiny")
        before = stored_bytes(daemon)
        if way == "descriptor":
            done = daemon.cli("deploy", model_file, "--name", "big")
            assert done.code == 1 and "space" in done.stderr
        else:
            manifest = b'{"rekindle": 1, "name": "big", "model": "a"}'
            with open(model_file, "rb") as file:
                parts = itertools.chain([manifest], iter(lambda: file.read(1 << 20), b""))
                answer = requests.post(
                    daemon.url + "/admin/v1/deployments", data=parts, timeout=60,
                    headers={"X-Rekindle-Manifest-Bytes": str(len(manifest))})
            assert "space" in answer.text and '"deployment"' not in answer.text
        assert [d["name"] for d in daemon.json("models")["deployments"]] == ["tiny"]
        # What was there works on, and what was begun is gone.
        answer = daemon.client().completions.create(model="tiny", prompt="a", max_tokens=2,
                                                    extra_body={"ignore_eos": True})
        assert answer.usage.completion_tokens == 2
        poll(lambda: stored_bytes(daemon) <= before + (4 << 20), "what was begun is gone")
        daemon.deploy(good_file, "second")
    assert os.listdir(little_disk) == ["data"]
