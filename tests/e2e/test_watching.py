"""rekindle trace and rekindle logs."""

import json
import os
import signal

import pytest
import requests
from streams import Stream
from tools import poll, start_rekindle

SECRET = "xylophone-4711"


def raw_ask(daemon, **more):
    return daemon.client().chat.completions.with_raw_response.create(
        model="small", messages=[{"role": "user", "content": "Hi " + SECRET}],
        **{"max_tokens": 5, "temperature": 0, **more})


def trace_of(daemon, request):
    return daemon.json("trace", request)


def test_a_trace_has_every_phase_in_order_and_the_bill(small):
    small.stop()
    small.start()  # At zero, on disk.
    request = raw_ask(small).headers["x-request-id"]
    trace = trace_of(small, request)
    phases = {p["phase"]: p for p in trace["phases"]}
    assert list(phases) == ["gate 1", "worker", "assign", "restore", "tokenize", "gate 2",
                            "prefill", "decode", "ledger"]
    assert all(0 <= p["start_ms"] <= p["end_ms"] for p in phases.values())
    assert phases["prefill"]["end_ms"] == phases["decode"]["start_ms"]
    assert trace["tier"] == "disk" and trace["restore_bytes"] > 1 << 20
    bill = small.bill(request)
    assert trace["cost"] == bill["cost"] != "0" and trace["billed"] == bill["billed"]
    assert trace["state"] == "settled" and trace["outcome"] == "completed"
    warm = trace_of(small, raw_ask(small).headers["x-request-id"])
    assert warm["tier"] == "worker" and warm["restore_bytes"] == 0
    assert "restore" not in {p["phase"] for p in warm["phases"]}


def test_a_trace_is_drawn_as_text(small):
    request = raw_ask(small).headers["x-request-id"]
    done = small.cli("trace", request)
    assert done.code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"request   {request}"
    assert any(line.startswith("decode ") and line.endswith("|") for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_running_request_has_a_trace(small):
    stream = Stream(small, max_tokens=1500).read(tokens=3)
    trace = trace_of(small, stream.id)
    assert trace["state"] == "answering" and trace["completion_tokens"] >= 3
    stream.close()
    poll(lambda: trace_of(small, stream.id).get("outcome") == "disconnected", "settled")


def test_a_refused_request_has_a_trace(small):
    answer = requests.post(small.url + "/v1/completions", timeout=60, json={
        "model": "small", "prompt": "x" * (5 << 20)})
    assert answer.status_code == 400
    trace = trace_of(small, answer.headers["x-request-id"])
    assert (trace["state"], trace["error"], trace["phases"]) == ("refused", "too_large", [])


def test_a_request_of_an_earlier_life_is_traced_from_the_ledger(small):
    request = raw_ask(small).headers["x-request-id"]
    before = small.bill(request)
    small.stop()
    small.start()
    trace = trace_of(small, request)
    assert trace["source"] == "ledger" and trace["cost"] == before["cost"]
    assert "no longer keeps this request's phases" in small.cli("trace", request).stdout


def test_unknown_and_malformed_ids_are_said_to_be_so(small):
    unknown = small.cli("trace", "req_" + "0" * 32)
    assert unknown.code == 3 and unknown.stderr.startswith("rekindle: ")
    assert small.cli("trace", "nonsense").code == 5


def test_logs_show_what_happened_and_filter_it(small, model_file):
    small.deploy(model_file, "twin")
    raw_ask(small)
    os.kill(small.ps("small")["worker_pid"], signal.SIGKILL)
    lines = poll(lambda: "worker_ended" in (out := small.cli("logs").stdout) and out, "the end")
    assert "info ready listen=" in lines and "info deployed model=small" in lines
    named = small.cli("logs", "twin").stdout.splitlines()
    assert named and all("model=twin" in line for line in named)
    assert small.cli("logs", "--level", "error").stdout == ""
    assert small.cli("logs", "--since", "0s").stdout == ""
    first = json.loads(small.cli("logs", "--json").stdout.splitlines()[0])
    assert set(first) == {"time", "level", "event", "fields"}
    assert small.cli("logs", "--level", "loud").code == 2
    assert small.cli("logs", "Not A Name").code == 2


def test_logs_never_hold_prompts_or_answers(small):
    answers = []
    stream = Stream(small, max_tokens=1500, messages=[{"role": "user", "content": SECRET}])
    stream.read(tokens=20)
    answers.append("".join(stream.tokens))
    os.kill(small.ps("small")["worker_pid"], signal.SIGKILL)
    stream.read()
    answers.append(raw_ask(small, max_tokens=30).parse().choices[0].message.content)
    with pytest.raises(Exception):
        raw_ask(small, extra_body={"chat_template_kwargs": SECRET})
    kept = small.cli("logs", "--json").stdout + "".join(small.log)
    assert "model_restored" in kept
    assert SECRET not in kept
    assert all(answer[:15] not in kept for answer in answers)


def read_until(process, text):
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"the log ended without {text!r}")


def test_following_ends_with_ctrl_c(small):
    follower = start_rekindle("logs", "-f", url=small.url)
    assert b"ready" in read_until(follower, b"ready")
    raw_ask(small)
    os.kill(small.ps("small")["worker_pid"], signal.SIGKILL)
    read_until(follower, b"worker_ended")  # New lines come as they are written.
    follower.send_signal(signal.SIGINT)
    assert follower.wait(10) == 0
    assert follower.stderr.read() == b""


def test_following_ends_with_the_daemon(small):
    follower = start_rekindle("logs", "-f", "--json", url=small.url)
    read_until(follower, b'"ready"')
    assert small.stop(seconds=4) == 0  # A follower does not hold it up.
    rest = follower.stdout.read()
    assert b'"draining"' in rest
    assert follower.wait(10) == 0
    assert follower.stderr.read() == b"the daemon has ended the log\n"


def test_a_follower_that_leaves_is_noticed(small):
    follower = start_rekindle("logs", "-f", url=small.url)
    read_until(follower, b"ready")
    follower.kill()
    follower.wait(10)
    raw_ask(small)
    assert small.stop() == 0


@pytest.mark.parametrize("query", ["level=loud", "since=yesterday", "since=-1", "follow=maybe",
                                   "colour=red", "level=%ZZ"])
def test_a_wrong_log_query_is_a_clear_error(daemon, query):
    answer = requests.get(f"{daemon.url}/admin/v1/logs?{query}", timeout=10)
    assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_watching_is_for_those_who_administer(daemon):
    for path in ("/metrics", "/admin/v1/logs", "/admin/v1/traces/req_" + "0" * 32):
        answer = requests.get(daemon.url + path, headers={"Host": "evil.example"}, timeout=10)
        assert answer.status_code == 403
    daemon.wait_ready()
    for path in ("/healthz", "/readyz"):
        headers = {"Host": "node.example"}
        assert requests.get(daemon.url + path, headers=headers, timeout=10).status_code == 200
