"""Keys and administration: who may ask for what, and whom it is billed to."""

import json
import re

import openai
import pytest
import requests
from streams import Stream
from tools import Daemon, refused_start, rekindle

KEY = re.compile(r"rekindle_[a-z2-7]{10}_[a-z2-7]{58}")


def by_socket(daemon, *arguments, **more):
    return rekindle(*arguments, url=f"unix://{daemon.data}/admin.sock", **more)


def make_key(daemon, *arguments):
    done = by_socket(daemon, "keys", "create", *arguments)
    assert done.code == 0 and KEY.fullmatch(done.stdout.strip()), done
    return done.stdout.strip()


def id_of(key):
    return key.split("_")[1]


def client_with(daemon, key):
    return openai.OpenAI(base_url=daemon.url + "/v1", api_key=key, max_retries=0, timeout=60)


def ask(daemon, key, tokens):
    return client_with(daemon, key).completions.create(
        model="small", prompt="Once upon", max_tokens=tokens, temperature=0,
        extra_body={"ignore_eos": True}).usage


def status(daemon, path, key=None, **headers):
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return requests.get(daemon.url + path, headers=headers, timeout=10).status_code


def rows_by(daemon, by):
    done = by_socket(daemon, "usage", "--by", by, "--json")
    assert done.code == 0, done
    return {tuple(row[name] for name in by.split(",")): row
            for row in json.loads(done.stdout)["rows"]}


def test_each_project_is_billed_for_its_own_keys(small):
    one = make_key(small, "--project", "one")
    also_one = make_key(small, "--project", "one")
    two = make_key(small, "--project", "two", "--organization", "acme")
    ask(small, one, 3)
    ask(small, also_one, 4)
    ask(small, two, 5)
    ask(small, two, 6)
    rows = rows_by(small, "organization,project,key")
    assert {key: row["completion_tokens"] for key, row in rows.items()} == {
        ("default", "one", id_of(one)): 3, ("default", "one", id_of(also_one)): 4,
        ("acme", "two", id_of(two)): 11}
    assert rows["acme", "two", id_of(two)]["requests"] == 2
    assert {name: row["completion_tokens"] for (name,), row in rows_by(small, "project").items()
            } == {"one": 7, "two": 11}


def test_without_a_good_key_the_client_is_told(daemon):
    key = make_key(daemon, "--project", "p")
    with pytest.raises(openai.AuthenticationError) as caught:
        client_with(daemon, "sk-of-somewhere-else").models.list()
    assert caught.value.code == "invalid_api_key" and "somewhere" not in str(caught.value)
    assert status(daemon, "/v1/models") == 401
    assert list(client_with(daemon, key).models.list()) == []
    daemon.wait_ready()
    assert status(daemon, "/health") == status(daemon, "/readyz") == 200
    assert requests.get(daemon.url + "/v1/models", headers={"api-key": key}, timeout=9).ok
    assert requests.get(daemon.url + "/v1/models", headers={"x-api-key": key}, timeout=9).ok


def test_admin_routes_ask_for_an_admin_key_once_there_is_any_key(daemon):
    assert status(daemon, "/admin/v1/node") == 200
    user = make_key(daemon, "--project", "p")
    assert status(daemon, "/admin/v1/node") == 401
    assert status(daemon, "/admin/v1/node", user) == 403
    admin = make_key(daemon, "--project", "p", "--admin")
    assert status(daemon, "/admin/v1/node", admin) == 200
    assert status(daemon, "/admin/v1/node", admin, Origin="https://evil.example") == 403
    refused = daemon.cli("ps")
    assert refused.code == 5 and "admin key" in refused.stderr
    assert daemon.cli("ps", env={"REKINDLE_API_KEY": admin}).code == 0
    assert by_socket(daemon, "ps").code == 0


def test_without_keys_only_this_machines_names_are_answered(daemon):
    assert status(daemon, "/v1/models", Host="localhost") == 200
    assert status(daemon, "/v1/models", Host="evil.example") == 403
    assert status(daemon, "/v1/models", Origin="https://evil.example") == 403
    assert status(daemon, "/admin/v1/node", Host="evil.example") == 403


