"""Deployments by manifest: what each field does, and one clear message for each that is wrong."""

import hashlib
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import requests
import yaml
from gguf_files import write_llama
from tools import ROOT, Daemon, is_alive, poll, rekindle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("manifests")
    write_llama(path / "tiny.gguf")
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("node") / "data") as daemon:
        yield daemon


def manifest(folder, name, more="", model="tiny.gguf"):
    """Writes NAME.yaml and gives its path."""
    path = folder / f"{name}.yaml"
    path.write_text(f"rekindle: 1\nname: {name}\nmodel: {model}\n{more}")
    return path


def deploy(node, path):
    done = node.cli("deploy", path)
    assert done.code == 0, done
    return done


def complete(node, model, **more):
    body = {"model": model, "prompt": "ab", "max_tokens": 3, "ignore_eos": True, **more}
    return requests.post(f"{node.url}/v1/completions", json=body, timeout=60)


def test_three_lines_deploy_a_model_from_the_manifests_folder(node, folder):
    done = deploy(node, manifest(folder, "plain"))
    assert done.stdout.startswith("deployed plain: llama")
    assert complete(node, "plain").status_code == 200


def test_json_does_as_well_as_yaml(node, folder):
    path = folder / "other.json"
    path.write_text(json.dumps({"rekindle": 1, "name": "other", "model": str(folder / "tiny.gguf"),
                                "price": {"per_mtok": {"output": "0.20"}}}))
    deploy(node, path)
    assert node.ps("other")["price"]["output"] == "0.2"


@pytest.mark.parametrize(("more", "message"), [
    ("nmae: x\n", "line 4: unknown key nmae: did you mean name?"),
    ("scale: {idel: 5m}\n", "unknown key scale.idel: did you mean scale.idle?"),
    ("name: again\n", "line 4: the key name stands twice"),
    ("price: {per_mtok: {input: 0.05}}\n", "price.per_mtok.input: must be a decimal in quotes"),
    ("runtime: {quantize: q4_0}\n", "runtime.quantize: must be none"),
    ("adapters: []\n", "line 4: adapters is not supported yet"),
    ("slo: {ttft_p99: 800ms}\n", "slo is not supported yet"),
    ("scale: {max: 4}\n", "scale.max: must be 1 (more is not supported yet)"),
    ("tags: &a {x: y}\n", "line 4: a YAML anchor"),
    ("runtime: [1\n", "line "),
    ("aliases: [bad]\n", "own name"),
])
def test_a_wrong_manifest_is_refused_before_the_daemon_is_asked(folder, more, message):
    path = manifest(folder, "bad", more)
    done = rekindle("deploy", path, url="http://127.0.0.1:1")
    assert done.code == 2, done
    assert str(path) in done.stderr and message in done.stderr
    assert done.stderr.count("\n") == 1


def test_flags_beside_a_manifest_are_refused(node, folder):
    done = node.cli("deploy", manifest(folder, "flags"), "--price-input", "1")
    assert done.code == 2 and "--price-input stands in the manifest" in done.stderr


def test_a_model_file_that_is_not_there(node, folder):
    done = node.cli("deploy", manifest(folder, "gone", model="gone.gguf"))
    assert done.code == 3 and str(folder / "gone.gguf") in done.stderr


def test_the_daemon_checks_a_manifest_itself(node):
    for text, code in [("rekindle: 1\nname: x\nmodel: m\nnmae: y\n", "invalid_manifest"),
                       ("rekindle: 1\nname: x\nmodel: m\nslo: {}\n", "unsupported_value"),
                       ("rekindle: 1\nname: x\nmodel: m\n", "invalid_value")]:
        answer = requests.post(node.url + "/admin/v1/deployments", data=text, timeout=60)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == code


def test_a_pinned_digest_is_that_of_the_file_or_of_its_image(node, folder):
    content = (folder / "tiny.gguf").read_bytes()
    file_digest = hashlib.sha256(content).hexdigest()
    deploy(node, manifest(folder, "pinned", f"digest: sha256:{file_digest}\n"))
    image = node.ps("pinned")["image"]
    deploy(node, manifest(folder, "pinned", f"digest: sha256:{image}\n"))
    before = node.ps("pinned")["revision"]
    done = node.cli("deploy", manifest(folder, "pinned", f"digest: sha256:{'0' * 64}\n"))
    assert done.code == 5 and "digest: neither the model file nor its image" in done.stderr
    assert node.ps("pinned")["revision"] == before


