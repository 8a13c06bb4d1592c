"""Running the programs, and waiting for what must become true."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import typing

import openai
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("REKINDLE_BIN", ROOT / "build/release/bin"))
MODEL_FILE = os.environ.get("REKINDLE_TEST_MODEL", "")
DEADLINE_S = 20.0  # For what happens within milliseconds on an idle machine.


def poll(check, what, seconds=DEADLINE_S):
    """The first true result of `check`, which is asked again until the deadline."""
    end = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


class Done(typing.NamedTuple):
    code: int
    stdout: str
    stderr: str


def command_environment(url, env):
    full = {**os.environ, **(env or {})}
    full.pop("REKINDLE_URL", None)
    if not env or "REKINDLE_API_KEY" not in env:
        full.pop("REKINDLE_API_KEY", None)
    if url is not None:
        full["REKINDLE_URL"] = url
    return full


def rekindle(*arguments, url=None, stdin=b"", env=None, seconds=120) -> Done:
    """Runs the command line to its end."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([BIN / "rekindle", *map(str, arguments)], input=data, timeout=seconds,
                          capture_output=True, env=command_environment(url, env), check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def start_rekindle(*arguments, url=None):
    """Starts the command line with pipes."""
    return subprocess.Popen([BIN / "rekindle", *map(str, arguments)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=command_environment(url, None))


def processes():
    """(pid, parent, name) of every process but zombies."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)", stat, re.S).groups()
        state, parent = rest.split()[:2]
        if state not in "ZX":
            found.append((int(entry.name), int(parent), name))
    return found


def is_alive(pid):
    return any(pid == p for p, _, _ in processes())


def descendants(pid):
    """Pids of all processes below `pid`."""
    everything = processes()
    found, frontier = [], {pid}
    while frontier:
        frontier = {p for p, parent, _ in everything if parent in frontier}
        found += frontier
    return found


def refused_start(data):
    """What a rekindled that can't start on `data` says."""
    done = subprocess.run([BIN / "rekindled", "--data-dir", data, "--listen", "127.0.0.1:0"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done
    return done.stderr


class Daemon:
    """A rekindled of its own, on a free port. `data` outlives it: start() may be called again."""

    def __init__(self, data, *flags, listen="127.0.0.1:0", programs=None):
        self.data = pathlib.Path(data)
        self.flags = ["--listen", listen, *flags]
        self.programs = programs  # Folder; None: as the others.
        self.process = None
        self.url = None
        self.log = []

    def start(self):
        self.process = subprocess.Popen(
            [(self.programs or BIN) / "rekindled", "--data-dir", self.data, *self.flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._keep_log, args=[self.process], daemon=True)
        self._reader.start()
        ready = self.process.stdout.readline()
        match = re.fullmatch(r"rekindled \S+ ready http://[0-9.]+:(\d+) data (.*)\n", ready)
        assert match, f"rekindled did not start: {ready!r} {''.join(self.log)}"
        self.url = "http://127.0.0.1:" + match[1]
        return self

    def _keep_log(self, process):
        for line in process.stderr:
            self.log.append(line)

    @property
    def pid(self):
        return self.process.pid

    def stop(self, how=signal.SIGTERM, seconds=30):
        """Ends it and gives its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(seconds)
        self._reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        self.process = None
        return code

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        self.stop()

    def cli(self, *arguments, **more) -> Done:
        return rekindle(*arguments, url=self.url, **more)

    def json(self, *arguments):
        done = self.cli(*arguments, "--json")
        assert done.code == 0, done
        return json.loads(done.stdout)

    def deploy(self, file, name, *flags):
        done = self.cli("deploy", file, "--name", name, *flags)
        assert done.code == 0, done
        return done

    def client(self, **more):
        return openai.OpenAI(base_url=self.url + "/v1", api_key="any", max_retries=0, timeout=60,
                             **more)

    def ps(self, name):
        """The deployment's current state."""
        shown = {d["name"]: d for d in self.json("ps", "--all")["deployments"]}
        return shown[name]

    def wait_ready(self):
        """Waits until /readyz says so: a fresh node is "starting" until its first worker is up."""
        poll(lambda: requests.get(self.url + "/readyz", timeout=10).ok, "ready")
        return self

    def wait_idle(self, name):
        return poll(lambda: (state := self.ps(name))["active_requests"] == 0 and state,
                    f"no active request of {name}")

    def usage(self, by="model"):
        """Rows of all time, keyed by the values of `by`."""
        rows = self.json("usage", "--since", "2000-01-01", "--by", by)["rows"]
        return {tuple(row[key] for key in by.split(",")): row for row in rows}

    def bill(self, request_id):
        answer = requests.get(f"{self.url}/admin/v1/requests/{request_id}", timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()
