"""Models that are compared with what they said when they were deployed, and models that are woken
or read ahead of a request."""

import json
import pathlib
import re

import openai
import pytest
import requests
from tools import Daemon, poll

ASK = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "temperature": 0}


def ask(daemon, model="small"):
    return daemon.client().chat.completions.create(model=model, **ASK).choices[0].message.content


def manifest(folder, model_file, name, rest=""):
    path = folder / f"{name}.yaml"
    path.write_text(f"rekindle: 1\nname: {name}\nmodel: {model_file}\n{rest}")
    return path


def flip_bit_in_memory(daemon, image_bytes, offset):
    """In the node's own memory, after every checksum has passed."""
    pid = daemon.process.pid
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if "memfd:rekindle-extent" in line and "rw-s" in line:
            if offset < end - begin:
                with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
                    memory.seek(begin + offset)
                    byte = memory.read(1)[0]
                    memory.seek(begin + offset)
                    memory.write(bytes([byte ^ 8]))
                return
            offset -= end - begin
    raise AssertionError(f"no extent of {image_bytes} bytes is mapped")


def checks(daemon):
    [file] = (daemon.data / "checks").glob("*.json")
    return file, json.loads(file.read_text())["checks"]


def outcomes(daemon):
    text = requests.get(daemon.url + "/metrics", timeout=10).text
    found = re.findall(r'rekindle_self_checks_total\{model="small",outcome="(\w+)"\} (\d+)', text)
    return {outcome: int(count) for outcome, count in found}


@pytest.fixture
def verified(daemon, tmp_path, model_file):
    path = manifest(tmp_path, model_file, "small", "runtime: {verify_on_restore: true}\n")
    assert daemon.cli("deploy", path).code == 0
    return daemon


def test_a_deployment_records_what_its_model_says(small):
    _, [check] = checks(small)
    assert check["kv_type"] == "f16" and check["build"] and check["kernels"]
    assert 12 < len(check["tokens"]) <= 64
    assert all(token["logprob"] < 0 for token in check["tokens"][1:])
    assert outcomes(small) == {"passed": 1}
    assert small.usage() == {}  # It is on nobody's bill.
    ask(small)
    small.cli("cool", "small")
    ask(small)
    assert outcomes(small) == {"passed": 1}  # The manifest does not ask for more.


def test_a_restored_model_is_compared_before_it_serves(verified):
    right = ask(verified)
    for tier in ("host", "disk"):
        assert verified.cli("cool", "small", "--to", tier).code == 0
        answer = verified.client().chat.completions.with_raw_response.create(model="small", **ASK)
        assert answer.parse().choices[0].message.content == right
        trace = verified.json("trace", answer.headers["x-request-id"])
        phases = {p["phase"]: p for p in trace["phases"]}
        assert phases["self-check"]["end_ms"] <= phases["prefill"]["end_ms"]
        assert phases["self-check"]["start_ms"] >= phases["worker"]["end_ms"]
    assert outcomes(verified) == {"passed": 3}


def test_a_bit_that_flips_in_memory_is_caught_and_read_again(verified):
    right = ask(verified)
    verified.cli("cool", "small")
    flip_bit_in_memory(verified, verified.ps("small")["image_bytes"], 50_000_000)
    with pytest.raises(openai.InternalServerError) as caught:
        verified.client().with_options(max_retries=0).chat.completions.create(model="small", **ASK)
    message = caught.value.body["message"]
    assert re.search(r"model small: token \d+ of \d+ in its self-check has log-probability -[0-9.]+ "
                     r"instead of -[0-9.]+", message), message
    assert "rekindle verify small" in message and "deploy it again" in message
    assert verified.usage()["small",]["completion_tokens"] == 3  # Of the first request alone.
    assert ask(verified) == right  # From disk, and checked.
    assert outcomes(verified) == {"passed": 2, "failed": 1}