def test_an_image_that_the_node_has_is_deployed_without_its_file(node, folder):
    deploy(node, manifest(folder, "first"))
    image = node.ps("first")["image"]
    deploy(node, manifest(folder, "second", model=f"rekindle://sha256:{image}"))
    assert node.ps("second")["image"] == image
    assert complete(node, "second").status_code == 200
    done = node.cli("deploy", manifest(folder, "third", model=f"rekindle://sha256:{'0' * 64}"))
    assert done.code == 3 and "has no image" in done.stderr


def test_the_same_manifest_is_the_same_revision_however_it_is_written(node, folder):
    revisions = set()
    for more in ['price: {per_mtok: {input: "0.2"}}\nscale: {idle: 300s}\n',
                 'scale: {idle: 5m, max: 1}\nprice: {per_mtok: {input: "0.20"}, currency: USD}\n']:
        deploy(node, manifest(folder, "same", more))
        revisions.add(node.ps("same")["revision"])
    assert len(revisions) == 1
    assert node.json("describe", "same")["history"] == []


def test_a_context_longer_than_the_models_own_is_refused(node, folder):
    done = node.cli("deploy", manifest(folder, "wide", "runtime: {context: 257}\n"))
    assert done.code == 5 and "longer than the model's own context of 256" in done.stderr
    deploy(node, manifest(folder, "wide", "runtime: {context: 64}\n"))
    assert node.ps("wide")["context"] == 64


def test_kv_memory_bounds_the_context(node, folder):
    # One layer, 4 heads of 16: 256 bytes a position, 8 KiB a page of 32.
    done = node.cli("deploy", manifest(folder, "kv", "runtime: {kv: 32KiB, context: 256}\n"))
    assert done.code == 5 and "runtime.kv" in done.stderr
    done = node.cli("deploy", manifest(folder, "kv", "runtime: {kv: 9999999GiB}\n"))
    assert done.code == 5 and "more than this node's" in done.stderr
    deploy(node, manifest(folder, "kv", "runtime: {kv: 32KiB, max_batch: 256}\n"))
    assert node.ps("kv")["context"] == 128


def test_a_narrower_kv_cache_holds_more_of_a_context(node, folder):
    # 16 bytes and a scale of 4 a head: 5 KiB a page of 32.
    deploy(node, manifest(folder, "q8", "runtime: {kv: 32KiB, kv_type: q8_0}\n"))
    state = node.ps("q8")
    assert (state["context"], state["kv_type"]) == (6 * 32, "q8_0")
    assert "kv_type: q8_0" in node.cli("describe", "q8").stdout
    plan = node.json("deploy", manifest(folder, "q8", "runtime: {kv: 32KiB, kv_type: q8_0}\n"),
                     "--dry-run")
    assert (plan["context"], plan["kv_type"], plan["kv_bytes_per_sequence"]) == (192, "q8_0", 30720)
    done = node.cli("deploy", manifest(folder, "q8", "runtime: {kv: 32KiB, kv_type: q8_0, context: 193}\n"))
    assert done.code == 5 and "runtime.kv" in done.stderr
    deploy(node, manifest(folder, "q8", "runtime: {kv: 32KiB, kv_type: q8_0, context: 192}\n"))


