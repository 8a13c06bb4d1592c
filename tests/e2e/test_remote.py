"""Models from elsewhere: files by HTTP, hubs and S3; images pushed and pulled."""

import concurrent.futures
import datetime
import hashlib
import ipaddress
import json
import pathlib
import shutil
import ssl
import threading

import boto3
import openai
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.server import ThreadedMotoServer
from remote_places import FileServer
from tools import Daemon, poll

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/of+moto",
        "AWS_REGION": "eu-central-1"}


@pytest.fixture
def web(tmp_path, model_file):
    folder = tmp_path / "www"
    folder.mkdir()
    shutil.copy(model_file, folder / "m.gguf")
    with FileServer(folder) as server:
        yield server


@pytest.fixture
def bucket(monkeypatch):
    """An S3 server with the bucket `models`; rekindleds that start later know it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    store = boto3.client("s3", region_name=KEYS["AWS_REGION"], endpoint_url=f"http://{host}:{port}")
    store.create_bucket(Bucket="models", CreateBucketConfiguration={
        "LocationConstraint": KEYS["AWS_REGION"]})
    yield store
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=10)  # It is of this process.
    server.stop()


def answer(daemon, name="small"):
    done = daemon.client().chat.completions.create(
        model=name, messages=[{"role": "user", "content": "Count to five."}], max_tokens=8,
        temperature=0)
    return done.choices[0].message.content


def downloads(daemon):
    folder = daemon.data / "downloads"
    return list(folder.iterdir()) if folder.exists() else []


def test_a_file_is_fetched_and_serves_as_a_local_one(daemon, web, model_file):
    done = daemon.cli("deploy", web.url + "/m.gguf?download=1", "--name", "small")
    assert done.code == 0, done
    assert "fetch" in done.stderr
    fetched = daemon.json("describe", "small")
    assert downloads(daemon) == []
    daemon.deploy(model_file, "local")
    assert daemon.json("describe", "local")["image"] == fetched["image"]
    assert answer(daemon) == answer(daemon, "local")


def test_a_manifest_may_name_an_address(daemon, web, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(f"rekindle: 1\nname: small\nmodel: {web.url}/m.gguf\n")
    assert daemon.cli("deploy", file).code == 0
    assert answer(daemon)
    assert "dry run" in daemon.cli("deploy", file, "--dry-run").stderr


def test_a_cut_transfer_goes_on_where_it_was_cut(daemon, web):
    cuts = []

    def cut(handler, file):
        if len(cuts) < 3:
            cuts.append(handler.headers.get("Range"))
            handler.send(file.read_bytes(), cut=20_000_000)
            return True
        return False

    web.fault = cut
    daemon.deploy(web.url + "/m.gguf", "small")
    assert cuts[0] is None
    assert all(int(c.removeprefix("bytes=").removesuffix("-")) > 0 for c in cuts[1:])
    assert answer(daemon)


def test_a_fetch_that_failed_goes_on_with_the_next_deploy(daemon, web):
    first = []

    def fail(handler, file):
        if first:
            handler.refuse(404)
        else:
            first.append(True)
            handler.send(file.read_bytes(), cut=30_000_000)
        return True

    web.fault = fail
    done = daemon.cli("deploy", web.url + "/m.gguf", "--name", "small")
    assert done.code == 3, done  # As if it had not been there from the beginning.
    assert "no such object" in done.stderr
    assert len(downloads(daemon)) == 2
    web.fault = None
    daemon.stop()
    daemon.start()
    daemon.deploy(web.url + "/m.gguf", "small")
    assert "Range" in web.requests[-1][1]
    assert downloads(daemon) == []
    assert answer(daemon)


def test_a_digest_is_compared(daemon, web, model_file):
    digest = hashlib.sha256(pathlib.Path(model_file).read_bytes()).hexdigest()
    wrong = daemon.cli("deploy", f"{web.url}/m.gguf#sha256={'0' * 64}", "--name", "small")
    assert wrong.code == 5, wrong
    assert "pinned" in wrong.stderr
    assert daemon.json("models")["deployments"] == []
    daemon.deploy(f"{web.url}/m.gguf#sha256={digest}", "small")
    assert daemon.cli("deploy", f"{web.url}/m.gguf#md5=1", "--name", "x").code == 2


@pytest.mark.parametrize("status", [403, 500])
def test_a_refusal_is_told_with_what_to_do(daemon, web, status):
    web.fault = lambda handler, file: (handler.refuse(status), True)[1]
    done = daemon.cli("deploy", web.url + "/m.gguf?sig=hidden", "--name", "small")
    assert done.code == 5, done
    assert str(status) in done.stderr and "hidden" not in done.stderr
    assert daemon.json("models")["deployments"] == []


def test_garbage_is_no_model(daemon, web):
    (web.folder / "m.gguf").write_bytes(b"<html>Please log in</html>" * 1000)
    done = daemon.cli("deploy", web.url + "/m.gguf", "--name", "small")
    assert done.code == 5, done
    assert downloads(daemon) == []


def test_a_hub_is_asked_with_its_token(tmp_path, web, monkeypatch):
    target = web.folder / "org/model/resolve/v1/q4/m.gguf"
    target.parent.mkdir(parents=True)
    (web.folder / "m.gguf").rename(target)

    def guard(handler, file):
        if handler.headers.get("Authorization") != "Bearer hf_secret":
            handler.refuse(401)
            return True
        return False

    web.fault = guard
    token = tmp_path / "token"
    token.write_text("hf_wrong\n")
    flags = ["--hub-url", web.url, "--hub-token-file", token]
    with Daemon(tmp_path / "hub", *flags) as daemon:
        address = "hf://org/model@v1/q4/m.gguf"
        done = daemon.cli("deploy", address, "--name", "small")
        assert done.code == 5, done
        assert "hub_token_file" in done.stderr
        token.write_text("hf_secret\n")  # Read anew.
        daemon.deploy(address, "small")
        assert answer(daemon)
        assert not any("hf_secret" in line for line in daemon.log)


def certificate(folder):
    """A certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def test_a_certificate_is_verified(tmp_path, model_file, monkeypatch):
    cert, key = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    (tmp_path / "www").mkdir()
    shutil.copy(model_file, tmp_path / "www/m.gguf")
    with FileServer(tmp_path / "www", tls) as server:
        with Daemon(tmp_path / "strict") as daemon:
            done = daemon.cli("deploy", server.url + "/m.gguf", "--name", "small")
            assert done.code == 5, done
            assert "certificate is not trusted" in done.stderr
            assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with Daemon(tmp_path / "trusting") as daemon:
            daemon.deploy(server.url + "/m.gguf", "small")
            assert answer(daemon)