def test_without_the_check_a_flipped_bit_goes_unseen(small):
    """What the one above catches: every checksum has passed long before."""
    ask(small)
    small.cli("cool", "small")
    flip_bit_in_memory(small, small.ps("small")["image_bytes"], 50_000_000)
    assert ask(small) is not None
    assert small.json("verify", "--share", "100")["faults"] == []


def test_another_build_is_compared_within_rounding_and_recorded_anew(verified):
    file, [check] = checks(verified)
    verified.stop()
    check["build"] = "0.0.1"
    for token in check["tokens"]:
        for beside in token["top"]:
            beside["logprob"] += 0.01
    file.write_text(json.dumps({"checks": [check]}))
    verified.start()
    assert ask(verified)
    _, recorded = checks(verified)
    assert [c["build"] == "0.0.1" for c in recorded] == [False, True]
    verified.stop()
    for token in check["tokens"]:
        for beside in token["top"]:
            beside["logprob"] += 2
    file.write_text(json.dumps({"checks": [check]}))
    verified.start()
    refused = verified.cli("run", "small", "Hi")
    assert refused.code == 1 and "in its self-check has log-probability" in refused.stderr


def test_a_damaged_or_lost_record_is_recorded_anew(verified):
    file, _ = checks(verified)
    for text in ("{", None):
        verified.cli("cool", "small")
        file.write_text(text) if text else file.unlink()
        assert ask(verified)
        assert len(checks(verified)[1]) == 1
    assert verified.cli("undeploy", "small").code == 0
    assert list((verified.data / "checks").iterdir()) == []


# ---- Ahead of the request ----

def test_a_preloaded_model_is_in_memory_when_the_node_has_started(daemon, tmp_path, model_file):
    path = manifest(tmp_path, model_file, "small", "scale: {preload: true}\n")
    assert daemon.cli("deploy", path).code == 0
    daemon.stop()
    daemon.start()
    poll(lambda: daemon.ps("small")["tier"] == "memory", "the image is in memory")
    assert daemon.ps("small")["worker_pid"] == 0
    answer = daemon.client().chat.completions.with_raw_response.create(model="small", **ASK)
    trace = daemon.json("trace", answer.headers["x-request-id"])
    assert trace["tier"] == "memory" and trace["restore_bytes"] == 0


def test_a_preload_that_does_not_fit_is_said_and_pushes_nothing_out(tmp_path, model_file):
    folder = tmp_path / "node"
    folder.mkdir()
    with Daemon(folder) as daemon:
        path = manifest(tmp_path, model_file, "small", "scale: {preload: true}\n")
        assert daemon.cli("deploy", path).code == 0
    with Daemon(folder, "--host-memory", "64MiB", "--kv-memory", "16MiB") as daemon:
        poll(lambda: "preload_failed" in daemon.cli("logs").stdout, "it is said")
        assert "does not fit" in daemon.cli("logs").stdout
        assert daemon.ps("small")["tier"] == "disk"


def test_a_model_wakes_those_that_are_asked_next(daemon, tmp_path, model_file):
    daemon.deploy(model_file, "next")
    first = manifest(tmp_path, model_file, "first", "scale: {wakes: [next, absent]}\n")
    assert daemon.cli("deploy", first).code == 0

    def wakes_next(action):
        for name in ("first", "next"):
            assert daemon.cli("cool", name).code == 0
        action()
        poll(lambda: daemon.ps("next")["tier"] == "worker", "the other one is woken")
        daemon.wait_idle("first")

    wakes_next(lambda: ask(daemon, "first"))
    wakes_next(lambda: daemon.json("warm", "first"))
    wakes_next(lambda: requests.post(daemon.url + "/v1/preload/first", timeout=10))
    daemon.cli("cool", "first")
    daemon.cli("cool", "next")
    assert ask(daemon, "next")
    assert daemon.ps("first")["tier"] == "memory"  # It works one way alone.