def test_each_type_of_kv_cache_is_a_revision_and_answers_alike_again_and_in_company(node, folder):
    revisions, answers = set(), {}
    for kv_type in ("f16", "bf16", "q8_0"):
        deploy(node, manifest(folder, "typed", f"runtime: {{kv_type: {kv_type}}}\n"))
        assert node.ps("typed")["kv_type"] == kv_type
        revisions.add(node.ps("typed")["revision"])
        # The second time the first page of its tokens is cached.
        ask = {"prompt": "ab" * 50, "max_tokens": 40, "temperature": 0, "logprobs": 1}
        first = complete(node, "typed", **ask).json()
        again = complete(node, "typed", **ask).json()
        assert again["choices"] == first["choices"]
        assert again["usage"]["prompt_tokens_details"]["cached_tokens"] >= 32
        with ThreadPoolExecutor(4) as pool:
            company = [pool.submit(complete, node, "typed", **ask) for _ in range(4)]
            assert all(other.result().json()["choices"] == first["choices"] for other in company)
        answers[kv_type] = first["choices"][0]["logprobs"]["token_logprobs"]
    assert len(revisions) == 3
    assert answers["q8_0"] != answers["f16"]  # It is rounded, after all.


def test_max_tokens_caps_answers(node, folder):
    deploy(node, manifest(folder, "cap", "admission: {max_tokens: 5}\n"))
    answer = complete(node, "cap", max_tokens=6)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "max_tokens"
    assert "at most 5 tokens" in answer.json()["error"]["message"]
    assert complete(node, "cap", max_tokens=None).json()["usage"]["completion_tokens"] == 5


def test_defaults_force_and_strip_shape_requests(node, folder):
    deploy(node, manifest(folder, "shaped", "defaults: {seed: 1, temperature: 2}\n"
                                            "force: {ignore_eos: true}\n"
                                            "strip: [logit_bias, max_tokens]\n"))
    texts = {complete(node, "shaped", logit_bias={"5": 1}).json()["choices"][0]["text"]
             for _ in range(3)}
    assert len(texts) == 1  # The default seed.
    usage = complete(node, "shaped", ignore_eos=False).json()["usage"]
    assert usage["completion_tokens"] == 16  # max_tokens was stripped, the end ignored.


def test_the_queue_has_the_length_that_the_manifest_says(node, folder):
    deploy(node, manifest(folder, "narrow", "runtime: {max_batch: 1}\nadmission: {queue: 0}\n"))
    with requests.post(f"{node.url}/v1/completions", stream=True, timeout=60, json={
            "model": "narrow", "prompt": "ab", "max_tokens": 250, "ignore_eos": True,
            "stream": True}) as first:
        assert first.status_code == 200
        lines = first.iter_lines(chunk_size=None)
        next(lines)
        busy = node.ps("narrow")["active_requests"] == 1
        second = complete(node, "narrow")
        if busy and node.ps("narrow")["active_requests"] == 1:
            assert second.status_code == 503 and "retry-after" in second.headers
    node.wait_idle("narrow")
    assert complete(node, "narrow").status_code == 200


def test_a_request_waits_no_longer_than_the_manifest_says(node, folder):
    deploy(node, manifest(folder, "hurried", "admission: {max_wait: 300ms}\n"))
    assert complete(node, "hurried").status_code == 200
    worker = node.ps("hurried")["worker_pid"]
    os.kill(worker, signal.SIGSTOP)
    try:
        answer = complete(node, "hurried")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert answer.status_code == 503 and "retry-after" in answer.headers
    assert "no token of model hurried came within 300 ms" in answer.json()["error"]["message"]
    node.wait_idle("hurried")
    bill = requests.get(f"{node.url}/admin/v1/requests/{answer.headers['x-request-id']}",
                        timeout=10)
    assert bill.status_code == 404  # Nothing was computed, nothing is billed.


def test_a_model_that_is_kept_warm_is_there_at_once_after_a_start_and_after_a_crash(
        tmp_path, folder):
    with Daemon(tmp_path / "data", "--idle", "50ms") as daemon:
        deploy(daemon, manifest(folder, "kept", "scale: {min_warm: 1, idle: 1ms}\n"))
        deploy(daemon, manifest(folder, "usual"))
        poll(lambda: daemon.ps("usual")["worker_pid"] == 0, "the usual one scales to zero")
        worker = daemon.ps("kept")["worker_pid"]
        assert worker != 0
        os.kill(worker, signal.SIGKILL)
        poll(lambda: daemon.ps("kept")["worker_pid"] not in (0, worker), "warm again")
        daemon.stop()
        daemon.start()
        poll(lambda: daemon.ps("kept")["worker_pid"] != 0, "warm after the start")
        assert daemon.ps("usual")["worker_pid"] == 0
        assert daemon.ps("kept")["idle_ms"] is None
        worker = daemon.ps("kept")["worker_pid"]
        deploy(daemon, manifest(folder, "kept"))  # No longer.
        poll(lambda: daemon.ps("kept")["worker_pid"] == 0, "scales to zero like any other")
        poll(lambda: not is_alive(worker), "the old worker has ended")