def test_an_image_travels_through_a_bucket(tmp_path, model_file, bucket):
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        one.deploy(model_file, "small", "--price-input", "0.05")
        pushed = one.json("push", "small", "s3://models/prod/eu")
        assert pushed["chunks_moved"] == pushed["chunks"] > 10
        assert one.json("push", "small", "s3://models/prod/eu", "--as", "b")["chunks_moved"] == 0
        pulled = two.json("pull", "s3://models/prod/eu", "small")
        assert pulled["chunks_moved"] == pushed["chunks"]
        assert two.json("pull", "s3://models/prod/eu", "b", "--as", "other")["chunks_moved"] == 0
        assert answer(one) == answer(two) == answer(two, "other")
        shown = {d["name"]: d for d in two.json("models")["deployments"]}
        assert shown["small"]["image"] == one.json("models")["deployments"][0]["image"]
        assert shown["small"]["price"]["input"] == "0.05"
        log = "".join(one.log + two.log)
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in log and "AKIAEXAMPLE" not in log


def test_a_model_file_comes_from_a_bucket(tmp_path, model_file, bucket):
    with Daemon(tmp_path / "data") as daemon:
        file = tmp_path / "m.yaml"
        bucket.upload_file(model_file, "models", "files/m.gguf")
        file.write_text("rekindle: 1\nname: small\nmodel: s3://models/files/m.gguf\n")
        assert daemon.cli("deploy", file).code == 0
        assert answer(daemon)
        done = daemon.cli("deploy", "s3://models/files/none.gguf", "--name", "none")
        assert done.code == 3, done
        done = daemon.cli("deploy", "s3://absent/m.gguf", "--name", "none")
        assert done.code == 3, done


def test_an_image_travels_through_a_folder_that_a_web_server_shows(tmp_path, model_file):
    place = tmp_path / "place"
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two, \
            FileServer(place) as web:
        one.deploy(model_file, "small")
        moved = one.json("push", "small", place)["chunks_moved"]
        assert two.json("pull", web.url, "small")["chunks_moved"] == moved
        assert answer(one) == answer(two)
        assert two.cli("push", "small", web.url).code == 5
        assert two.cli("pull", place, "absent").code == 3


