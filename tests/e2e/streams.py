"""Reading answers of a daemon piece by piece."""

import json
import threading

import requests

STORY = [{"role": "user", "content": "Tell me a long story about a lighthouse keeper."}]


class Stream:
    """A running streamed chat answer. Each token's text is told by its log-probability."""

    def __init__(self, daemon, max_tokens, messages=None, key=None, **more):
        body = {"model": "small", "messages": messages or STORY, "max_tokens": max_tokens,
                "temperature": 0, "stream": True, "stream_options": {"include_usage": True},
                "ignore_eos": True, "logprobs": True, **more}
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.answer = requests.post(daemon.url + "/v1/chat/completions", json=body, stream=True,
                                    headers=headers, timeout=60)
        assert self.answer.status_code == 200, self.answer.text
        self.id = self.answer.headers["x-request-id"]
        self.tokens = []
        self.usage = self.error = None
        self.done = False
        self._lines = self.answer.iter_lines(chunk_size=None)

    def read(self, tokens=None):
        """Reads until so many tokens have come, or to the end. A broken connection is an end."""
        try:
            while tokens is None or len(self.tokens) < tokens:
                self._take(next(self._lines))
        except StopIteration:
            pass
        except requests.exceptions.RequestException:
            pass
        return self

    def _take(self, line):
        if not line.startswith(b"data: "):
            return
        data = line.removeprefix(b"data: ")
        if data == b"[DONE]":
            self.done = True
            return
        event = json.loads(data)
        self.error = event.get("error") or self.error
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices", []):
            if choice.get("logprobs"):
                self.tokens += [item["token"] for item in choice["logprobs"]["content"]]

    def read_in_background(self):
        """Reads to the end from a thread, so that the daemon is not held back."""
        threading.Thread(target=self.read, daemon=True).start()

    def close(self):
        self.answer.close()
