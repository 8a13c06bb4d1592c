"""A draft model guesses tokens of another one: the same answers, and refused where it can't."""

import json
import os
import signal
import sys

import pytest
from gguf_files import write_llama
from scrape import scrape, value
from tools import ROOT, Daemon, poll

sys.path.insert(0, str(ROOT / "tests/bench"))
from draft_pair import resize  # noqa: E402

PROMPTS = ["Tell a story about a lighthouse.", "Tell a story about a goose.", "Why does bread rise?"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model, and one that says the same in thirty times as many layers."""
    folder = tmp_path_factory.mktemp("files")
    small = write_llama(folder / "small.gguf", layers=2)
    return small, resize(small, folder / "deep.gguf", 60)


def manifest(folder, name, model, **runtime):
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"rekindle": 1, "name": name, "model": str(model),
                                "runtime": runtime}))
    return path


def deploy(daemon, folder, name, model, **runtime):
    return daemon.cli("deploy", manifest(folder, name, model, **runtime))


def ask(daemon, model, prompt, **more):
    return daemon.client().completions.create(**{
        "model": model, "prompt": prompt, "temperature": 0.9, "max_tokens": 200, "seed": 7,
        "extra_body": {"ignore_eos": True}, **more})


def ready(daemon, name):
    return poll(lambda: daemon.ps(name)["draft_state"] == "ready", f"draft of {name}")


@pytest.fixture
def pair(tmp_path, files):
    """A daemon with the model `deep`, its draft `small`, and `plain`, the same without a draft."""
    with Daemon(tmp_path / "data") as daemon:
        daemon.deploy(files[0], "small")
        done = deploy(daemon, tmp_path, "deep", files[1], draft="small")
        assert done.code == 0, done
        image = daemon.ps("deep")["image"]
        done = deploy(daemon, tmp_path, "plain", f"rekindle://sha256:{image}")
        assert done.code == 0, done
        yield daemon


def test_answers_are_the_same_with_a_draft_and_its_guesses_are_seen(pair):
    assert pair.ps("deep")["draft_state"] == "ready"
    for prompt in PROMPTS:
        for options in ({}, {"temperature": 0}, {"logprobs": 3}):
            answers = [ask(pair, model, prompt, **options) for model in ("deep", "plain")]
            assert answers[0].choices == answers[1].choices, (prompt, options)
            assert answers[0].usage == answers[1].usage, (prompt, options)
    samples = scrape(pair)
    names = ("guesses", "accepted", "tokens", "seconds")
    guessed, right, computed, seconds = (
        value(samples, f"rekindle_draft_model_{name}_total", model="deep") for name in names)
    assert 0 < right <= guessed <= computed
    assert seconds > 0
    assert guessed <= value(samples, "vllm:spec_decode_num_draft_tokens_total", model_name="deep")
    state = pair.ps("deep")
    assert state["guesses"]["of_draft"] == guessed
    assert state["guesses"]["of_draft_right"] == right
    assert pair.ps("plain")["guesses"]["of_draft"] == 0
    percent = 100 * state["guesses"]["right"] // state["guesses"]["computed"]
    assert f" {percent} % " in pair.cli("ps").stdout
    rows = pair.usage()
    assert rows[("deep",)]["completion_tokens"] == rows[("plain",)]["completion_tokens"]
    assert ("small",) not in rows  # Its work is nobody's bill.


def test_the_revision_stands_for_the_draft_image_and_outlives_its_deployment(pair, tmp_path):
    image = pair.ps("small")["image"]
    told = pair.json("describe", "deep")
    assert told["manifest"]["runtime"]["draft"] == f"rekindle://sha256:{image}"
    assert pair.ps("deep")["draft_image"] == image
    assert pair.ps("deep")["revision"] != pair.ps("plain")["revision"]
    before = ask(pair, "deep", PROMPTS[0]).choices
    done = pair.cli("undeploy", "small")
    assert done.code == 0, done
    assert ask(pair, "deep", PROMPTS[0]).choices == before
    assert pair.cli("gc").code == 0
    assert pair.cli("cool", "deep").code == 0
    assert ask(pair, "deep", PROMPTS[0]).choices == before
    ready(pair, "deep")
    assert pair.stop() == 0
    pair.start()
    assert ask(pair, "deep", PROMPTS[0]).choices == before
    ready(pair, "deep")
    assert pair.cli("verify").code == 0
    done = deploy(pair, tmp_path, "other", f"rekindle://sha256:{pair.ps('deep')['image']}", draft="small")
    assert done.code != 0
    assert 'runtime.draft: no model named "small" is deployed' in done.stderr


def test_a_worker_that_died_gets_its_draft_again_and_both_images_count_as_memory(pair):
    state = pair.ps("deep")
    assert state["resident_bytes"] == state["image_bytes"] + pair.ps("small")["image_bytes"]
    first = ask(pair, "deep", PROMPTS[1]).choices
    os.kill(pair.ps("deep")["worker_pid"], signal.SIGKILL)
    assert ask(pair, "deep", PROMPTS[1]).choices == first
    ready(pair, "deep")
    assert pair.cli("cool", "deep").code == 0
    assert pair.ps("deep")["draft_state"] == ""


def test_drafts_that_can_not_guess_for_the_model_are_refused(daemon, tmp_path):
    model = write_llama(tmp_path / "model.gguf", layers=3)
    draft = write_llama(tmp_path / "draft.gguf")
    other = write_llama(tmp_path / "other.gguf", last_word="<|another|>")
    for name, file in (("draft", draft), ("big", model), ("other", other)):
        daemon.deploy(file, name)
    image = daemon.ps("big")["image"]
    refused = [
        ({"draft": "nobody"}, 'runtime.draft: no model named "nobody" is deployed: deploy it first'),
        ({"draft": "model"}, "runtime.draft: model is the deployment itself: name a smaller model"),
        ({"draft": "big"}, "runtime.draft: it is the model's own image"),
        ({"draft": "rekindle://sha256:" + "0" * 64}, "runtime.draft: this node has no image"),
        ({"draft": "other"}, "runtime.draft: token 299 is another one in the draft's vocabulary"),
        ({"draft": "draft", "speculation": False}, "nothing is guessed with runtime.speculation: false"),
        ({"draft": "No such name"}, "runtime.draft: must be the name of a deployment on the node"),
    ]
    for runtime, message in refused:
        done = deploy(daemon, tmp_path, "model", model, **runtime)
        assert done.code != 0, runtime
        assert message in done.stderr, done
    done = deploy(daemon, tmp_path, "little", draft, draft="big")
    assert done.code != 0
    assert "a draft that is not smaller gains nothing" in done.stderr
    plan = daemon.cli("deploy", manifest(tmp_path, "model", model, draft="nobody"), "--dry-run")
    assert plan.code != 0
    assert 'no model named "nobody"' in plan.stderr
    assert daemon.cli("deploy", manifest(tmp_path, "model", model, draft="draft"), "--dry-run").code == 0
    done = deploy(daemon, tmp_path, "model", model, draft="draft")
    assert done.code == 0, done
    assert image == daemon.ps("model")["image"]
    assert daemon.ps("model")["draft_state"] == "ready"
