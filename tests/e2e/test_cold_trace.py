"""A cold start as its trace shows it: rekindle trace, its Chrome file, and Server-Timing."""

import json
import os
import re
import socket

import pexpect
import pytest
from tools import BIN

LAYERS = ["embedding", *[str(i) for i in range(30)], "head"]


def ask(daemon, **more):
    return daemon.client().chat.completions.with_raw_response.create(
        model="small", messages=[{"role": "user", "content": "Hi"}],
        **{"max_tokens": 3, "temperature": 0, **more})


def timing_of(text):
    return {name: float(ms) for name, ms in re.findall(r"([a-z-]+);dur=([0-9.]+)", text)}


@pytest.fixture
def cold(small):
    """At zero, on disk."""
    small.stop()
    small.start()
    return small


def test_a_cold_start_shows_each_layer_arrive_and_compute(cold):
    request = ask(cold).headers["x-request-id"]
    trace = cold.json("trace", request)
    layers = trace["layers"]
    assert [layer["layer"] for layer in layers] == LAYERS
    phases = {p["phase"]: p for p in trace["phases"]}
    before = phases["worker"]["end_ms"]
    for layer in layers:
        assert phases["restore"]["start_ms"] < layer["arrived_ms"] <= phases["restore"]["end_ms"]
        assert before <= layer["start_ms"] - layer["wait_ms"] <= layer["start_ms"]
        assert layer["arrived_ms"] <= layer["start_ms"] <= layer["end_ms"]
        before = layer["end_ms"]
    assert before <= phases["prefill"]["end_ms"]
    assert 0 < sum(layer["bytes"] for layer in layers) <= trace["restore_bytes"]
    assert cold.json("trace", "--model", "small", "--last-cold") == trace


def test_layers_that_were_in_memory_did_not_arrive(cold):
    ask(cold)
    assert cold.cli("cool", "small").code == 0
    trace = cold.json("trace", ask(cold).headers["x-request-id"])
    assert trace["tier"] == "memory"
    assert [layer["arrived_ms"] for layer in trace["layers"]] == [None] * len(LAYERS)
    assert all(layer["wait_ms"] < layer["end_ms"] for layer in trace["layers"])


def test_a_warm_request_has_no_layers_and_is_not_the_last_cold_one(cold):
    first = ask(cold).headers["x-request-id"]
    warm = cold.json("trace", ask(cold).headers["x-request-id"])
    assert "layers" not in warm
    assert cold.json("trace", "--model", "small", "--last-cold")["id"] == first


def test_layers_are_drawn_plainly_in_a_pipe_and_as_blocks_in_a_terminal(cold):
    request = ask(cold).headers["x-request-id"]
    lines = cold.cli("trace", request).stdout.splitlines()
    assert all(len(line) <= 80 and line.isascii() for line in lines)
    drawn = [line for line in lines if line.startswith("29 ")]
    assert len(drawn) == 1 and drawn[0].endswith("|") and "#" in drawn[0]
    for locale, unicode in (("C.UTF-8", True), ("C", False)):
        child = pexpect.spawn(str(BIN / "rekindle"), ["trace", request], timeout=30,
                              env={**os.environ, "REKINDLE_URL": cold.url, "LC_ALL": locale},
                              encoding="utf-8", dimensions=(60, 120))
        text = child.read()
        assert ("█" in text) == unicode and ("#" in text) != unicode
        assert max(len(line.rstrip()) for line in text.splitlines()) == 120


def test_a_chrome_trace_file_has_every_phase_and_layer(cold, tmp_path):
    request = ask(cold).headers["x-request-id"]
    path = tmp_path / "trace.json"
    assert cold.cli("trace", request, "--chrome", str(path)).code == 0
    events = json.loads(path.read_text())["traceEvents"]
    slices = [e for e in events if e["ph"] == "X"]
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in slices)
    computed = [e["name"] for e in slices if e["tid"] == 6 and e["name"] != "wait"]
    assert computed == LAYERS
    assert {"gate 1", "restore", "tokenize", "prefill", "decode"} <= {e["name"] for e in slices}
    tracks = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {"request", "read", "worker"} <= tracks
    missing = cold.cli("trace", request, "--chrome", str(tmp_path / "none" / "t.json"))
    assert missing.code == 3 and "none/t.json" in missing.stderr


def test_what_can_not_be_traced_is_said(small):
    never = small.cli("trace", "--model", "small", "--last-cold")
    assert never.code == 3 and "no request has found it cold" in never.stderr
    assert small.cli("trace", "--model", "nobody", "--last-cold").code == 3
    for wrong in ([], ["--model", "small"], ["--last-cold"],
                  ["req_1", "--model", "small", "--last-cold"]):
        assert small.cli("trace", *wrong).code == 2


def test_server_timing_is_on_every_answer_and_adds_up(cold):
    answer = ask(cold)
    timing = timing_of(answer.headers["server-timing"])
    assert list(timing) == ["queue", "restore", "first-layer", "prefill", "decode"]
    assert timing["restore"] > 0 and timing["prefill"] > 0 and timing["decode"] > 0
    trace = cold.json("trace", answer.headers["x-request-id"])
    phases = {p["phase"]: p for p in trace["phases"]}
    parts = timing["queue"] + timing["restore"] + timing["prefill"]
    assert abs(parts - phases["prefill"]["end_ms"]) < 0.1
    go = phases["gate 2"]["end_ms"]
    waits = [layer["start_ms"] - max(go, layer["start_ms"] - layer["wait_ms"])
             for layer in trace["layers"][:2]]
    assert abs(timing["first-layer"] - sum(max(wait, 0) for wait in waits)) < 0.1
    warm = timing_of(ask(cold).headers["server-timing"])
    assert (warm["restore"], warm["first-layer"]) == (0, 0)


def test_a_stream_tells_the_rest_in_a_comment_and_in_a_trailer(small):
    body = json.dumps({"model": "small", "prompt": "Hi", "max_tokens": 3, "stream": True})
    with socket.create_connection(("127.0.0.1", int(small.url.rsplit(":", 1)[1]))) as link:
        link.sendall((f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n"
                      f"Connection: TE\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        text = ""
        while "\r\n0\r\n" not in text or not text.endswith("\r\n\r\n"):
            text += link.recv(65536).decode()
    head, rest = text.split("\r\n\r\n", 1)
    assert "decode" not in timing_of(head) and "prefill" in timing_of(head)
    comment = re.search(r": server-timing (.*)", rest).group(1)
    trailer = re.search(r"\r\n0\r\nServer-Timing: (.*)\r\n\r\n$", rest).group(1)
    assert comment == trailer and timing_of(trailer)["decode"] > 0
