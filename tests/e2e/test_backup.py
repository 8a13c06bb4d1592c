"""Backup while serving, kill, restore elsewhere, verify."""

import subprocess
import tarfile

import pytest
import requests
from streams import Stream
from tools import BIN, Daemon, poll, refused_start

FIELDS = ["requests", "prompt_tokens", "completion_tokens", "cost"]


def offline(action, folder, *more):
    done = subprocess.run([BIN / "rekindled", "--offline", action, "--data-dir", folder, *more],
                          capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def restore(file, folder):
    return offline("restore", folder, "--file", file)


def bills(daemon):
    return {key: [row[field] for field in FIELDS]
            for key, row in daemon.usage("project,model,revision,outcome").items()}


def answer(daemon):
    stream = Stream(daemon, max_tokens=8).read()
    assert stream.done
    return stream.tokens


def test_a_backup_of_a_busy_node_serves_elsewhere(small, tmp_path):
    tokens = answer(small)
    Stream(small, max_tokens=5).read()
    before = bills(small)
    running = Stream(small, max_tokens=64).read(tokens=2)
    file = tmp_path / "backup.tar"
    done = small.cli("backup", file, "--with-images")
    assert done.code == 0 and str(file) in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    running.read()
    assert running.done and len(running.tokens) == 64  # Nothing was stopped.
    poll(lambda: not (small.data / "backup.tmp").exists(), "the copy of the ledger is removed")
    small.stop(how=9)

    code, out, err = restore(file, tmp_path / "elsewhere")
    assert code == 0, err
    assert "deployments  1" in out and "images       1" in out and "note" not in out
    assert offline("verify", tmp_path / "elsewhere")[0] == 0
    with Daemon(tmp_path / "elsewhere") as restored:
        after = bills(restored)
        assert {key: after[key] for key in before} == before
        # The stream that was running is billed as after a crash, for no more than it got.
        (crashed,) = [row for key, row in after.items() if key[3] == "crashed"]
        assert crashed[0] == 1 and crashed[2] <= 64
        assert answer(restored) == tokens


def test_a_backup_without_images_names_what_to_deploy_again(small, model_file, tmp_path):
    tokens = answer(small)
    revision = small.ps("small")["revision"]
    file = tmp_path / "backup.tar"
    assert small.json("backup", file)["bytes"] == file.stat().st_size
    assert file.stat().st_size < 1_000_000
    code, out, _ = restore(file, tmp_path / "elsewhere")
    assert code == 0 and "small has no image here" in out
    with Daemon(tmp_path / "elsewhere") as restored:
        assert restored.ps("small")["revision"] == revision
        refused = restored.cli("run", "small", "Hi")
        assert refused.code != 0 and "image" in refused.stderr
        restored.deploy(model_file, "small", "--price-input", "0.05", "--price-output", "0.20",
                        "--price-cached", "0.01")
        assert restored.ps("small")["revision"] == revision
        assert answer(restored) == tokens


def test_keys_are_in_a_backup_unless_they_are_left_out(daemon, tmp_path):
    key = daemon.cli("keys", "create", "--project", "p", "--admin").stdout.strip()
    env = {"REKINDLE_API_KEY": key}
    assert daemon.cli("backup", tmp_path / "with.tar", env=env).code == 0
    assert daemon.cli("backup", tmp_path / "without.tar", "--without-keys", env=env).code == 0
    assert daemon.cli("backup", tmp_path / "none.tar").code == 5
    assert not (tmp_path / "none.tar").exists() and not (tmp_path / "none.tar.partial").exists()
    assert daemon.cli("backup", tmp_path / "with.tar", env=env).code == 5  # Never over a file.
    assert key.split("_")[2].encode() not in (tmp_path / "with.tar").read_bytes()
    for name, keys in [("with", 1), ("without", 0)]:
        assert f"keys         {keys}" in restore(tmp_path / f"{name}.tar", tmp_path / name)[1]
    with Daemon(tmp_path / "with") as restored:
        status = requests.get(restored.url + "/v1/models", timeout=10,
                              headers={"Authorization": f"Bearer {key}"}).status_code
        assert status == 200 and requests.get(restored.url + "/v1/models",
                                              timeout=10).status_code == 401
    with Daemon(tmp_path / "without") as restored:
        assert requests.get(restored.url + "/v1/models", timeout=10).status_code == 200


def test_what_can_not_be_restored_is_refused_by_name(daemon, tmp_path):
    file = tmp_path / "backup.tar"
    assert daemon.cli("backup", file).code == 0
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        names = archive.getnames()
        member = archive.getmember("ledger/high_water")
    assert names[0] == "rekindle-backup.json" and names[-1] == "rekindle-backup-end.json"
    damaged = bytearray(whole)
    damaged[member.offset_data] ^= 1
    for content, reason in [(bytes(damaged), "ledger/high_water is damaged"),
                            (whole[:-3000], "not complete"), (b"x" * 2048, "no backup"),
                            (whole.replace(b'"rekindle_backup":1', b'"rekindle_backup":2'),
                             "format version 2")]:
        file.write_bytes(content)
        code, _, err = restore(file, tmp_path / "elsewhere")
        assert code == 1 and reason in err and str(file) in err, err
        assert list((tmp_path / "elsewhere").iterdir()) == []
    file.write_bytes(whole)
    code, _, err = restore(file, daemon.data)
    assert code == 1 and "in use by another rekindled" in err
    daemon.stop()
    code, _, err = restore(file, daemon.data)
    assert code == 1 and "not empty" in err
    assert restore(tmp_path / "none.tar", tmp_path / "elsewhere")[0] == 1
    assert restore(file, tmp_path / "elsewhere")[0] == 0


def test_verify_reads_every_chunk(small):
    assert offline("verify", small.data)[0] == 1  # It runs.
    small.stop()
    code, out, _ = offline("verify", small.data)
    assert code == 0 and "each as its SHA-256 says" in out
    pack = next((small.data / "chunks" / "packs").iterdir())
    with pack.open("r+b") as file:
        file.seek(5_000_000)
        byte = file.read(1)
        file.seek(5_000_000)
        file.write(bytes([byte[0] ^ 1]))
    code, _, err = offline("verify", small.data)
    assert code == 1 and "is damaged" in err and pack.name in err


def test_a_stopped_node_is_backed_up_offline(small, tmp_path):
    tokens = answer(small)
    small.stop()
    file = tmp_path / "backup.tar"
    code, _, err = offline("backup", small.data, "--file", file, "--with-images")
    assert code == 0, err
    assert offline("backup", small.data, "--file", file)[0] == 1  # Never over a file.
    assert restore(file, tmp_path / "elsewhere")[0] == 0
    with Daemon(tmp_path / "elsewhere") as restored:
        assert answer(restored) == tokens


@pytest.mark.parametrize("flags, reason", [
    (["--offline", "backup"], "--file"), (["--offline", "verify", "--file", "x"], "--file"),
    (["--file", "x"], "--offline"), (["--offline", "mend"], "--offline"),
    (["--offline", "restore", "--file", "x", "--with-images"], "--with-images")])
def test_offline_flags_that_mean_nothing_are_refused(tmp_path, flags, reason):
    done = subprocess.run([BIN / "rekindled", "--data-dir", tmp_path / "d", *flags],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and reason in done.stderr


def test_a_data_folder_of_a_newer_rekindled_is_left_alone(daemon):
    daemon.stop()
    (daemon.data / "format").write_text("rekindle data folder, version 2\n")
    assert "layout version 2" in refused_start(daemon.data)