def test_no_more_models_are_kept_warm_than_there_are_workers(tmp_path, folder):
    with Daemon(tmp_path / "data", "--workers-max", "1") as daemon:
        deploy(daemon, manifest(folder, "one", "scale: {min_warm: 1}\n"))
        done = daemon.cli("deploy", manifest(folder, "two", "scale: {min_warm: 1}\n"))
        assert done.code == 5 and "scale.min_warm" in done.stderr
        deploy(daemon, manifest(folder, "one", "scale: {min_warm: 1}\ntags: {a: b}\n"))


def test_idle_ms_is_null_until_the_first_request(node, folder):
    deploy(node, manifest(folder, "unused"))
    assert node.ps("unused")["idle_ms"] is None
    complete(node, "unused")
    node.wait_idle("unused")
    assert node.ps("unused")["idle_ms"] is not None


# ---- dry run ----

def test_a_dry_run_tells_memory_restore_time_and_price_and_changes_nothing(tmp_path, folder):
    with Daemon(tmp_path / "data") as daemon:
        path = manifest(folder, "dry", 'price: {per_mtok: {output: "0.20"}}\nruntime: {kv: 1MiB}\n')
        done = daemon.cli("deploy", path, "--dry-run")
        assert done.code == 0, done
        assert "restore   unknown" in done.stdout and "0.2 output" in done.stdout
        plan = daemon.json("deploy", path, "--dry-run")
        assert plan["kv_bytes"] == 1 << 20 and plan["context"] == 256
        assert plan["kv_bytes_per_sequence"] == 256 * 256
        assert plan["replaces"] is None and plan["restore_ms"] is None
        assert daemon.json("models")["deployments"] == []
        deploy(daemon, path)
        state = daemon.ps("dry")
        assert abs(state["image_bytes"] - plan["weights_bytes"]) <= 64 << 10
        deployed = daemon.json("describe", "dry")
        assert deployed["tensors"] == plan["tensors"]
        again = daemon.json("deploy", path, "--dry-run")
        assert again["replaces"] == state["revision"]
        bad = daemon.cli("deploy", manifest(folder, "dry", "runtime: {context: 999}\n"), "--dry-run")
        assert bad.code == 5 and "longer than the model's own context" in bad.stderr
        file = folder / "broken.gguf"
        file.write_bytes((folder / "tiny.gguf").read_bytes()[:2000])
        bad = daemon.cli("deploy", file, "--dry-run")
        assert bad.code == 5, bad
        assert daemon.ps("dry")["revision"] == state["revision"]


def test_a_dry_run_estimates_the_restore_from_the_last_one(tmp_path, folder):
    with Daemon(tmp_path / "data") as daemon:
        path = manifest(folder, "timed")
        deploy(daemon, path)
        daemon.stop()
        daemon.start()
        assert daemon.json("deploy", path, "--dry-run")["restore_ms"] is None
        complete(daemon, "timed")
        assert daemon.json("deploy", path, "--dry-run")["restore_ms"] >= 1


# ---- revisions ----

def test_describe_prints_a_manifest_that_can_be_deployed_again(node, folder, tmp_path):
    deploy(node, manifest(folder, "shown", 'aliases: [shown-too]\ntags: {team: search, "no": "1.0"}\n'
                                           'price: {per_mtok: {input: "0.050"}}\n'))
    done = node.cli("describe", "shown")
    assert done.code == 0
    parsed = yaml.safe_load(done.stdout)
    assert parsed["tags"] == {"team": "search", "no": "1.0"}
    assert parsed["price"] == {"per_mtok": {"input": "0.05"}}
    assert "# aliases  shown-too" in done.stdout and "tiny.gguf" in done.stdout
    revision = node.ps("shown")["revision"]
    assert revision in done.stdout
    path = tmp_path / "again.yaml"
    path.write_text(done.stdout)
    deploy(node, path)
    assert node.ps("shown")["revision"] == revision
    assert node.json("describe", "shown-too")["name"] == "shown"
    assert node.cli("describe", "nobody").code == 3


