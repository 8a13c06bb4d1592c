"""The two sides: a node that keeps running, and a server process for each cold request."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import client

READY_SECONDS = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Rekindled:
    """A node whose models are cooled by hand, with one spare worker as it comes."""

    def __init__(self, binaries, threads, *options):
        self.binaries = pathlib.Path(binaries)
        self.folder = tempfile.TemporaryDirectory(prefix="rekindle-cold-")
        self.log = open(pathlib.Path(self.folder.name) / "log", "w")
        self.options = ["--data-dir", self.folder.name + "/data", "--listen", "127.0.0.1:0",
                        "--threads", str(threads), "--idle", "1h", *options]
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.binaries / "rekindled", *self.options],
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.port = int(re.search(r"http://[0-9.]+:(\d+)", self.process.stdout.readline())[1])

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()
        self.folder.cleanup()

    def cli(self, *arguments, url=None):
        url = url or f"http://127.0.0.1:{self.port}"
        done = subprocess.run([self.binaries / "rekindle", "--url", url, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"rekindle {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def deploy(self, model, name, kv="256MiB"):
        manifest = pathlib.Path(self.folder.name) / f"{name}.yaml"
        manifest.write_text(f"rekindle: 1\nname: {name}\nmodel: {model}\nruntime: {{kv: {kv}}}\n")
        self.cli("deploy", manifest)

    def state(self, name):
        models = json.loads(self.cli("ps", "--all", "--json"))["deployments"]
        return next(model for model in models if model["name"] == name)

    def cool(self, name, to):
        """No worker, the image in host memory or only on disk, a spare worker ready."""
        self.cli("cool", name, "--to", to, "--wait", "30s")
        time.sleep(0.05)  # The pool starts the next spare worker off the critical path.

    def ask(self, name, messages, tokens):
        """(seconds to the first text, the text, Server-Timing in milliseconds)."""
        request = client.request_bytes(name, messages, tokens)
        took, text, raw = client.timed(self.port, request, time.perf_counter() + READY_SECONDS)
        return took, text, timing_of(raw)


def timing_of(raw):
    """The stages that rekindled reports in its head and in the comment that ends the stream."""
    found = {}
    for name, value in re.findall(rb"(\w[\w-]*);dur=([0-9.]+)", raw):
        found[name.decode()] = float(value)
    return found


class RunningLlama:
    """One llama-server process, from its start to its end."""

    def __init__(self, binaries, model, threads, flags):
        self.port = free_port()
        self.process = subprocess.Popen(
            [pathlib.Path(binaries) / "llama-server", "-m", model, "-t", str(threads), "-c", "4096",
             "-np", "1", "-fa", "on", "--port", str(self.port), "--no-webui", *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answer(self, messages, tokens):
        """(when the first text was there, the text). Until the model is loaded the server answers
        503; it is asked again each millisecond."""
        request = client.request_bytes("model", messages, tokens)
        deadline = time.perf_counter() + READY_SECONDS
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"llama-server ended with {self.process.returncode}")
            with client.connect(self.port, deadline) as connection:
                try:
                    first, text, _ = client.stream(connection, request)
                    return first, text
                except (client.Refused, ConnectionError):
                    if time.perf_counter() > deadline:
                        raise
            time.sleep(0.001)

    def end(self):
        self.process.kill()
        self.process.wait()


class LlamaServer:
    """llama-server as a process manager runs it: started when a request comes, killed after it."""

    def __init__(self, binaries, model, threads, flags):
        self.start = lambda: RunningLlama(binaries, model, threads, flags)

    def ask(self, messages, tokens):
        """(seconds from the request's arrival to its first text, the text)."""
        begun = time.perf_counter()
        server = self.start()
        try:
            first, text = server.answer(messages, tokens)
            return first - begun, text
        finally:
            server.end()


# Documented flags that change how fast llama-server starts; the best is found before measuring.
LLAMA_FLAGS = {
    "--no-warmup": ["--no-warmup"],
    "--no-warmup --no-repack": ["--no-warmup", "--no-repack"],
    "--no-warmup --load-mode none": ["--no-warmup", "--load-mode", "none"],
    "--no-warmup --load-mode dio": ["--no-warmup", "--load-mode", "dio"],
    "--no-warmup --no-repack --load-mode dio": ["--no-warmup", "--no-repack", "--load-mode", "dio"],
    "defaults": [],
}


def best_llama_flags(binaries, model, threads, prepare):
    """The flags with the least median of five starts; those that this version refuses drop out."""
    medians = {}
    for name, flags in LLAMA_FLAGS.items():
        server = LlamaServer(binaries, model, threads, flags)
        try:
            times = []
            for number in range(5):
                prepare()
                times.append(server.ask(client.fresh_messages(f"flags {name} {number}"), 2)[0])
            medians[name] = sorted(times)[2]
        except (RuntimeError, OSError) as refusal:
            print(f"llama-server {name}: {refusal}", file=sys.stderr)
    best = min(medians, key=medians.get)
    told = ", ".join(f"{name} {1e3 * value:.0f} ms" for name, value in medians.items())
    print(f"llama-server's flags: {told}; measured with {best}", file=sys.stderr)
    return best, LLAMA_FLAGS[best]
