"""Through HTTP: as many clients as said, all at once, each with a prompt of its own."""

import asyncio
import json
import pathlib
import random
import re
import socket
import statistics
import subprocess
import tempfile
import time

ANSWER = 100
WORDS = ("river stone morning letter garden window market engine harbour winter paper silver "
         "forest teacher bridge music island summer kitchen doctor candle mountain village "
         "question answer colour number little quiet early yellow open heavy simple").split()


def prompt_of(client, round_number):
    """About 300 tokens that share no prefix with another client's."""
    source = random.Random(f"{client}/{round_number}")
    return " ".join([str(source.randrange(10**6)), *source.choices(WORDS, k=288)])


class Answer:
    """When each piece of one answer arrived."""

    def __init__(self):
        self.start = time.perf_counter()
        self.times = []
        self.prompt_tokens = self.tokens = 0

    def read(self, event):
        if event.get("usage"):
            self.prompt_tokens = event["usage"]["prompt_tokens"]
            self.tokens = event["usage"]["completion_tokens"]
        if any(choice.get("text") for choice in event.get("choices", [])):
            self.times.append(time.perf_counter())


async def ask(host, port, model, prompt):
    body = json.dumps({"model": model, "prompt": prompt, "max_tokens": ANSWER, "temperature": 0,
                       "stream": True, "stream_options": {"include_usage": True},
                       "ignore_eos": True}).encode()
    head = (f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    answer = Answer()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head.encode() + body)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError((status + await reader.read()).decode())
    async for line in reader:
        if line.startswith(b"data: {"):
            answer.read(json.loads(line[6:]))
    writer.close()
    if answer.tokens != ANSWER:
        raise RuntimeError(f"{answer.tokens} tokens were answered instead of {ANSWER}")
    return answer


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def load(host, port, model, clients, round_number):
    begun = time.perf_counter()
    answers = await asyncio.gather(
        *(ask(host, port, model, prompt_of(client, round_number)) for client in range(clients)))
    took = time.perf_counter() - begun
    first = [answer.times[0] - answer.start for answer in answers]
    gaps = [b - a for answer in answers for a, b in zip(answer.times, answer.times[1:])]
    return {
        "tokens_s": clients * ANSWER / took,
        "prompt_tokens": statistics.mean(answer.prompt_tokens for answer in answers),
        "ttft_ms_p50": 1e3 * percentile(first, 0.5),
        "ttft_ms_p99": 1e3 * percentile(first, 0.99),
        "gap_ms_p50": 1e3 * percentile(gaps, 0.5),
        "gap_ms_p99": 1e3 * percentile(gaps, 0.99),
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LlamaServer:
    def __init__(self, binaries, model, threads, slots):
        self.port = free_port()
        context = slots * 512
        self.process = subprocess.Popen(
            [binaries / "llama-server", "-m", model, "-t", str(threads), "-np", str(slots), "-c",
             str(context), "-b", "2048", "-fa", "on", "--port", str(self.port), "--no-webui"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.model = "model"
        for _ in range(600):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    if b" 200 " in probe.recv(64):
                        return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("llama-server did not become healthy within a minute")

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Rekindled:
    def __init__(self, binaries, model, threads, slots):
        self.folder = tempfile.TemporaryDirectory(prefix="rekindle-peers-")
        self.process = subprocess.Popen(
            [binaries / "rekindled", "--data-dir", self.folder.name, "--listen", "127.0.0.1:0",
             "--threads", str(threads), "--kv-memory", "1GiB"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ready = self.process.stdout.readline()
        self.port = int(re.search(r"http://[0-9.]+:(\d+)", ready)[1])
        self.model = "model"
        manifest = pathlib.Path(self.folder.name) / "model.yaml"
        manifest.write_text(f"rekindle: 1\nname: model\nmodel: {model}\n"
                            f"runtime: {{max_batch: {slots}}}\nscale: {{min_warm: 1}}\n")
        subprocess.run([binaries / "rekindle", "--url", f"http://127.0.0.1:{self.port}", "deploy",
                        manifest], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


SERVERS = {"rekindle": Rekindled, "llama.cpp": LlamaServer}


def measure(engine, binaries, model, threads, clients, round_number):
    """One server, warmed by one answer, under one load."""
    server = SERVERS[engine](binaries, model, threads, clients)
    try:
        asyncio.run(load("127.0.0.1", server.port, server.model, 1, -1 - round_number))
        return asyncio.run(load("127.0.0.1", server.port, server.model, clients, round_number))
    finally:
        server.stop()
