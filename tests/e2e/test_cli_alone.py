"""The command line against a daemon that misbehaves, is elsewhere, or is not there."""

import json
import os
import signal
import threading

import pytest
from fake_daemon import FakeDaemon, delta, error, json_route, reply_json, sse, stream_route
from tools import poll, rekindle, start_rekindle

VERBS = ["deploy", "models", "ps", "chat", "run", "usage", "bench", "undeploy"]
CHAT = "POST /v1/chat/completions"
DEPLOYMENT = {
    "name": "small", "revision": "r", "image": "i", "architecture": "llama",
    "image_bytes": 98362432, "context": 2048, "kv_type": "f16", "created": 1738326600,
    "price": {"input": "0.05", "output": "0.2", "cached": "0", "currency": "USD"},
    "tier": "worker", "resident_bytes": 104857600, "active_requests": 0, "idle_ms": 65000,
    "worker_pid": 4711,
}


def test_version_and_help():
    assert rekindle("--version").stdout.startswith("rekindle 0.")
    assert all(verb in rekindle("--help").stdout for verb in VERBS)
    for verb in VERBS:
        shown = rekindle(verb, "--help")
        assert shown.code == 0 and "--url" in shown.stdout


@pytest.mark.parametrize("arguments", [
    [], ["fly"], ["models", "--fly"], ["run"], ["deploy"], ["usage", "--format", "xml"],
    ["usage", "--since", "yesterday"], ["undeploy", "No Name"], ["models", "--url", "ftp://x"],
    ["deploy", __file__, "--name", "a/b"], ["deploy", __file__, "--name", "a", "--idle", "soon"],
    ["deploy", __file__, "--name", "a", "--price-input", "-1"],
    ["deploy", __file__, "--name", "a", "--price-output", "1e3"],
    ["chat", "small", "--json"], ["bench"], ["bench", "No Name"],
    ["bench", "a", "--batches", "1,x"], ["bench", "a", "--repeat", "0"],
])
def test_a_wrong_command_line_is_one_line_and_exit_code_2(arguments):
    done = rekindle(*arguments)
    assert done.code == 2
    assert done.stderr.startswith("rekindle: ") and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_no_daemon_is_exit_code_4_and_says_what_to_do():
    for url in ["http://127.0.0.1:1", "unix:///no/such/admin.sock"]:
        for arguments in [["models"], ["ps"], ["run", "a", "b"], ["usage"], ["undeploy", "a"]]:
            done = rekindle(*arguments, url=url)
            assert done.code == 4
            assert done.stderr == (
                f"rekindle: no daemon answers at {url}: start one with `rekindled --data-dir DIR`, "
                "or set --url\n")


def test_the_url_option_comes_before_the_environment():
    with FakeDaemon({"GET /admin/v1/deployments": json_route({"deployments": []})}) as fake:
        assert rekindle("models", url=fake.url).code == 0
        assert rekindle("models", "--url", fake.url, url="http://127.0.0.1:1").code == 0
        assert rekindle("--url", fake.url + "/", "models", url="http://127.0.0.1:1").code == 0


def test_a_proxy_of_the_environment_is_not_asked_for_loopback():
    with FakeDaemon({"GET /admin/v1/deployments": json_route({"deployments": []})}) as fake:
        done = rekindle("models", url=fake.url, env={"http_proxy": "http://127.0.0.1:1"})
        assert done.code == 0


def test_the_model_file_is_looked_at_before_the_daemon_is_asked(tmp_path):
    missing = rekindle("deploy", tmp_path / "none.gguf", url="http://127.0.0.1:1")
    assert (missing.code, missing.stderr) == (
        3, f"rekindle: model file {tmp_path}/none.gguf: No such file or directory\n")
    folder = rekindle("deploy", tmp_path, "--name", "x", url="http://127.0.0.1:1")
    assert folder.code == 1 and "folder" in folder.stderr
    os.mkfifo(tmp_path / "pipe.gguf")
    pipe = rekindle("deploy", tmp_path / "pipe.gguf", url="http://127.0.0.1:1")
    assert pipe.code == 1 and "regular file" in pipe.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_model_file_that_may_not_be_read(tmp_path):
    file = tmp_path / "secret.gguf"
    file.write_bytes(b"GGUF")
    file.chmod(0)
    done = rekindle("deploy", file, url="http://127.0.0.1:1")
    assert done.code == 1 and "Permission denied" in done.stderr


