"""What only shows after a while: kill loops and soaks. Not part of a plain run; `scripts/test --long`
runs them (`pytest -m long`), each for REKINDLE_LONG_SECONDS (default 300)."""

import os
import random
import signal
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from streams import STORY, Stream
from tools import Daemon, descendants, is_alive, poll

SECONDS = float(os.environ.get("REKINDLE_LONG_SECONDS", "300"))
SEED = int(os.environ.get("REKINDLE_LONG_SEED", str(random.randrange(1 << 32))))
CLIENTS = 6
RSS_GROWTH_MAX = 32 << 20  # RocksDB's write buffer fills meanwhile.

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS * 3 + 300)]


@pytest.fixture
def dice():
    print(f"REKINDLE_LONG_SEED={SEED}")
    return random.Random(SEED)


class Client(threading.Thread):
    """Asks one request after the other until told to stop, and remembers what it was given."""

    def __init__(self, daemon, models, seed):
        super().__init__(daemon=True)
        self.target, self.models, self.dice = daemon, models, random.Random(seed)
        self.leaving = threading.Event()
        self.streams = []  # (request id, tokens read, read to its end, hung up by us)
        self.wholes = []   # (request id, completion tokens)
        self.broken = 0    # Refused, failed or cut off.
        self.start()

    def run(self):
        while not self.leaving.is_set():
            try:
                self.dice.choice([self._stream, self._stream, self._whole])()
            except (requests.exceptions.RequestException, AssertionError):
                self.broken += 1
                self.leaving.wait(0.02)

    def _stream(self):
        tokens = self.dice.randint(1, 60)
        stream = Stream(self.target, tokens, model=self.dice.choice(self.models))
        hang_up = self.dice.random() < 0.3
        stream.read(self.dice.randint(1, tokens) if hang_up else None)
        if hang_up:
            stream.close()
        self.streams.append((stream.id, len(stream.tokens), stream.done, hang_up))

    def _whole(self):
        body = {"model": self.dice.choice(self.models), "messages": STORY, "temperature": 0,
                "max_tokens": self.dice.randint(1, 40), "ignore_eos": True}
        answer = requests.post(self.target.url + "/v1/chat/completions", json=body, timeout=60)
        assert answer.status_code == 200
        self.wholes.append((answer.headers["x-request-id"],
                            answer.json()["usage"]["completion_tokens"]))

    def stop(self):
        self.leaving.set()
        self.join(90)
        assert not self.is_alive(), "a request hangs"


def bill_of(daemon, request_id):
    answer = requests.get(f"{daemon.url}/admin/v1/requests/{request_id}", timeout=30)
    return answer.json() if answer.status_code == 200 else None


def check_bills(daemon, client):
    """Never more than was delivered; exactly that for what ended well; nothing for what we broke."""
    for request_id, tokens in client.wholes:
        assert bill_of(daemon, request_id)["billed"]["completion_tokens"] == tokens
    for request_id, tokens, done, hung_up in client.streams:
        bill = bill_of(daemon, request_id)
        billed = bill and bill["billed"]["completion_tokens"]
        if done:
            assert billed == tokens and bill["outcome"] == "completed"
        elif bill is None:
            assert tokens == 0  # Killed before its begin was written.
        elif bill["outcome"] == "failed":
            assert billed == 0 and bill["cost"] == "0"
        elif bill["outcome"] == "crashed":
            assert tokens - 1 <= billed <= tokens
        else:  # We hung up: what the kernel still held for us was delivered, too.
            assert hung_up and billed >= tokens


def checked_total(daemon, clients):
    for client in clients:
        check_bills(daemon, client)
    return sum(len(c.streams) + len(c.wholes) for c in clients)


def test_daemons_and_workers_that_are_killed_at_random_never_lose_or_invent_a_token(
        tmp_path, model_file, dice):
    daemon = Daemon(tmp_path / "data").start()
    daemon.deploy(model_file, "small")
    end = time.monotonic() + SECONDS
    rounds = requests_checked = 0
    while rounds < 5 or time.monotonic() < end:
        clients = [Client(daemon, ["small"], dice.random()) for _ in range(CLIENTS)]
        for _ in range(dice.randint(0, 2)):
            time.sleep(dice.uniform(0, 1))
            worker = daemon.ps("small")["worker_pid"]
            if worker:
                os.kill(worker, signal.SIGKILL)
        time.sleep(dice.uniform(0, 2))
        below = descendants(daemon.pid)
        daemon.stop(signal.SIGKILL)
        poll(lambda below=below: not any(map(is_alive, below)), "no orphan", 1.0)
        for client in clients:
            client.stop()
        daemon.start()
        requests_checked += checked_total(daemon, clients)
        rounds += 1
    print(f"{rounds} daemons killed, {requests_checked} requests checked")
    assert daemon.stop() == 0


def resources(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        rss = next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


def test_hours_of_work_do_not_grow_the_daemon(tmp_path, model_file, dice):
    with Daemon(tmp_path / "data", "--idle", "300ms") as daemon:
        for name in ["one", "two", "three"]:
            daemon.deploy(model_file, name)
        clients = [Client(daemon, ["one", "two", "three"], dice.random()) for _ in range(CLIENTS)]
        samples = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(SECONDS / 60)
            samples.append(resources(daemon.pid)[0])
            if dice.random() < 0.3:  # A pause: models go to zero.
                time.sleep(0.5)
        for client in clients:
            client.stop()
        third = len(samples) // 3
        early = statistics.median(samples[third:2 * third])
        late = statistics.median(samples[2 * third:])
        checked = checked_total(daemon, clients)
        print(f"{checked} requests, anonymous memory {early / 2**20:.1f} MiB -> "
              f"{late / 2**20:.1f} MiB")
        assert sum(client.broken for client in clients) == 0
        assert late - early <= RSS_GROWTH_MAX
        for name in ["one", "two", "three"]:
            poll(lambda name=name: daemon.ps(name)["worker_pid"] == 0, "at zero again")
        assert sum(r["requests"] for r in daemon.usage().values()) == checked
        # Only listeners, the ledger's files and the pool are open.
        poll(lambda: resources(daemon.pid)[1] <= 64, "descriptors are closed")


def test_deployments_that_come_and_go_under_load_drop_no_request(tmp_path, model_file, dice):
    with Daemon(tmp_path / "data") as daemon:
        daemon.deploy(model_file, "small", "--price-output", "1")
        clients = [Client(daemon, ["small"], dice.random()) for _ in range(3)]
        end = time.monotonic() + SECONDS / 2
        deployed = 0
        while deployed < 3 or time.monotonic() < end:
            daemon.deploy(model_file, "small", "--price-output", str(2 + deployed))
            daemon.deploy(model_file, "other")
            assert daemon.cli("undeploy", "other").code == 0
            deployed += 1
        for client in clients:
            client.stop()
        print(f"{deployed} deployments, {checked_total(daemon, clients)} requests")
        assert sum(client.broken for client in clients) == 0


def test_two_hundred_clients_at_once_are_all_served_or_told_to_wait(tmp_path, model_file):
    with Daemon(tmp_path / "data") as daemon:
        daemon.deploy(model_file, "small")

        def one(i):
            body = {"model": "small", "messages": STORY, "max_tokens": 4, "seed": i}
            return requests.post(daemon.url + "/v1/chat/completions", json=body, timeout=120)

        with ThreadPoolExecutor(200) as pool:
            statuses = [answer.status_code for answer in pool.map(one, range(1000))]
        assert set(statuses) <= {200, 429, 503}
        served = statuses.count(200)
        assert sum(r["requests"] for r in daemon.usage().values()) == served > 0