def test_a_revoked_key_opens_nothing_more_but_its_running_answer_ends(small):
    key = make_key(small, "--project", "p")
    running = Stream(small, key=key, max_tokens=48).read(tokens=2)
    done = by_socket(small, "keys", "revoke", id_of(key))
    assert done.code == 0 and id_of(key) in done.stdout
    with pytest.raises(openai.AuthenticationError, match="revoked"):
        ask(small, key, 3)
    running.read()
    assert running.done and len(running.tokens) == 48
    assert by_socket(small, "keys", "revoke", "aaaaaaaaaa").code == 3
    small.stop()
    small.start()
    assert status(small, "/v1/models", key) == 401
    assert rows_by(small, "key")[id_of(key),]["completion_tokens"] == 48


def test_a_key_expires(daemon):
    make_key(daemon, "--project", "p", "--expires", "30d")
    (key,) = json.loads(by_socket(daemon, "keys", "list", "--json").stdout)["keys"]
    assert key["expires"] - key["created"] == 30 * 24 * 3600 and key["state"] == "active"
    assert by_socket(daemon, "keys", "create", "--project", "p", "--expires", "soon").code == 2
    assert by_socket(daemon, "keys", "create", "--project", "p", "--expires", "9999d").code == 5


def test_an_address_of_others_answers_to_keys_alone(tmp_path):
    with Daemon(tmp_path / "data", listen="0.0.0.0:0") as daemon:
        assert status(daemon, "/v1/models") == status(daemon, "/admin/v1/node") == 401
        assert status(daemon, "/health") == 200
        assert sum("no_keys" in line for line in daemon.log) == 1
        key = make_key(daemon, "--project", "p", "--admin")
        assert status(daemon, "/v1/models", key) == status(daemon, "/admin/v1/node", key) == 200
        assert status(daemon, "/v1/models", key, Host="api.example") == 200


def test_no_secret_is_written_anywhere(small):
    keys = [make_key(small, "--project", "p"), make_key(small, "--project", "p", "--admin")]
    for key in keys:
        ask(small, key, 2)
        status(small, "/v1/models", key + "x")
        status(small, "/nowhere", key)
        status(small, f"/v1/models/{key}", key)
        by_socket(small, "keys", "list")
    by_socket(small, "keys", "revoke", id_of(keys[0]))
    status(small, "/v1/models", keys[0])
    files = [path for path in small.data.rglob("*") if path.is_file()]
    log = "".join(small.log)
    small.stop()
    log += "".join(small.log)
    for key in keys:
        secret = key.split("_")[2]
        assert secret not in log
        for path in files:
            assert not path.exists() or secret.encode() not in path.read_bytes(), path
    assert {path.stat().st_mode & 0o777 for path in (small.data / "keys").iterdir()} == {0o600}


def test_the_command_line_takes_a_key_from_a_file_or_the_environment(small, tmp_path):
    made = by_socket(small, "keys", "create", "--project", "p", "--name", "laptop")
    key = made.stdout.strip()
    assert id_of(key) in made.stderr and key not in made.stderr
    assert by_socket(small, "keys", "create", "--project", "p", "--quiet").stderr == ""
    file = tmp_path / "key"
    file.write_text(key + "\n")
    options = ["run", "small", "Hi", "--max-tokens", "2"]
    assert small.cli(*options).code == 5
    assert small.cli(*options, "--key-file", file).code == 0
    assert small.cli(*options, env={"REKINDLE_API_KEY": key}).code == 0
    wrong = small.cli(*options, env={"REKINDLE_API_KEY": "two words"})
    assert wrong.code == 2 and "words" not in wrong.stderr
    assert small.cli(*options, "--key-file", tmp_path / "none").code == 3
    table = by_socket(small, "keys", "list").stdout
    row = next(line for line in table.splitlines() if id_of(key) in line)
    assert "laptop" in row and "active" in row and key not in table
    assert small.cli("keys").code == 2


def test_a_damaged_key_file_stops_the_start_and_is_named(daemon):
    make_key(daemon, "--project", "p")
    daemon.stop()
    file = daemon.data / "keys" / "keys.json"
    file.write_text(file.read_text()[:-9])
    assert "keys.json" in refused_start(daemon.data)