def deploy_routes(lines, **more):
    pieces = [json.dumps(line).encode() + b"\n" for line in lines]
    return {
        "GET /admin/v1/node": json_route({"admin_socket": "/somewhere/else/admin.sock"}),
        "POST /admin/v1/deployments": stream_route(pieces, "application/x-ndjson", **more),
    }


def test_a_model_file_is_uploaded_to_a_daemon_elsewhere(tmp_path):
    file = tmp_path / "My Model.gguf"
    file.write_bytes(os.urandom(3 << 20))
    lines = [{"phase": "import", "done": n, "total": 100} for n in range(0, 101, 5)]
    with FakeDaemon(deploy_routes([*lines, {"deployment": DEPLOYMENT}])) as fake:
        done = rekindle("deploy", file, "--price-input", "0.05", "--price-output", "0.2",
                        "--price-cached", "0.01", "--currency", "EUR", "--idle", "5m",
                        "--context", "512", url=fake.url)
    assert done.code == 0
    assert done.stdout == "deployed small: llama, 93.8 MiB, context 2048\n"
    assert "upload  100%" in done.stderr and "import   50%" in done.stderr
    assert "\r" not in done.stderr  # No bar where there is no terminal.
    _, path, body, headers = fake.requests[-1]
    assert path == "/admin/v1/deployments"
    length = int(headers["X-Rekindle-Manifest-Bytes"])
    assert json.loads(body[:length]) == {
        "rekindle": 1, "name": "my-model", "model": f"file:{file}",
        "runtime": {"context": 512}, "scale": {"idle": "5m"},
        "price": {"currency": "EUR",
                  "per_mtok": {"input": "0.05", "cached": "0.01", "output": "0.2"}}}
    assert body[length:] == file.read_bytes()
    assert headers["Content-Type"] == "application/octet-stream"


def test_deploy_gives_the_deployment_as_json(tmp_path):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF")
    with FakeDaemon(deploy_routes([{"deployment": DEPLOYMENT}])) as fake:
        done = rekindle("deploy", file, "--json", url=fake.url)
    assert json.loads(done.stdout) == DEPLOYMENT and done.stderr == ""


@pytest.mark.parametrize("lines, more, code, message", [
    ([error("not a GGUF file")], {}, 5, "not a GGUF file"),
    ([error("disk is full", "server_error", "no_space")], {}, 1, "disk is full"),
    ([{"phase": "import", "done": 1, "total": 2}], {}, 1, "before the deployment was complete"),
    ([{"phase": "import", "done": 1, "total": 2}], {"whole": False}, 1, "broke"),
])
def test_a_deployment_that_fails(tmp_path, lines, more, code, message):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF")
    with FakeDaemon(deploy_routes(lines, **more)) as fake:
        done = rekindle("deploy", file, url=fake.url)
    assert done.code == code and done.stdout == ""
    assert message in done.stderr.splitlines()[-1]


def test_an_answer_is_streamed_and_ends_with_its_line():
    pieces = sse(delta("Hel"), delta("lo"), delta("", "stop"), "[DONE]")
    with FakeDaemon({CHAT: stream_route(pieces)}) as fake:
        done = rekindle("run", "models", "hi", "--max-tokens", "5", "--temperature", "0",
                        "--stop", "x", "--stop", "y", "--system", "short", url=fake.url)
    assert (done.code, done.stdout, done.stderr) == (0, "Hello\n", "")
    body = json.loads(fake.requests[0][2])
    assert body["messages"] == [{"role": "system", "content": "short"},
                                {"role": "user", "content": "hi"}]
    assert (body["model"], body["max_tokens"], body["stop"]) == ("models", 5, ["x", "y"])
    assert body["stream"] is True and body["temperature"] == 0


