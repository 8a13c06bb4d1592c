"""/metrics, /healthz and /readyz: true numbers, in a form that Prometheus reads, for nothing."""

import json
import os
import re
import shutil
import signal
from decimal import Decimal

import pytest
import requests
from scrape import exact, names, scrape, value
from streams import Stream
from tools import BIN, ROOT, Daemon, poll

PICO = Decimal(10) ** 12


def not_ready(get, daemon):
    """The answer of /readyz once that is 503."""
    def look():
        answer = get(daemon.url + "/readyz", timeout=10)
        return [answer] if answer.status_code == 503 else None  # An answer >= 400 is false.

    return poll(look, "not ready")[0]


def ask(daemon, **more):
    return daemon.client().chat.completions.create(
        model="small", **{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5,
                          "temperature": 0, **more})


@pytest.mark.parametrize("open_metrics", [False, True])
def test_prometheus_reads_what_a_busy_daemon_exports(small, open_metrics):
    stream = Stream(small, max_tokens=1500).read(tokens=3)
    samples = scrape(small, open_metrics)
    assert value(samples, "vllm:num_requests_running", model_name="small") == 1
    assert value(samples, "llamacpp:requests_processing") == 1
    assert 0 < value(samples, "vllm:kv_cache_usage_perc", model_name="small") <= 1
    assert value(samples, "rekindle_models", tier="worker") == 1
    stream.close()


def test_tokens_and_times_are_those_of_the_answers(small):
    messages = [{"role": "user", "content": "Tell me about the river and the sea and the rain."}]
    usages = [ask(small, messages=messages, max_tokens=n, extra_body={"ignore_eos": True}).usage
              for n in (1, 4, 9)]
    samples = scrape(small)
    prompt = sum(usage.prompt_tokens for usage in usages)
    completion = sum(usage.completion_tokens for usage in usages)
    assert value(samples, "vllm:prompt_tokens_total", model_name="small") == prompt
    assert value(samples, "vllm:generation_tokens_total", model_name="small") == completion == 14
    cached = sum(usage.prompt_tokens_details.cached_tokens for usage in usages)
    assert value(samples, "llamacpp:prompt_tokens_total") == prompt - cached
    assert value(samples, "vllm:prefix_cache_queries_total", model_name="small") == prompt
    assert value(samples, "vllm:prefix_cache_hits_total", model_name="small") == cached
    assert value(samples, "llamacpp:tokens_predicted_total") == completion
    assert value(samples, "vllm:request_success_total", finished_reason="length") == 3
    assert value(samples, "vllm:time_to_first_token_seconds_count") == 3
    assert value(samples, "vllm:e2e_request_latency_seconds_count") == 3
    assert value(samples, "vllm:inter_token_latency_seconds_count") == completion - 3
    assert value(samples, "vllm:time_per_output_token_seconds_count") == completion - 3
    assert value(samples, "vllm:request_prompt_tokens_sum") == prompt
    assert value(samples, "vllm:request_generation_tokens_sum") == completion
    parts = sum(value(samples, f"vllm:request_{part}_time_seconds_sum")
                for part in ("queue", "prefill", "decode"))
    assert parts == pytest.approx(value(samples, "vllm:e2e_request_latency_seconds_sum"), abs=0.01)
    assert value(samples, "vllm:iteration_tokens_total_sum") >= prompt - cached > 0
    right = sum(v for _, v in samples.get("vllm:spec_decode_num_accepted_tokens_total", []))
    assert value(samples, "llamacpp:n_decode_total") + right >= 14


def test_money_is_the_ledgers_to_the_last_digit(small, model_file):
    small.deploy(model_file, "euro", "--price-output", "1.000001", "--currency", "EUR")
    ask(small)
    small.client().completions.create(model="euro", prompt="Once", max_tokens=3)
    Stream(small, max_tokens=1500).read(tokens=5).close()
    small.wait_idle("small")
    rows = poll(lambda: (rows := small.usage("model,project")) and sum(
        row["requests"] for row in rows.values()) == 3 and rows, "three records")
    counted = {}
    for labels, pico in exact(small, "rekindle_cost_pico_total").items():
        (model,) = [label for label in labels if label.startswith("model=")]
        counted[model] = counted.get(model, 0) + pico
    assert counted == {f'model="{model}"': int(Decimal(row["cost"]) * PICO)
                       for (model, _), row in rows.items()}
    samples = scrape(small)
    assert value(samples, "rekindle_requests_settled_total", model="small",
                 outcome="disconnected") == 1
    billed = sum(v for _, v in samples["rekindle_billed_tokens_total"])
    assert billed == sum(r["prompt_tokens"] + r["completion_tokens"] for r in rows.values())
    assert value(samples, "rekindle_ledger_healthy") == 1
    assert value(samples, "rekindle_ledger_queue") == 0


