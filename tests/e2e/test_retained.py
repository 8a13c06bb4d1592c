"""Keys and values outlive the worker: after a pause a long system prompt is not computed again."""

import pytest
from scrape import scrape, value
from test_prefix_cache import ask, cached
from tools import Daemon, poll


def asleep(daemon):
    poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero")


@pytest.fixture
def sleepy(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--idle", "300ms") as daemon:
        daemon.deploy(model_file, "small")
        yield daemon


def test_a_model_at_zero_keeps_what_it_computed(sleepy):
    client = sleepy.client()
    first = ask(client, logprobs=True, top_logprobs=5)
    asleep(sleepy)
    held = value(scrape(sleepy), "rekindle_resident_bytes", kind="retained_kv")
    assert held > 0
    again = ask(client, logprobs=True, top_logprobs=5)
    assert cached(again.usage) == (first.usage.prompt_tokens - 1) // 32 * 32
    assert again.choices == first.choices  # Log-probabilities too.


def test_another_question_after_the_same_system_prompt(sleepy):
    client = sleepy.client()
    ask(client)
    for question in ("Which river is the longest?", "Which one has most bridges?"):
        asleep(sleepy)
        assert cached(ask(client, question).usage) > 256


def test_a_new_revision_begins_anew(sleepy, model_file):
    client = sleepy.client()
    ask(client)
    asleep(sleepy)
    sleepy.deploy(model_file, "small", "--context", "2048")
    assert cached(ask(client).usage) == 0


def test_a_worker_that_died_leaves_nothing(sleepy):
    import os
    import signal

    client = sleepy.client()
    ask(client)
    os.kill(sleepy.ps("small")["worker_pid"], signal.SIGKILL)
    asleep(sleepy)
    assert cached(ask(client).usage) == 0


def test_nothing_is_retained_when_told_so(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--idle", "300ms", "--retained-kv", "0") as daemon:
        daemon.deploy(model_file, "small")
        client = daemon.client()
        ask(client)
        asleep(daemon)
        assert value(scrape(daemon), "rekindle_resident_bytes", kind="retained_kv") == 0
        assert cached(ask(client).usage) == 0