def test_the_prompt_comes_from_a_pipe_or_begins_with_a_dash():
    pieces = sse(delta("ok"), "[DONE]")
    with FakeDaemon({CHAT: stream_route(pieces)}) as fake:
        assert rekindle("run", "m", url=fake.url, stdin="two\nlines\n").code == 0
        assert rekindle("run", "m", "-", url=fake.url, stdin="dash").code == 0
        assert rekindle("run", "m", url=fake.url, stdin=b"\xff\xfe").code == 2
        assert rekindle("run", "m", "--", "--not an option", url=fake.url).code == 0
    asked = [json.loads(request[2])["messages"][-1]["content"] for request in fake.requests]
    assert asked == ["two\nlines", "dash", "--not an option"]


def test_run_raw_continues_a_text():
    pieces = sse({"choices": [{"text": " Paris", "finish_reason": None}]}, "[DONE]")
    with FakeDaemon({"POST /v1/completions": stream_route(pieces)}) as fake:
        assert rekindle("run", "m", "The capital is", "--raw", url=fake.url).stdout == " Paris\n"
    assert json.loads(fake.requests[0][2])["prompt"] == "The capital is"


@pytest.mark.parametrize("status, code", [(400, 5), (404, 3), (409, 5), (429, 5), (503, 5),
                                          (500, 1), (507, 1)])
def test_a_refused_request_says_why(status, code):
    with FakeDaemon({CHAT: json_route(error("because"), status)}) as fake:
        done = rekindle("run", "m", "hi", url=fake.url)
        assert (done.code, done.stdout, done.stderr) == (code, "", "rekindle: because\n")
        assert rekindle("run", "m", "hi", "--json", url=fake.url).code == code


@pytest.mark.parametrize("pieces, more, message", [
    (sse(delta("Hal"), error("the worker ended", "server_error")), {}, "the worker ended"),
    (sse(delta("Hal")), {}, "broke off"),
    (sse(delta("Hal")), {"whole": False}, "broke"),
    (sse(delta("Hal"), "{nonsense"), {}, "not a Rekindle daemon"),
])
def test_a_broken_answer_is_exit_code_1_after_what_came(pieces, more, message):
    with FakeDaemon({CHAT: stream_route(pieces, **more)}) as fake:
        done = rekindle("run", "m", "hi", url=fake.url)
    assert (done.code, done.stdout) == (1, "Hal\n")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_ctrl_c_ends_the_request_with_exit_code_130():
    gate = threading.Event()
    pieces = sse(delta("Hel"), delta("lo"), "[DONE]")
    with FakeDaemon({CHAT: stream_route(pieces, gate=gate)}) as fake:
        process = start_rekindle("run", "m", "hi", url=fake.url)
        assert process.stdout.read(5) == b"Hello"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        gate.set()
    assert (process.returncode, out, err) == (130, b"\n", b"rekindle: interrupted\n")


def test_a_reader_that_leaves_ends_the_request():
    gate = threading.Event()
    pieces = sse(*[delta("x" * 4096)] * 64, delta("end"))
    with FakeDaemon({CHAT: stream_route(pieces, gate=gate)}) as fake:
        process = start_rekindle("run", "m", "hi", url=fake.url)
        process.stdout.read(1)
        process.stdout.close()
        gate.set()
        assert process.wait(10) == -signal.SIGPIPE
        assert process.stderr.read() == b""
        process.stderr.close()


