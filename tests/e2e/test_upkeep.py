"""Space given back, stored bytes checked, models moved by hand."""

import json
import os
import pathlib
import re
import signal

import requests
from streams import Stream
from tools import Daemon, poll

ASK = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "temperature": 0}


def ask(daemon, model="small"):
    return daemon.client().chat.completions.create(model=model, **ASK).choices[0].message.content


def stored_bytes(daemon):
    return sum(file.stat().st_blocks * 512 for file in daemon.data.rglob("*.pack"))


def forget_deployment(daemon, name):
    """As a crash between the image's end and the catalog's change leaves it."""
    daemon.stop()
    (daemon.data / "deployments" / f"{name}.json").unlink()
    daemon.start()


def flip_bit(daemon, offset):
    [pack] = sorted(daemon.data.rglob("*.pack"))
    with pathlib.Path(pack).open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))


# ---- gc ----

def test_what_a_crash_left_behind_is_collected(small):
    before = stored_bytes(small)
    forget_deployment(small, "small")
    planned = small.json("gc", "--dry-run")
    assert planned["dry_run"] and len(planned["images"]) == 1
    assert stored_bytes(small) == before  # Nothing was changed.
    done = small.json("gc")
    assert done["images"] == planned["images"]
    assert done["bytes_freed"] == planned["bytes_freed"] > 90e6
    assert done["bytes_kept"] == 0
    assert stored_bytes(small) < before / 100
    again = small.cli("gc")
    assert again.stdout.startswith("0 images that no deployment names, 0 B given back")


def test_what_deployments_need_is_kept(small, model_file):
    small.deploy(model_file, "small", "--price-output", "0.5")  # An earlier revision, too.
    kept = small.json("gc")
    assert kept["images"] == [] and kept["bytes_freed"] == 0
    assert ask(small)
    assert small.cli("rollback", "small").code == 0


# ---- verify ----

def test_stored_bytes_are_as_their_digests_say(small):
    report = small.json("verify", "--share", "100")
    assert report["images"] == 1 and report["chunks"] > 10 and report["faults"] == []
    assert report["bytes"] == small.ps("small")["image_bytes"]
    shown = small.cli("verify", "small", "--share", "100")
    assert "each as its SHA-256 says" in shown.stdout
    assert "100%" in shown.stderr
    assert small.cli("verify", "none").code == 3


def test_a_flipped_bit_is_found_refused_and_repaired(small, model_file):
    right = ask(small)
    small.wait_idle("small")
    assert small.cli("cool", "small", "--to", "disk").code == 0
    flip_bit(small, 50_000_000)
    found = small.cli("verify", "small", "--share", "100")
    assert found.code == 1
    assert found.stdout.startswith("model small: chunk ") and "rekindle deploy" in found.stdout
    assert small.json("ps", "--all")["deployments"][0]["tier"] == "disk"
    refused = small.cli("run", "small", "Hi")
    assert refused.code != 0 and "found damaged on disk" in refused.stderr
    assert "rekindle deploy" in refused.stderr
    small.deploy(model_file, "small")
    assert small.json("verify")["faults"] == []
    assert ask(small) == right


def test_a_chunk_that_is_whole_again_leaves_quarantine(small):
    right = ask(small)
    small.wait_idle("small")
    assert small.cli("cool", "small", "--to", "disk").code == 0
    flip_bit(small, 50_000_000)
    assert small.cli("verify", "small", "--share", "100").code == 1
    flip_bit(small, 50_000_000)  # As when a loose cable is plugged in again.
    assert small.cli("run", "small", "Hi").code != 0
    assert small.json("verify", "--share", "100")["faults"] == []
    assert ask(small) == right


def test_answers_go_on_while_the_disk_is_read(small):
    stream = Stream(small, max_tokens=200)
    assert small.json("verify", "--share", "50")["faults"] == []
    stream.read()
    assert stream.done and len(stream.tokens) == 200


# ---- warm and cool ----

def test_a_model_goes_down_the_tiers_and_up_again(small):
    right = ask(small)
    small.wait_idle("small")
    assert small.ps("small")["tier"] == "worker"
    in_memory = small.json("cool", "small")
    assert in_memory["tier"] == "memory" and in_memory["worker_pid"] == 0
    on_disk = small.json("cool", "small", "--to", "disk")
    assert on_disk["tier"] == "disk" and on_disk["resident_bytes"] == 0
    assert small.json("cool", "small", "--to", "disk")["tier"] == "disk"  # It is there already.
    assert small.json("cool", "small")["tier"] == "disk"  # Cooling never brings it up.
    small.client().models.list()
    assert small.ps("small")["worker_pid"] == 0  # Looking does not, either.
    warm = small.json("warm", "small")
    assert warm["tier"] == "worker" and not warm["restoring"] and warm["worker_pid"] > 0
    assert small.json("warm", "small")["worker_pid"] == warm["worker_pid"]  # It is warm already.
    assert ask(small) == right
    assert small.ps("small")["worker_pid"] == warm["worker_pid"]


