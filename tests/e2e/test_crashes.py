"""Workers and daemons that are killed, and daemons that are asked to stop."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from streams import Stream
from tools import Daemon, descendants, is_alive, poll

ORPHANS_GONE_S = 1.0  # The promise of ARCHITECTURE.md.


def ask(daemon, tokens=4):
    return daemon.client().chat.completions.create(
        model="small", messages=[{"role": "user", "content": "Hi"}], max_tokens=tokens,
        temperature=0)


def test_a_worker_that_is_killed_ends_its_streams_with_an_error_and_bills_nothing(small):
    stream = Stream(small, max_tokens=1500).read(tokens=5)
    worker = small.ps("small")["worker_pid"]
    os.kill(worker, signal.SIGKILL)
    stream.read()
    assert stream.error is not None and not stream.done
    assert stream.error["type"] == "server_error" and stream.error["message"]
    answer = ask(small)  # The next request works, on another worker.
    assert answer.choices[0].message.content
    assert small.ps("small")["worker_pid"] not in (0, worker)
    failed = small.usage("model,outcome")["small", "failed"]
    assert (failed["prompt_tokens"], failed["completion_tokens"], failed["cost"]) == (0, 0, "0")
    assert failed["forgiven_tokens"] >= len(stream.tokens) - 1


def post_in_background(daemon, **body):
    """Sends a chat request from a thread; the answer is the future's result."""
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], **body}
    pool = ThreadPoolExecutor(1)
    future = pool.submit(requests.post, daemon.url + "/v1/chat/completions", json=body, timeout=60)
    pool.shutdown(wait=False)
    poll(lambda: daemon.ps("small")["active_requests"] == 1, "the request runs")
    return future


def test_a_request_without_a_token_yet_moves_to_another_worker(small):
    ask(small)
    long = [{"role": "user", "content": "word " * 600}]
    future = post_in_background(small, messages=long, max_tokens=2, ignore_eos=True)
    os.kill(small.ps("small")["worker_pid"], signal.SIGKILL)
    answer = future.result()
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 2
    rows = small.usage("model,outcome")
    assert list(rows) == [("small", "completed")]
    assert rows["small", "completed"]["requests"] == 2
    assert rows["small", "completed"]["prompt_tokens"] < 2 * answer.json()["usage"]["prompt_tokens"]


def test_a_whole_answer_whose_workers_are_killed_is_an_error_status(small):
    ask(small)
    future = post_in_background(small, max_tokens=1500, ignore_eos=True)

    def kill_again():
        worker = small.ps("small")["worker_pid"]
        if worker != 0 and not future.done():
            os.kill(worker, signal.SIGKILL)
        return future.done()

    poll(kill_again, "the request is given up")
    assert future.result().status_code == 503
    assert future.result().json()["error"]["type"] == "server_error"
    assert small.usage("model,outcome")["small", "failed"]["cost"] == "0"


def test_sigterm_lets_running_answers_end(small):
    stream = Stream(small, max_tokens=64).read(tokens=2)
    small.process.send_signal(signal.SIGTERM)
    poll(lambda: refuses(small), "new requests are refused")
    stream.read()
    assert stream.done and len(stream.tokens) == 64
    assert small.process.wait(30) == 0
    small.stop()
    with small.start():
        row = small.usage("model,outcome")["small", "completed"]
        assert row["completion_tokens"] == 64


def refuses(daemon):
    try:
        body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        return requests.post(daemon.url + "/v1/chat/completions", json=body,
                             timeout=10).status_code == 503
    except requests.exceptions.ConnectionError:
        return True


def test_a_killed_daemon_leaves_no_process_and_a_whole_ledger(small):
    ask(small, tokens=4)
    before = small.usage()["small",]
    stream = Stream(small, max_tokens=1500).read(tokens=6)
    below = poll(lambda: len(found := descendants(small.pid)) >= 2 and found, "worker and spare one")
    small.stop(signal.SIGKILL)
    poll(lambda: not any(map(is_alive, below)), "all workers are gone", ORPHANS_GONE_S)
    stream.read()  # What was on its way.
    assert not stream.done

    small.start()
    state = small.ps("small")
    assert state["tier"] == "disk" and state["worker_pid"] == 0  # At zero.
    rows = small.usage("model,outcome")
    completed, crashed = rows["small", "completed"], rows["small", "crashed"]
    assert completed["completion_tokens"] == before["completion_tokens"]
    assert completed["cost"] == before["cost"]
    # Never more than was delivered, and short by at most one step.
    assert len(stream.tokens) - 1 <= crashed["completion_tokens"] <= len(stream.tokens)
    assert ask(small).choices[0].message.content


def test_a_daemon_killed_again_and_again_keeps_every_finished_request(small):
    used = 0
    for _ in range(4):
        used += ask(small, tokens=3).usage.completion_tokens
        small.stop(signal.SIGKILL)
        small.start()
    assert small.usage()["small",]["completion_tokens"] == used
    assert small.usage()["small",]["requests"] == 4


def test_a_second_daemon_on_one_data_folder_is_refused(small):
    second = Daemon(small.data)
    with pytest.raises(AssertionError, match="did not start"):
        second.start()
    assert second.stop() == 1  # Its log is read to the end.
    assert len([line for line in second.log if line.startswith("rekindled: ")]) == 1
    assert str(small.data) in "".join(second.log)
    assert ask(small).choices[0].message.content  # The first one is not disturbed.


def test_a_port_in_use_is_refused_and_leaves_nothing_running(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        second = Daemon(tmp_path / "data", listen=f"127.0.0.1:{port}")
        with pytest.raises(AssertionError, match="did not start"):
            second.start()
        below = descendants(second.pid)
        assert second.stop() == 1  # Its log is read to the end.
    second.stop()
    assert str(port) in "".join(second.log)
    poll(lambda: not any(map(is_alive, below)), "no worker is left", ORPHANS_GONE_S)


def test_a_stopped_daemon_is_gone_at_once_and_cleans_up(small):
    begun = time.monotonic()
    below = descendants(small.pid)
    assert small.stop() == 0
    assert time.monotonic() - begun < 10  # Nothing ran: nothing to drain.
    assert not any(map(is_alive, below))
    assert not (small.data / "admin.sock").exists()
