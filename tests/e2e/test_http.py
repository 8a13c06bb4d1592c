"""What every HTTP client sees: statuses, error objects, headers, curl."""

import json
import subprocess
import uuid

import openai
import pytest
import requests

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}


def post(shared, path, body, **more):
    data = body if isinstance(body, bytes) else json.dumps(body)
    return requests.post(shared.url + path, data=data, timeout=60,
                         headers={"Content-Type": "application/json"}, **more)


def assert_error(answer, status, param=None, code=None, word=""):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and "\n" not in error["message"]
    assert word in error["message"]
    if param is not None:
        assert error["param"] == param
    if code is not None:
        assert error["code"] == code


@pytest.mark.parametrize("body", [
    b"", b"{", b"nonsense", b"[1]", b'"text"', b'{"model": "small",}', b'{"a":1,"a":2}',
    b'{"model": "small", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    b"[" * 100_000,
])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_body_that_is_not_json(shared, path, body):
    assert_error(post(shared, path, body), 400)


@pytest.mark.parametrize("change, param", [
    ({"model": 7}, "model"), ({"model": None}, "model"), ({"messages": "Hi"}, "messages"),
    ({"messages": []}, "messages"), ({"messages": [7]}, None),
    ({"messages": [{"role": "king", "content": "Hi"}]}, None),
    ({"messages": [{"role": "user", "content": 7}]}, None),
    ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"), ({"max_tokens": "5"}, "max_tokens"),
    ({"temperature": -0.1}, "temperature"), ({"temperature": 2.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"), ({"top_p": 0}, "top_p"), ({"top_p": 1.1}, "top_p"),
    ({"seed": "x"}, "seed"), ({"stop": 7}, "stop"), ({"stop": [""]}, "stop"),
    ({"stream": "yes"}, "stream"), ({"stream_options": {}}, "stream_options"),
    ({"logprobs": 3}, "logprobs"), ({"top_logprobs": 5}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"), ({"ignore_eos": 1}, "ignore_eos"),
    ({"n": 2}, "n"), ({"tools": [{}]}, "tools"), ({"no_such_field": 1}, "no_such_field"),
])
def test_a_field_of_the_wrong_kind_is_named(shared, change, param):
    assert_error(post(shared, "/v1/chat/completions", {**CHAT, **change}), 400, param)


@pytest.mark.parametrize("prompt", [7, [], [-1], [1.5], ["a", "b"], {"a": 1}, [[1], [2]],
                                    [999_999_999]])
def test_a_prompt_of_the_wrong_kind(shared, prompt):
    answer = post(shared, "/v1/completions", {"model": "small", "prompt": prompt})
    assert_error(answer, 400, "prompt")


def test_an_unknown_model_is_404_in_openai_form(shared, client):
    for path, body in [("/v1/chat/completions", {**CHAT, "model": "gpt-9"}),
                       ("/v1/completions", {"model": "gpt-9", "prompt": "a"})]:
        assert_error(post(shared, path, body), 404, "model", "model_not_found", "gpt-9")
    with pytest.raises(openai.NotFoundError) as failure:
        client.chat.completions.create(model="gpt-9", messages=CHAT["messages"])
    assert failure.value.code == "model_not_found"
    assert_error(requests.get(shared.url + "/v1/models/gpt-9", timeout=10), 404)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_over_the_context_length(shared, stream):
    context = shared.ps("small")["context"]
    words = "word " * (context + 1)
    for path, body, param in [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": words}]}, "messages"),
        ("/v1/completions", {"prompt": words}, "prompt"),
    ]:
        answer = post(shared, path, {"model": "small", "stream": stream, **body})
        assert_error(answer, 400, param, "context_length_exceeded", str(context))


def test_unknown_paths_and_methods(shared):
    assert_error(requests.get(shared.url + "/v1/nothing", timeout=10), 404)
    wrong = requests.get(shared.url + "/v1/chat/completions", timeout=10)
    assert_error(wrong, 405)
    assert "POST" in wrong.headers["allow"]


def test_every_answer_has_a_request_id(shared):
    seen = set()
    for answer in [post(shared, "/v1/chat/completions", CHAT),
                   post(shared, "/v1/chat/completions", {}),
                   requests.get(shared.url + "/v1/models", timeout=10),
                   requests.get(shared.url + "/nothing", timeout=10)]:
        request_id = answer.headers["x-request-id"]
        assert request_id.startswith("req_") and len(request_id) == 36
        seen.add(request_id)
    assert len(seen) == 4


@pytest.mark.parametrize("stream", [False, True])
def test_server_timing_tells_where_the_time_went(shared, stream):
    answer = post(shared, "/v1/chat/completions", {**CHAT, "stream": stream})
    entries = dict(part.strip().split(";dur=") for part in
                   answer.headers["server-timing"].split(","))
    wanted = {"queue", "restore", "first-layer", "prefill"} | (set() if stream else {"decode"})
    assert set(entries) == wanted
    assert all(float(value) >= 0 for value in entries.values())
    assert float(entries["prefill"]) > 0
    if stream:
        assert "decode;dur=" in answer.text  # In the stream's last comment.


def test_a_stream_ends_with_exactly_one_done(shared):
    answer = post(shared, "/v1/chat/completions", {**CHAT, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line for line in answer.text.split("\n\n") if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]" and events.count("data: [DONE]") == 1
    for event in events[:-1]:
        json.loads(event.removeprefix("data: "))


def test_any_key_is_accepted_while_none_exists(shared):
    for headers in [{}, {"Authorization": "Bearer " + uuid.uuid4().hex}]:
        answer = requests.post(shared.url + "/v1/chat/completions", json=CHAT, headers=headers,
                               timeout=60)
        assert answer.status_code == 200


def test_curl_streams(shared):
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--no-buffer", "--fail-with-body",
         shared.url + "/v1/chat/completions", "--json", json.dumps({**CHAT, "stream": True})],
        capture_output=True, timeout=60, check=True)
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("data: {") and "data: [DONE]" in lines


def test_health_and_the_admin_api_of_a_node(shared):
    node = requests.get(shared.url + "/admin/v1/node", timeout=10).json()
    assert node["data_folder"] == str(shared.data) and node["draining"] is False
    assert node["admin_socket"] == str(shared.data / "admin.sock")
    assert node["version"] == shared.cli("--version").stdout.split()[1]
    one = requests.get(shared.url + "/admin/v1/deployments/small", timeout=10).json()
    assert one["name"] == "small" and one["architecture"] == "llama"
    price = one["price"]
    assert price.pop("currency") == "USD"
    assert {key: float(text) for key, text in price.items()} == {
        "input": 0.05, "output": 0.2, "cached": 0.01}
    assert_error(requests.get(shared.url + "/admin/v1/deployments/none", timeout=10), 404)
    assert_error(requests.get(shared.url + "/admin/v1/usage?by=colour", timeout=10), 400)
    assert_error(requests.get(shared.url + "/admin/v1/requests/req_" + "0" * 32, timeout=10), 404)