def test_a_folder_is_taken_over_the_admin_socket_alone(tmp_path, small):
    answered = requests.post(small.url + "/admin/v1/push", timeout=10,
                             json={"model": "small", "remote": f"file://{tmp_path}/place"})
    assert answered.status_code == 403
    assert not (tmp_path / "place").exists()


def test_a_damaged_chunk_is_not_stored_and_the_pull_goes_on_later(tmp_path, model_file):
    place = tmp_path / "place"
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        one.deploy(model_file, "small")
        moved = one.json("push", "small", place)["chunks_moved"]
        chunk = sorted((place / "chunks").rglob("*.zst"))[moved // 2]
        whole = chunk.read_bytes()
        chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        done = two.cli("pull", place, "small")
        assert done.code == 5, done
        assert chunk.stem in done.stderr and "push the image again" in done.stderr
        assert two.json("models")["deployments"] == []
        chunk.unlink()
        assert one.json("push", "small", place)["chunks_moved"] == 1
        again = two.json("pull", place, "small")
        assert 0 < again["chunks_moved"] < moved
        assert answer(one) == answer(two)


def test_a_disk_that_fills_up_while_pulling(tmp_path, little_disk, model_file, good_file):
    place = tmp_path / "place"
    with Daemon(tmp_path / "one") as one, Daemon(little_disk / "data") as two:
        one.deploy(model_file, "small")
        one.json("push", "small", place)
        two.deploy(good_file, "tiny")
        before = two.json("gc")["bytes_kept"]
        done = two.cli("pull", place, "small")
        assert done.code == 1 and "space" in done.stderr, done
        # What was there works on, and nothing half of the image is served.
        assert [d["name"] for d in two.json("models")["deployments"]] == ["tiny"]
        text = two.client().completions.create(model="tiny", prompt="a", max_tokens=2,
                                               extra_body={"ignore_eos": True})
        assert text.usage.completion_tokens == 2
        # What had arrived waits for the next pull, and is garbage once something else was stored.
        two.deploy(good_file, "second")
        assert two.json("gc")["bytes_kept"] == before


def test_a_pulled_image_waits_for_its_deployment(tmp_path, model_file):
    place = tmp_path / "place"
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        one.deploy(model_file, "small")
        image = one.json("push", "small", place)["image"].removeprefix("sha256:")
        assert two.cli("pull", place, "small", "--no-deploy").code == 0
        two.stop()
        two.start()
        kept = two.json("gc")
        assert (kept["images"], kept["kept"], kept["bytes_freed"]) == ([], [image], 0)
        assert f"kept sha256:{image}" in two.cli("gc").stdout
        assert two.json("pull", place, "small")["chunks_moved"] == 0  # Nothing was lost.
        assert answer(two)
        assert two.json("gc")["kept"] == []  # It is deployed.
        assert two.cli("undeploy", "small").code == 0
        assert two.cli("pull", place, "small", "--no-deploy").code == 0
        assert two.json("gc", "--pulled", "--dry-run")["images"] == [image]
        assert two.json("gc", "--pulled")["bytes_freed"] > 90e6
        mark = two.data / "pulled" / image
        assert not mark.exists()
        assert two.cli("pull", place, "small", "--no-deploy").code == 0
        mark.write_text(str(int(mark.read_text()) - 7 * 86400))
        assert two.json("gc")["images"] == [image]  # A week has passed.


def test_a_wrong_name_record_is_refused(tmp_path, small):
    place = tmp_path / "place"
    (place / "names").mkdir(parents=True)
    for text in ["", "{}", json.dumps({"rekindle_name": 1, "image": "sha256:" + "0" * 63})]:
        (place / "names/bad.json").write_text(text)
        done = small.cli("pull", place, "bad")
        assert done.code == 5, done
    (place / "names/bad.json").write_text(
        json.dumps({"rekindle_name": 1, "image": "sha256:" + "0" * 64}))
    assert small.cli("pull", place, "bad").code == 3


class Gate:
    """Chunks that a web server holds back until it is told to give them, after the first few."""

    def __init__(self, web, given):
        self.open, self.given, self.asked = threading.Event(), given, []
        self.lock = threading.Lock()
        web.fault = self

    def __call__(self, handler, file):
        if "/chunks/" not in handler.path:
            return False
        with self.lock:
            self.asked.append(handler.path)
            held = len(self.asked) > self.given
        return held and not self.open.wait(60)


@pytest.fixture
def place(tmp_path, model_file):
    """A pushed image on a web server, with its node's answer and its number of chunks."""
    with Daemon(tmp_path / "from") as one:
        one.deploy(model_file, "small")
        chunks = one.json("push", "small", tmp_path / "place")["chunks"]
        said = answer(one)
    with FileServer(tmp_path / "place") as web:
        web.said, web.chunks = said, chunks
        yield web


def complete(daemon):
    return poll(lambda: daemon.ps("small")["arriving"] is None, "the image is here")


def test_a_model_serves_while_its_chunks_arrive(daemon, place):
    gate = Gate(place, given=0)
    pulled = daemon.json("pull", place.url, "small", "--serve")
    assert pulled["arriving"] and pulled["deployment"]["name"] == "small"
    state = daemon.ps("small")
    assert state["restoring"] and state["arriving"]["remote"] == place.url
    assert state["arriving"]["bytes_here"] < state["arriving"]["bytes"]
    assert " %" in daemon.cli("ps", "--all").stdout
    asked = concurrent.futures.ThreadPoolExecutor().submit(answer, daemon)
    assert not asked.done()
    gate.open.set()
    assert asked.result(60) == place.said
    complete(daemon)
    assert len(gate.asked) == place.chunks  # Each once.
    daemon.json("cool", "small", "--to", "disk")
    place.fault = lambda handler, file: (handler.refuse(404), True)[1]
    assert answer(daemon) == place.said


def test_a_model_that_is_not_called_comes_from_afar_with_its_first_question(daemon, place):
    gate = Gate(place, given=0)
    daemon.json("pull", place.url, "small", "--serve")
    daemon.json("cool", "small", "--wait", "10s")
    gate.open.set()
    assert answer(daemon) == place.said


@pytest.mark.parametrize("wrong", ["404", "500", "garbage", "cut"])
def test_a_chunk_that_does_not_come_fails_the_question_with_its_reason(daemon, place, wrong):
    def spoil(handler, file):
        if "/chunks/" not in handler.path or len(gone) < 10:
            gone.append(handler.path)
            return False
        if wrong.isdigit():
            handler.refuse(int(wrong))
        else:
            data = file.read_bytes()
            handler.send(data[:-1] + bytes([data[-1] ^ 1]), cut=0 if wrong == "cut" else None)
        return True

    gone = []
    place.fault = spoil
    assert daemon.cli("pull", place.url, "small", "--serve").code == 0
    with pytest.raises(openai.APIStatusError) as refused:
        answer(daemon)
    text = {"404": "no such object", "500": "500", "garbage": "is not it", "cut": "cut"}[wrong]
    assert text in str(refused.value), refused.value
    assert "chunk" in str(refused.value)
    poll(lambda: daemon.ps("small")["arriving"]["problem"], "the reason is shown")
    place.fault = None
    assert answer(daemon) == place.said
    complete(daemon)
    assert daemon.json("verify")["faults"] == []


def test_a_restart_goes_on_with_what_is_here(daemon, place):
    gate = Gate(place, given=place.chunks - 2)
    daemon.json("pull", place.url, "small", "--serve")
    poll(lambda: len(gate.asked) >= place.chunks, "all but two are here")
    daemon.stop()
    gate.open.set()
    daemon.start()
    complete(daemon)
    assert answer(daemon) == place.said
    assert len(gate.asked) <= place.chunks + 2 + 8  # Those that a connection was busy with.
    assert list((daemon.data / "arriving").iterdir()) == []


def test_a_model_that_goes_ends_its_arrival(daemon, place):
    gate = Gate(place, given=3)
    daemon.json("pull", place.url, "small", "--serve")
    poll(lambda: len(gate.asked) > 3, "chunks are under way")
    assert daemon.cli("undeploy", "small").code == 0
    gate.open.set()
    assert list((daemon.data / "arriving").iterdir()) == []
    assert daemon.json("models")["deployments"] == []
    assert len(gate.asked) <= 3 + 8  # Of 39: what eight connections had asked for before.
    assert daemon.cli("pull", place.url, "small", "--serve", "--no-deploy").code == 2
