"""From zero and back: idle models give their memory up, the next request brings them back."""

import pathlib

import pytest
from tools import Daemon, descendants, is_alive, poll

IDLE = "400ms"


def ask(daemon, tokens=3):
    return daemon.client().chat.completions.with_raw_response.create(
        model="small", messages=[{"role": "user", "content": "Hi"}], max_tokens=tokens,
        temperature=0)


def restore_ms(answer):
    entries = dict(part.strip().split(";dur=")
                   for part in answer.headers["server-timing"].split(","))
    return float(entries["restore"])


@pytest.fixture
def sleepy(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--idle", IDLE) as daemon:
        daemon.deploy(model_file, "small")
        yield daemon


def test_an_idle_model_scales_to_zero_and_comes_back_the_same(sleepy):
    first = ask(sleepy)
    worker = sleepy.ps("small")["worker_pid"]
    state = poll(lambda: (s := sleepy.ps("small"))["worker_pid"] == 0 and s, "scaled to zero")
    assert state["tier"] in ("memory", "disk")
    poll(lambda: not is_alive(worker), "the worker's process has ended")
    again = ask(sleepy)
    assert again.parse().choices == first.parse().choices
    assert sleepy.ps("small")["worker_pid"] not in (0, worker)
    assert restore_ms(again) > 0


def test_a_model_that_nobody_calls_after_its_deployment_scales_to_zero(sleepy):
    poll(lambda: sleepy.ps("small")["worker_pid"] == 0, "scaled to zero")


def test_reads_do_not_wake_a_model(sleepy):
    ask(sleepy)
    poll(lambda: sleepy.ps("small")["worker_pid"] == 0, "scaled to zero")
    sleepy.client().models.list()
    sleepy.cli("models")
    sleepy.cli("ps", "--all")
    sleepy.usage()
    assert sleepy.ps("small")["worker_pid"] == 0


def test_a_deployment_has_its_own_idle_time(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--idle", "1h") as daemon:
        daemon.deploy(model_file, "small", "--idle", IDLE)
        ask(daemon)
        poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero")


def test_a_warm_model_restores_nothing(small):
    ask(small)
    worker = small.ps("small")["worker_pid"]
    ask(small)
    assert small.ps("small")["worker_pid"] == worker


def test_idle_time_is_told(small):
    small.stop()
    small.start()
    assert small.ps("small")["idle_ms"] is None  # Never used.
    ask(small)
    small.wait_idle("small")
    poll(lambda: (small.ps("small")["idle_ms"] or 0) > 20, "idle time grows")


def test_a_spare_worker_stands_ready_ahead_of_need(small):
    poll(lambda: len(descendants(small.pid)) >= 1, "a spare worker at rest")
    ask(small)
    used = small.ps("small")["worker_pid"]
    poll(lambda: set(descendants(small.pid)) - {used}, "a spare worker beside the one at work")


def test_two_models_are_served_side_by_side(small, model_file):
    small.deploy(model_file, "twin")
    texts = set()
    for model in ["small", "twin", "small"]:
        answer = small.client().chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=5,
            temperature=0)
        assert answer.model == model
        texts.add(answer.choices[0].message.content)
    assert len(texts) == 1  # The same file says the same.
    assert small.ps("small")["worker_pid"] != small.ps("twin")["worker_pid"]
    assert {key for (key,) in small.usage()} == {"small", "twin"}


def another_model(model_file, folder):
    """The same model but for one bit of its weights."""
    data = bytearray(pathlib.Path(model_file).read_bytes())
    data[-1000] ^= 1
    (folder / "other.gguf").write_bytes(data)
    return folder / "other.gguf"


def test_models_take_turns_in_memory_that_holds_one_of_them(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--host-memory", "120MiB") as daemon:
        daemon.deploy(model_file, "small")
        daemon.deploy(another_model(model_file, tmp_path), "other")  # `small` leaves for it.
        for model in ["small", "other"] * 3:
            answered = daemon.client().chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=2)
            assert answered.model == model
        assert daemon.cli("warm", "small").code == 0
        assert daemon.ps("other")["tier"] == "disk"