def test_models_and_ps_are_aligned_tables():
    disk = dict(DEPLOYMENT, name="cold-model", tier="disk", resident_bytes=0, worker_pid=0)
    busy = dict(DEPLOYMENT, name="b", active_requests=2, idle_ms=None,
                guesses={"computed": 8, "right": 5, "of_draft": 0, "of_draft_right": 0})
    answer = {"deployments": [DEPLOYMENT, disk, busy]}
    with FakeDaemon({"GET /admin/v1/deployments": json_route(answer)}) as fake:
        assert rekindle("models", url=fake.url).stdout.splitlines() == [
            "NAME        ARCHITECTURE      SIZE  CONTEXT  PRICE PER 1M IN / OUT  DEPLOYED (UTC)",
            "small       llama         93.8 MiB     2048  0.05 / 0.2 USD         2025-01-31 12:30",
            "cold-model  llama         93.8 MiB     2048  0.05 / 0.2 USD         2025-01-31 12:30",
            "b           llama         93.8 MiB     2048  0.05 / 0.2 USD         2025-01-31 12:30"]
        assert rekindle("ps", url=fake.url).stdout.splitlines() == [
            "NAME   TIER       MEMORY  REQUESTS  IDLE FOR  GUESSED   PID",
            "small  worker  100.0 MiB         0   1 m 5 s        -  4711",
            "b      worker  100.0 MiB         2      busy     62 %  4711"]
        assert "cold-model" in rekindle("ps", "--all", url=fake.url).stdout
        assert json.loads(rekindle("models", "--json", url=fake.url).stdout) == answer
        shown = json.loads(rekindle("ps", "--json", url=fake.url).stdout)
        assert [d["name"] for d in shown["deployments"]] == ["small", "b"]


def test_nothing_deployed_is_said_to_people_and_not_to_pipes():
    with FakeDaemon({"GET /admin/v1/deployments": json_route({"deployments": []})}) as fake:
        for verb in ["models", "ps"]:
            done = rekindle(verb, url=fake.url)
            assert done.code == 0 and done.stdout == "" and "no model" in done.stderr
            shown = json.loads(rekindle(verb, "--json", url=fake.url).stdout)
            assert shown["deployments"] == []


def test_usage_asks_for_the_time_and_shows_each_format():
    row = {"project": "default", "model": "small", "requests": 2, "prompt_tokens": 70,
           "cached_tokens": 0, "completion_tokens": 9, "forgiven_tokens": 0,
           "cost": "0.0000053", "currency": "USD"}
    usage = {"by": ["project", "model"], "rows": [row]}
    with FakeDaemon({"GET /admin/v1/usage": json_route(usage)}) as fake:
        table = rekindle("usage", "--since", "2025-01-31", "--until", "2025-02-01T00:00:00Z",
                         url=fake.url).stdout.splitlines()
        assert fake.requests[0][1] == ("/admin/v1/usage?since=1738281600000&by=project%2Cmodel"
                                       "&until=1738368000000")
        assert [line.split()[0] for line in table] == ["PROJECT", "default", "total"]
        csv = rekindle("usage", "--format", "csv", url=fake.url).stdout
        assert csv.splitlines()[1] == "default,small,2,70,0,9,0,0.0000053,USD"
        for arguments in [["--format", "json"], ["--json"]]:
            assert json.loads(rekindle("usage", *arguments, url=fake.url).stdout) == usage


def test_what_is_no_daemon_is_named_so():
    def page(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        handler.wfile.write(b"<html>")

    with FakeDaemon({"GET /admin/v1/deployments": page}) as fake:
        done = rekindle("models", url=fake.url)
    assert done.code == 1 and "not a Rekindle daemon" in done.stderr


def test_undeploy():
    def gone(handler):
        handler.send_response(204)
        handler.end_headers()

    with FakeDaemon({"DELETE /admin/v1/deployments/small": gone}) as fake:
        assert rekindle("undeploy", "small", url=fake.url).stdout == "undeployed small\n"
        assert rekindle("undeploy", "other", url=fake.url).code == 3
