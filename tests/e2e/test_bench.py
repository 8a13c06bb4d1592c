"""`rekindle bench` and its route: a model measured in a worker of its own."""

import json
import os
import re
import signal
import time

import pytest
import requests
from streams import Stream
from tools import descendants, is_alive, poll, processes, rekindle, start_rekindle

SMALL = ["--prefill", "64", "--prompt", "16", "--answer", "8", "--batches", "1,4", "--repeat", "2"]
LONG = {"batches": [32], "prompt": 128, "answer": 2048, "prefill": 64, "repeat": 10}


def workers(daemon):
    below = set(descendants(daemon.pid))
    return {pid for pid, _, name in processes() if pid in below and name == "rekindle-worker"}


class LongBench:
    """A bench that ends only when its client leaves or it is broken."""

    def __init__(self, daemon, **changes):
        self.answer = requests.post(daemon.url + "/admin/v1/bench/small", json={**LONG, **changes},
                                    stream=True, timeout=60)
        assert self.answer.status_code == 200, self.answer.text
        self.lines = self.answer.iter_lines(chunk_size=None)
        assert json.loads(next(self.lines))["done"] == 0

    def worker(self, daemon):
        """The process that was started for it, by the daemon's log."""
        started = poll(lambda: [line for line in daemon.log if "bench_started" in line],
                       "the bench's worker")
        return int(re.search(r"pid=(\d+)", started[-1])[1])

    def rest(self):
        return [json.loads(line) for line in self.lines if line]


def test_bench_tells_speed_beside_the_limits_of_the_same_run(small):
    done = rekindle("bench", "small", *SMALL, "--json", url=small.url)
    assert done.code == 0, done.stderr
    bench = json.loads(done.stdout)
    assert bench["model"] == "small" and bench["threads"] >= 1 and bench["kernels"]
    assert bench["kv_type"] == "f16"
    assert bench["memory_bytes_per_second"] > 1e8
    assert bench["disturbed_by"] == []
    cases = [(row["batch"], row["prompt"], row["answer"]) for row in bench["rows"]]
    assert cases == [(1, 64, 0), (1, 16, 8), (4, 16, 8)]
    for row in bench["rows"]:
        assert 0 < row["tokens_per_second"] <= row["best_tokens_per_second"]
        assert 0 < row["memory_share"] < 1.5
        assert row["ops"] == []
        if bench["int8_per_second"] > 0:
            assert 0 < row["int8_share"] < 1


def test_bench_prints_a_table_and_with_a_profile_where_the_time_went(small):
    done = rekindle("bench", "small", *SMALL, "--profile", url=small.url)
    assert done.code == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if "tok/s" in line]) == 6
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["CASE", "TOK/S", "BEST"]
    assert lines[1].startswith("prefill 64") and lines[3].startswith("decode 4 x 16 + 8")
    assert any(line.startswith("limits    memory ") for line in lines)
    assert sum(line.startswith("OPERATION") for line in lines) == 3
    for operation in ("query_key_value", "attention", "gate_up", "down", "head"):
        assert sum(line.split()[:1] == [operation] for line in lines) == 3


def test_nothing_of_a_bench_is_billed_and_its_worker_is_gone(small):
    # The model's worker and the spare one, which is started a little after the other was taken.
    before = poll(lambda: len(now := workers(small)) >= 2 and now, "the model's and a spare worker")
    assert rekindle("bench", "small", *SMALL, url=small.url).code == 0
    poll(lambda: len(workers(small)) <= len(before), "the bench's worker is gone")
    assert small.usage() == {}
    assert small.ps("small")["active_requests"] == 0


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["none"], 3, 'no model named "none" is deployed'),
    (["small", "--batches", "0"], 2, "--batches"),
    (["small", "--batches", "257"], 5, "batches: must be"),
    (["small", "--repeat", "101"], 5, "repeat: must be"),
    (["small", "--prompt", "8000", "--answer", "500"], 5, "longer than small's context of"),
    (["small", "--prefill", "100000"], 5, "longer than small's context of"),
    (["small", "--batches", "256", "--prompt", "4096", "--answer", "4096"], 5, "KV memory"),
])
def test_what_can_not_be_measured_is_refused_with_a_reason(shared, arguments, code, message):
    done = rekindle("bench", *arguments, url=shared.url)
    assert done.code == code, done
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_an_unknown_field_is_refused(shared):
    answer = requests.post(shared.url + "/admin/v1/bench/small", json={"threads": 2}, timeout=60)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "threads"


def test_a_second_bench_at_once_is_refused(small):
    first = LongBench(small)
    second = rekindle("bench", "small", *SMALL, url=small.url)
    assert second.code == 5 and "another bench is running" in second.stderr
    first.answer.close()
    poll(lambda: rekindle("bench", "small", *SMALL, url=small.url).code == 0, "the next bench")


def test_a_client_that_leaves_ends_its_bench_and_the_worker(small):
    bench = LongBench(small)
    worker = bench.worker(small)
    assert is_alive(worker)
    bench.answer.close()
    poll(lambda: not is_alive(worker), "the bench's worker is gone")


def test_ctrl_c_ends_a_bench(small):
    command = start_rekindle("bench", "small", "--batches", "32", "--answer", "2048", url=small.url)
    started = poll(lambda: [line for line in small.log if "bench_started" in line], "it runs")
    assert started
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=20)
    assert command.returncode == 130, errors
    poll(lambda: any("bench_ended" in line for line in small.log), "the bench has ended")


def test_a_worker_that_is_killed_ends_its_bench_with_an_error(small):
    bench = LongBench(small)
    os.kill(bench.worker(small), signal.SIGKILL)
    last = bench.rest()[-1]
    assert "the worker died during the bench" in last["error"]["message"]
    assert rekindle("bench", "small", *SMALL, url=small.url).code == 0


def test_requests_are_answered_during_a_bench_and_it_says_so(small):
    bench = LongBench(small, batches=[1], answer=64, repeat=2)
    Stream(small, max_tokens=4).read()
    report = bench.rest()[-1]["bench"]
    assert report["disturbed_by"] == ["model small"]


def test_a_stopping_daemon_ends_a_bench_at_once(small):
    bench = LongBench(small)
    begun = time.monotonic()
    small.process.send_signal(signal.SIGTERM)
    assert bench.rest()[-1]["error"]["message"] == "this node is shutting down"
    assert small.process.wait(30) == 0
    assert time.monotonic() - begun < 20
