"""Keys and values on disk: a system prompt outlives the memory of its model, and the daemon."""

import signal
import stat

import pytest
from scrape import scrape, value
from test_prefix_cache import ask, cached
from tools import Daemon, poll


def asleep(daemon):
    poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero")


def files(daemon):
    return sorted((daemon.data / "retained").glob("*"))


@pytest.fixture
def sleepy(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--idle", "300ms") as daemon:
        daemon.deploy(model_file, "small")
        yield daemon


@pytest.fixture
def stopped(sleepy):
    """A node that was stopped after it computed a system prompt of more than 256 tokens."""
    sleepy.answer = ask(sleepy.client(), logprobs=True, top_logprobs=5)
    assert cached(sleepy.answer.usage) == 0
    assert sleepy.stop() == 0
    (kept,) = files(sleepy)
    assert kept.name.endswith(".kv")
    return sleepy


def test_a_system_prompt_outlives_a_restart(stopped):
    again = ask(stopped.start().client(), logprobs=True, top_logprobs=5)
    assert cached(again.usage) == (again.usage.prompt_tokens - 1) // 32 * 32
    assert again.choices == stopped.answer.choices  # Log-probabilities too.


def test_a_system_prompt_outlives_cool_to_disk(sleepy):
    client = sleepy.client()
    ask(client)
    asleep(sleepy)
    assert value(scrape(sleepy), "rekindle_retained_disk_bytes") == 0
    done = sleepy.cli("cool", "small", "--to", "disk")
    assert done.code == 0, done
    numbers = scrape(sleepy)
    assert value(numbers, "rekindle_resident_bytes", kind="retained_kv") == 0
    assert value(numbers, "rekindle_retained_disk_bytes") > 0
    assert cached(ask(client).usage) > 256


def test_only_the_owner_can_read_it(stopped):
    (kept,) = files(stopped)
    for path, mode in ((kept, 0o600), (kept.parent, 0o700), (stopped.data / "salt.key", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_torn_file_is_not_read(stopped):
    (kept,) = files(stopped)
    with kept.open("r+b") as file:
        file.truncate(kept.stat().st_size - 5000)
    answer = ask(stopped.start().client())
    assert cached(answer.usage) == 0
    assert not files(stopped)
    assert any("retained_kv_not_read" in line for line in stopped.log)


def test_a_flipped_bit_is_noticed(stopped):
    (kept,) = files(stopped)
    with kept.open("r+b") as file:
        file.seek(-9000, 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    assert cached(ask(stopped.start().client()).usage) == 0


def test_other_kernels_begin_anew(stopped, monkeypatch):
    monkeypatch.setenv("REKINDLE_ISA", "avx2")
    assert cached(ask(stopped.start().client()).usage) == 0


def test_a_new_revision_begins_anew_and_drops_the_file(stopped, model_file):
    stopped.start()
    stopped.deploy(model_file, "small", "--context", "2048")
    poll(lambda: not files(stopped), "the old revision's file is gone")
    assert cached(ask(stopped.client()).usage) == 0


def test_removing_a_model_removes_it(stopped):
    stopped.start()
    done = stopped.cli("undeploy", "small")
    assert done.code == 0, done
    poll(lambda: not files(stopped), "its file is gone")


def test_gc_removes_what_belongs_to_nothing(stopped):
    stopped.start()
    stray = stopped.data / "retained" / ("0" * 64 + ".kv")
    stray.write_bytes(b"x" * 5000)
    assert stopped.json("gc", "--dry-run")["bytes_freed"] >= 5000
    assert stray.exists()
    assert stopped.json("gc")["bytes_freed"] >= 5000
    assert not stray.exists()
    assert len(files(stopped)) == 1


def test_a_killed_daemon_leaves_nothing_half_written(sleepy):
    ask(sleepy.client())
    asleep(sleepy)
    sleepy.stop(signal.SIGKILL)
    assert cached(ask(sleepy.start().client()).usage) == 0


@pytest.mark.parametrize("limit", ["0", "100KiB"])
def test_no_more_is_written_than_was_allowed(tmp_path, model_file, limit):
    with Daemon(tmp_path / "data", "--retained-kv-disk", limit) as daemon:
        daemon.deploy(model_file, "small")
        ask(daemon.client())
        daemon.stop()
        assert sum(file.stat().st_size for file in files(daemon)) == 0
        assert cached(ask(daemon.start().client()).usage) == 0