def test_cold_starts_are_counted_by_tier_and_phase(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--idle", "300ms") as daemon:
        daemon.deploy(model_file, "small")
        assert "rekindle_cold_start_seconds_count" not in scrape(daemon)
        poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero")
        ask(daemon)
        poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero")
        samples = scrape(daemon)
        for phase in ("queue", "acquire", "assign", "restore", "first_token"):
            assert value(samples, "rekindle_cold_start_seconds_count", model="small",
                         tier="memory", phase=phase) == 1
        assert value(samples, "rekindle_models", tier="memory") == 1
        assert value(samples, "rekindle_idle_seconds_total", model="small") > 0.2
        assert value(samples, "rekindle_restores_total", outcome="resident") >= 1
        assert value(samples, "rekindle_restore_bytes_total", source="memory") > 1 << 20
        daemon.stop()
        daemon.start()  # Now the image lies on disk alone.
        ask(daemon)
        samples = scrape(daemon)
        assert value(samples, "rekindle_cold_start_seconds_count", tier="disk",
                     phase="first_token") == 1
        assert value(samples, "rekindle_restores_total", outcome="read") == 1
        assert value(samples, "rekindle_restore_bytes_total", source="disk") > 1 << 20


def test_looking_does_not_wake_a_model(tmp_path, model_file):
    with Daemon(tmp_path / "data", "--idle", "200ms") as daemon:
        daemon.deploy(model_file, "small")
        poll(lambda: daemon.ps("small")["worker_pid"] == 0, "scaled to zero")
        poll(lambda: value(scrape(daemon), "rekindle_pool_ready_workers") == 1, "the next spare")
        starts = value(scrape(daemon), "rekindle_worker_starts_total")
        for path in ("/metrics", "/healthz", "/readyz", "/health"):
            assert requests.get(daemon.url + path, timeout=10).status_code == 200
        assert daemon.ps("small")["worker_pid"] == 0
        assert value(scrape(daemon), "rekindle_worker_starts_total") == starts


def test_refusals_and_dead_workers_are_counted(small):
    ask(small)
    with pytest.raises(Exception):
        small.client().completions.create(model="small", prompt="x" * (5 << 20))
    os.kill(small.ps("small")["worker_pid"], signal.SIGKILL)
    poll(lambda: value(scrape(small), "rekindle_worker_deaths_total", state="serving") == 1,
         "the death is counted")
    samples = scrape(small)
    assert value(samples, "rekindle_admission_refused_total", reason="too_large") == 1
    ask(small)


def test_a_model_that_makes_no_progress_is_not_ready_and_says_so(small):
    ask(small)
    stream = Stream(small, max_tokens=1500).read(tokens=3)
    worker = small.ps("small")["worker_pid"]
    os.kill(worker, signal.SIGSTOP)
    stream.read_in_background()
    try:
        answer = not_ready(requests.get, small)
        assert answer.json()["status"] == "stalled"
        assert "model small" in answer.json()["reasons"][0]["message"]
        assert requests.get(small.url + "/healthz", timeout=10).status_code == 200
    finally:
        os.kill(worker, signal.SIGCONT)
    small.wait_ready()
    stream.close()


def test_a_client_that_does_not_read_makes_no_model_look_stalled(small):
    stream = Stream(small, max_tokens=1900).read(tokens=1)
    poll(lambda: value(scrape(small), "vllm:num_requests_running", model_name="small") in (0, 1),
         "it runs")
    assert requests.get(small.url + "/readyz", timeout=10).status_code == 200
    stream.close()


def test_a_draining_daemon_is_alive_and_not_ready(small):
    stream = Stream(small, max_tokens=1900).read(tokens=2)
    connection = requests.Session()
    assert connection.get(small.url + "/readyz", timeout=10).status_code == 200
    small.process.send_signal(signal.SIGTERM)
    answer = not_ready(connection.get, small)
    assert answer.json()["status"] == "draining"
    assert connection.get(small.url + "/healthz", timeout=10).status_code == 200
    stream.close()


FAKE_WORKER = """#!/usr/bin/env python3
import os, struct, sys, time
if {greets}:
    kernels = b"none"
    payload = struct.pack("<II", {protocol}, len(kernels)) + kernels
    os.write(3, struct.pack("<II", 0, len(payload)) + payload)
time.sleep(3600)
"""


def daemon_with_worker(folder, **script):
    """A daemon whose worker is a program that only says hello, or not even that."""
    folder.mkdir()
    shutil.copy(BIN / "rekindled", folder)
    worker = folder / "rekindle-worker"
    worker.write_text(FAKE_WORKER.format(**script))
    worker.chmod(0o755)
    return Daemon(folder / "data", programs=folder)


def test_a_daemon_without_a_worker_yet_is_starting(tmp_path):
    with daemon_with_worker(tmp_path / "bin", greets=False, protocol=0) as daemon:
        answer = requests.get(daemon.url + "/readyz", timeout=10)
        assert (answer.status_code, answer.json()["status"]) == (503, "starting")
        assert requests.get(daemon.url + "/healthz", timeout=10).status_code == 200
        assert value(scrape(daemon), "rekindle_pool_ready_workers") == 0


def test_workers_of_another_build_are_refused_and_make_the_node_unready(tmp_path):
    with daemon_with_worker(tmp_path / "bin", greets=True, protocol=1) as daemon:
        answer = poll(lambda: (a := not_ready(requests.get, daemon)).json()["status"] == "workers"
                      and [a], "three workers failed")[0]
        assert "the last" in answer.json()["reasons"][0]["message"]
        poll(lambda: any("install both from one build" in line for line in daemon.log), "why")
        assert value(scrape(daemon), "rekindle_worker_deaths_total", state="spare") >= 3


# ---- The dashboard and the documentation ----

def family_of(name, types):
    """The exported family that a name in a query belongs to."""
    if name in types:
        return name
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if types.get(base) == "histogram" else None


def test_every_metric_of_the_dashboard_is_exported(daemon):
    types = names(daemon)
    dashboard = json.loads((ROOT / "docs/grafana/rekindle.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"]
               for target in panel.get("targets", [])]
    assert len(queries) >= 20
    for query in queries:
        used = re.findall(r"\b(?:vllm:|llamacpp:|rekindle_|process_)\w+", query)
        assert used, query
        for name in used:
            assert family_of(name, types), f"{name} in {query}"


def test_every_metric_is_documented_as_it_is(daemon):
    types = names(daemon)
    page = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (counter|gauge|histogram) \|", page, re.M)
    assert dict(rows) == types
    assert len(rows) == len(types)