def test_rollback_goes_back_and_forth(node, folder):
    revisions = []
    for price in ["1", "2", "3"]:
        deploy(node, manifest(folder, "back", f'price: {{per_mtok: {{input: "{price}"}}}}\n'))
        revisions.append(node.ps("back")["revision"])
    history = [r["revision"] for r in node.json("describe", "back")["history"]]
    assert history == [revisions[1], revisions[0]]
    done = node.cli("rollback", "back")
    assert done.code == 0 and revisions[1] in done.stdout
    assert node.ps("back")["price"]["input"] == "2"
    assert node.json("rollback", "back", "--to", revisions[0][:8])["revision"] == revisions[0]
    history = [r["revision"] for r in node.json("describe", "back")["history"]]
    assert history == [revisions[1], revisions[2]]
    for to, code in [("ffffffffffff", 3), (revisions[0][:8], 5), ("xyz", 5)]:
        assert node.cli("rollback", "back", "--to", to).code == code
    assert node.cli("rollback", "nobody").code == 3
    deploy(node, manifest(folder, "fresh"))
    done = node.cli("rollback", "fresh")
    assert done.code == 5 and "no earlier revision" in done.stderr


def test_rollback_brings_another_model_file_back_after_a_restart(tmp_path, folder):
    write_llama(tmp_path / "other.gguf", leave_out=())
    other = bytearray((tmp_path / "other.gguf").read_bytes())
    other[-5] ^= 1  # Another weight.
    (tmp_path / "other.gguf").write_bytes(other)
    with Daemon(tmp_path / "data") as daemon:
        deploy(daemon, manifest(folder, "m"))
        first = daemon.ps("m")["image"]
        deploy(daemon, manifest(folder, "m", model=str(tmp_path / "other.gguf")))
        assert daemon.ps("m")["image"] != first
        daemon.stop()
        daemon.start()
        assert daemon.cli("rollback", "m").code == 0
        assert daemon.ps("m")["image"] == first
        assert complete(daemon, "m").status_code == 200


def test_a_redeployment_drops_no_request_and_each_bill_names_the_revision_that_answered(
        tmp_path, folder):
    with Daemon(tmp_path / "data") as daemon:
        deploy(daemon, manifest(folder, "live", "tags: {turn: \"0\"}\n"))
        revisions = {daemon.ps("live")["revision"]}
        answered, failures, stop = [], [], threading.Event()

        def ask():
            while not stop.is_set():
                answer = requests.post(f"{daemon.url}/v1/completions", timeout=60, stream=True, json={
                    "model": "live", "prompt": "ab", "max_tokens": 120, "ignore_eos": True,
                    "stream": True})
                events = [line for line in answer.iter_lines() if line.startswith(b"data: ")]
                if answer.status_code != 200 or events[-1] != b"data: [DONE]":
                    failures.append((answer.status_code, events[-1:]))
                fingerprint = json.loads(events[0].removeprefix(b"data: "))["system_fingerprint"]
                answered.append((answer.headers["x-request-id"], fingerprint))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(1, 6):
            seen = len(answered)
            poll(lambda: len(answered) >= seen + 4, "answers meanwhile")
            deploy(daemon, manifest(folder, "live", f'tags: {{turn: "{turn}"}}\n'))
            revisions.add(daemon.ps("live")["revision"])
        seen = len(answered)
        poll(lambda: len(answered) >= seen + 4, "answers of the last revision")
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(revisions) == 6
        billed = set()
        for request, fingerprint in answered:
            bill = daemon.bill(request)
            assert bill["outcome"] == "completed" and bill["completion_tokens"] == 120
            assert fingerprint == "rk_" + bill["revision"][:12]
            billed.add(bill["revision"])
        assert billed == revisions
        poll(lambda: len([d for d in daemon.json("ps", "--all")["deployments"]
                          if d["worker_pid"]]) == 1, "one worker is left")


