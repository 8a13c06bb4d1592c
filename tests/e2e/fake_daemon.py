"""A daemon of a few lines that answers what a test tells it to: for the ways in which a real one
must never behave, and for uploads to another machine."""

import http.server
import json
import threading


class FakeDaemon:
    """Listens on a free port while in a `with` block. `routes` maps "METHOD /path" (without the
    query) to a function of the handler; everything it was asked is in `requests`."""

    def __init__(self, routes):
        self.routes = routes
        self.requests = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                fake.requests.append((self.command, self.path, body, dict(self.headers)))
                route = fake.routes.get(f"{self.command} {self.path.split('?')[0]}")
                if route is None:
                    reply_json(self, 404, error("no such route"))
                else:
                    route(self)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def error(message, kind="invalid_request_error", code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def reply_json(handler, status, document):
    body = json.dumps(document).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def json_route(document, status=200):
    return lambda handler: reply_json(handler, status, document)


def chunk(handler, data):
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()


def stream_route(pieces, content_type="text/event-stream", whole=True, gate=None):
    """Chunks as given; with whole=False the connection breaks instead of ending. A threading.Event
    as `gate` is awaited before the last piece."""

    def route(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for i, piece in enumerate(pieces):
            if gate is not None and i == len(pieces) - 1:
                gate.wait(30)
            try:
                chunk(handler, piece)
            except OSError:
                handler.close_connection = True
                return
        if whole:
            chunk(handler, b"")
        handler.close_connection = True

    return route


def sse(*events):
    """Events (objects or text) as one piece each."""
    return [
        b"data: " + (e if isinstance(e, str) else json.dumps(e)).encode() + b"\n\n" for e in events
    ]


def delta(text, finish=None):
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
