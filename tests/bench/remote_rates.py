#!/usr/bin/env python3
"""How fast images are pushed and pulled over loopback, beside what the places themselves give.

  tests/bench/remote_rates.py [--model FILE.gguf] [--rounds 5]

A folder, a static web server (`python -m http.server`) and moto's S3 server (pip install moto[server]).
Beside each: what 8 connections of a plain client get from the same server, SHA-256 on all cores, and
the disk's limit by O_DIRECT. Needs the release build.
"""

import argparse
import concurrent.futures
import hashlib
import http.client
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "cold_start"), str(HERE / "peers")]

import limits
import models
import servers

CONNECTIONS = 8
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


def fetch_some(port, paths):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    got = 0
    for path in paths:
        connection.request("GET", path)
        got += len(connection.getresponse().read())
    return got


def server_rate(port, paths):
    """Bytes per second of a client that does nothing with what it gets."""
    parts = [paths[i::CONNECTIONS] for i in range(CONNECTIONS)]
    begun = time.perf_counter()
    with concurrent.futures.ProcessPoolExecutor(CONNECTIONS) as pool:
        got = sum(pool.map(fetch_some, [port] * CONNECTIONS, parts))
    return got / (time.perf_counter() - begun)


def hash_rate(threads):
    data = os.urandom(64 << 20)
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: hashlib.sha256(data).digest(), range(2 * threads)))
    return 2 * threads * len(data) / (time.perf_counter() - begun)


def start_server(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
            return process
        except OSError:
            time.sleep(0.05)


def timed(node, *arguments, url=None):
    begun = time.perf_counter()
    node.cli(*arguments, url=url)
    return time.perf_counter() - begun


def pull_rate(programs, place, size, rounds):
    """Bytes per second of pulls into an empty node, medians."""
    times = []
    for _ in range(rounds):
        with servers.Rekindled(programs, 2) as node:
            times.append(timed(node, "pull", place, "small", "--no-deploy"))
    return size / statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--programs", type=pathlib.Path,
                        default=HERE.parents[1] / "build/release/bin")
    arguments = parser.parse_args()
    web_port, s3_port = servers.free_port(), servers.free_port()
    os.environ.update(KEYS, AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{s3_port}")
    rates, running = {}, []
    with tempfile.TemporaryDirectory(prefix="rekindle-rates-") as folder:
        place = f"{folder}/place"
        os.mkdir(place)
        running.append(start_server([sys.executable, "-m", "http.server", str(web_port), "--bind",
                                     "127.0.0.1", "--protocol", "HTTP/1.1", "-d", place], web_port))
        running.append(start_server(["moto_server", "-p", str(s3_port)], s3_port))
        try:
            urllib.request.urlopen(urllib.request.Request(
                f"http://127.0.0.1:{s3_port}/models", method="PUT"))
            with servers.Rekindled(arguments.programs, 2) as node:
                node.deploy(arguments.model or models.small(), "small")
                size = node.state("small")["image_bytes"]
                socket = f"unix://{node.folder.name}/data/admin.sock"
                times = {"folder": timed(node, "push", "small", place, url=socket),
                         "S3 (moto)": timed(node, "push", "small", "s3://models/a")}
                rates.update({f"push to {name}": size / took for name, took in times.items()})
                disk = limits.DiskLimit(arguments.programs, node.folder.name)
                disk.measure()
            chunks = [f"/{path.relative_to(place)}" for path in pathlib.Path(place).rglob("*.zst")]
            web, s3 = f"http://127.0.0.1:{web_port}", "s3://models/a"
            rates["pull from a web server"] = pull_rate(arguments.programs, web, size, arguments.rounds)
            rates["a plain client from the same web server"] = server_rate(web_port, chunks)
            rates["pull from S3 (moto)"] = pull_rate(arguments.programs, s3, size, arguments.rounds)
            rates["a plain client from the same S3"] = server_rate(
                s3_port, [f"/models/a{chunk}" for chunk in chunks])
        finally:
            for process in running:
                process.terminate()
                process.wait()
        rates["SHA-256 on all cores"] = hash_rate(os.cpu_count())
        rates["disk by O_DIRECT"] = disk.median()
    print(f"image of {size / 1e6:.0f} MB\n\n| | MB/s |\n|---|---|")
    for what, rate in rates.items():
        print(f"| {what} | {rate / 1e6:.0f} |")


if __name__ == "__main__":
    main()