# ---- aliases ----

def test_aliases_answer_are_listed_and_billed_to_their_model(node, folder):
    deploy(node, manifest(folder, "real", "aliases: [gpt-4o-mini]\n"))
    assert node.cli("aliases", "set", "handy", "real").code == 0
    ids = [model.id for model in node.client().models.list()]
    assert {"real", "gpt-4o-mini", "handy"} <= set(ids)
    assert node.client().models.retrieve("handy").id == "handy"
    for model in ["gpt-4o-mini", "handy"]:
        raw = node.client().completions.with_raw_response.create(model=model, prompt="ab",
                                                                 max_tokens=2)
        assert raw.parse().model == model
        assert node.bill(raw.headers["x-request-id"])["model"] == "real"
    listed = {a["alias"]: a for a in node.json("aliases")["aliases"]}
    assert listed["handy"] == {"alias": "handy", "name": "real", "set_by": "hand"}
    assert listed["gpt-4o-mini"]["set_by"] == "manifest"
    assert "handy" in node.cli("aliases", "list").stdout
    assert node.cli("aliases", "rm", "handy").code == 0
    with pytest.raises(openai.NotFoundError):
        node.client().completions.create(model="handy", prompt="ab")


def test_an_alias_never_hides_a_deployment(node, folder):
    deploy(node, manifest(folder, "solid", "aliases: [soft]\n"))
    deploy(node, manifest(folder, "else"))
    for arguments, code, message in [
            (("set", "solid", "else"), 5, "deployed itself"),
            (("set", "soft", "else"), 5, "is an alias of solid"),
            (("set", "x", "nobody"), 3, "no model named"),
            (("set", "X", "solid"), 2, "not a model name"),
            (("rm", "soft"), 5, "stands in the manifest of solid"),
            (("rm", "nobody"), 3, "there is no alias")]:
        done = node.cli("aliases", *arguments)
        assert done.code == code and message in done.stderr, done
    done = node.cli("deploy", manifest(folder, "soft"))
    assert done.code == 5 and "is an alias of solid" in done.stderr
    done = node.cli("deploy", manifest(folder, "new", "aliases: [solid]\n"))
    assert done.code == 5 and "deployed itself" in done.stderr


def test_aliases_survive_a_restart_and_go_with_their_deployment(tmp_path, folder):
    with Daemon(tmp_path / "data") as daemon:
        deploy(daemon, manifest(folder, "a"))
        assert daemon.cli("aliases", "set", "x", "a").code == 0
        daemon.stop()
        daemon.start()
        assert complete(daemon, "x").status_code == 200
        assert daemon.cli("undeploy", "a").code == 0
        assert daemon.json("aliases")["aliases"] == []
        assert complete(daemon, "x").status_code == 404


def test_a_catalog_of_the_first_version_is_read(tmp_path, folder):
    data = tmp_path / "data"
    with Daemon(data) as daemon:
        deploy(daemon, manifest(folder, "old"))
        state = daemon.ps("old")
        daemon.stop()
        record = {"rekindle_deployment": 1, "name": "old", "image": state["image"],
                  "price_input": "0.050", "price_output": "0", "price_cached": "0",
                  "currency": "USD", "context": 5000, "created_unix_s": 1700000000,
                  "architecture": "llama", "image_bytes": state["image_bytes"], "context_max": 256}
        (data / "deployments/old.json").write_text(json.dumps(record))
        daemon.start()
        assert daemon.ps("old")["price"]["input"] == "0.05"
        assert complete(daemon, "old").status_code == 200
        deploy(daemon, manifest(folder, "old"))
        assert daemon.cli("rollback", "old").code == 0
        assert daemon.ps("old")["price"]["input"] == "0.05"


def test_the_schema_is_printed_without_a_daemon():
    done = rekindle("schema", url="http://127.0.0.1:1")
    assert done.code == 0
    published = (ROOT / "docs/schema/deployment-manifest.json").read_text()
    assert done.stdout == published
