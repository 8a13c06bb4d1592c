"""A streaming client that costs almost nothing: when the first text of an answer was there."""

import json
import random
import socket
import time

WORDS = ("river stone morning letter garden window market engine harbour winter paper silver "
         "forest teacher bridge music island summer kitchen doctor candle mountain village").split()


def fresh_messages(seed, words=16, system=None):
    """A chat whose system message begins with a nonce, so that nothing retained can help.

    With `system`, that text is the system message and the nonce begins the question.
    """
    source = random.Random(seed)
    nonce = str(source.randrange(10**9))
    question = " ".join(source.choices(WORDS, k=words))
    if system is None:
        return [{"role": "system", "content": f"{nonce} You answer in one sentence."},
                {"role": "user", "content": f"Write a story about {question}."}]
    return [{"role": "system", "content": system},
            {"role": "user", "content": f"{nonce}: write a story about {question}."}]


def connect(port, deadline, sleep=0.001):
    """The first connection that a starting server accepts."""
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(sleep)


def request_bytes(model, messages, tokens):
    body = json.dumps({"model": model, "messages": messages, "max_tokens": tokens,
                       "temperature": 0, "stream": True}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: "
            + str(len(body)).encode() + b"\r\n\r\n" + body)


class Refused(RuntimeError):
    """Another status than 200: its head."""


def stream(connection, request):
    """Sends and reads to the end. (time of the first text, the whole text, the raw answer)."""
    connection.sendall(request)
    raw, first = b"", None
    while piece := connection.recv(65536):
        raw += piece
        if first is None:
            now = time.perf_counter()
            if not raw.startswith(b"HTTP/1.1 200"):
                raise Refused(raw[:400].decode(errors="replace"))
            if text_of(raw):
                first = now
    if first is None:
        raise RuntimeError("an answer without text: " + raw[-400:].decode(errors="replace"))
    return first, text_of(raw), raw


def text_of(raw):
    text = ""
    for line in raw.split(b"\n"):
        if line.startswith(b"data: {") and line.rstrip().endswith(b"}"):
            event = json.loads(line[6:])
            for choice in event.get("choices", []):
                text += choice.get("delta", {}).get("content") or ""
    return text


def timed(port, request, deadline):
    """Seconds from now to the first text of an answer, over a connection of its own."""
    begun = time.perf_counter()
    with connect(port, deadline) as connection:
        first, text, raw = stream(connection, request)
    return first - begun, text, raw