def test_memory_is_enough_to_come_back(small):
    assert small.json("cool", "small")["tier"] == "memory"
    assert "serves it from" in small.cli("warm", "small").stdout
    assert small.cli("cool", "small").stdout.startswith("small is in memory, ")
    assert small.cli("cool", "small", "--to", "disk").stdout == "small is on disk alone\n"


def test_a_page_visit_starts_the_restore_and_the_question_joins_it(small):
    right = ask(small)
    small.wait_idle("small")
    small.json("cool", "small", "--to", "disk")
    begun = small.json("warm", "small", "--no-wait")
    assert begun["tier"] == "worker" and begun["worker_pid"] > 0
    assert ask(small) == right
    assert small.ps("small")["worker_pid"] == begun["worker_pid"]


def test_whoever_may_ask_a_model_may_have_it_preloaded(small):
    small.json("cool", "small", "--to", "disk")
    begun = requests.post(small.url + "/v1/preload/small", timeout=10)
    assert begun.status_code in (200, 202) and begun.json()["model"] == "small"
    ready = poll(lambda: (a := requests.post(small.url + "/v1/preload/small", timeout=10))
                 and a.json()["ready"] and a, "the model is there")
    assert ready.status_code == 200
    assert small.ps("small")["worker_pid"] > 0
    assert requests.post(small.url + "/v1/preload/none", timeout=10).status_code == 404


def test_a_worker_that_is_killed_while_its_model_is_restored_is_replaced(small):
    right = ask(small)
    small.wait_idle("small")
    for _ in range(5):
        small.json("cool", "small", "--to", "disk")
        begun = small.json("warm", "small", "--no-wait")
        os.kill(begun["worker_pid"], signal.SIGKILL)
        assert ask(small) == right
        assert small.ps("small")["worker_pid"] not in (0, begun["worker_pid"])
        small.wait_idle("small")
    assert small.json("cool", "small", "--to", "disk")["resident_bytes"] == 0  # Nothing leaked.


def test_a_warmed_model_that_nobody_asks_goes_to_zero_again(daemon, model_file):
    daemon.deploy(model_file, "small", "--idle", "300ms")
    poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero")
    daemon.json("warm", "small", "--no-wait")
    poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero again")


def test_cooling_never_cuts_a_stream(small):
    stream = Stream(small, max_tokens=300).read(2)
    refused = small.cli("cool", "small")
    assert refused.code == 5
    assert "answers 1 requests" in refused.stderr and "--wait" in refused.stderr
    late = small.cli("cool", "small", "--to", "disk", "--wait", "1ms")
    assert late.code == 5
    stream.read_in_background()
    cooled = small.json("cool", "small", "--wait", "60s")
    assert cooled["worker_pid"] == 0 and cooled["tier"] == "memory"
    poll(lambda: stream.done, "the stream has ended")
    assert len(stream.tokens) == 300 and stream.error is None


def test_what_can_not_be_moved_says_why(small, model_file, tmp_path):
    assert small.cli("warm", "none").code == 3
    assert small.cli("cool", "none").code == 3
    assert small.cli("cool", "small", "--to", "tape").code == 2
    assert small.cli("cool", "small", "--wait", "soon").code == 2
    kept = tmp_path / "kept.yaml"
    kept.write_text(f"rekindle: 1\nname: kept\nmodel: {model_file}\nscale: {{min_warm: 1}}\n")
    assert small.cli("deploy", kept).code == 0
    refused = small.cli("cool", "kept")
    assert refused.code == 5 and "min_warm" in refused.stderr


def test_two_models_of_one_image_keep_it_in_memory(small, model_file):
    small.deploy(model_file, "twin")
    small.json("warm", "twin")
    small.json("cool", "small")
    refused = small.cli("cool", "small", "--to", "disk")
    assert refused.code == 5 and "twin" in refused.stderr
    small.json("cool", "twin")
    assert small.json("cool", "small", "--to", "disk")["tier"] == "disk"


def test_a_budget_below_the_model_names_both_numbers(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--host-memory", "64MiB") as daemon:
        done = daemon.cli("deploy", model_file, "--name", "small")
        assert done.code != 0
        assert "64.0 MiB" in done.stderr, done.stderr
        assert re.search(r"\b9[4-9]\.\d MiB", done.stderr), done.stderr  # In whole extents.
        assert json.loads(daemon.cli("gc", "--json").stdout)["images"] == []
