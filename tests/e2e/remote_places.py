"""Servers that models come from: a static web server that can be told to misbehave, and moto's S3."""

import hashlib
import http.server
import pathlib
import threading


class FileServer:
    """Files of `folder`, with ETags and ranges. `fault(handler, file)` may answer instead: it gives
    true when it did."""

    def __init__(self, folder, tls=None):
        self.folder = pathlib.Path(folder)
        self.fault = None
        self.requests = []  # (path, fields)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                file = outer.folder / self.path.split("?")[0].lstrip("/")
                if outer.fault is not None and outer.fault(self, file):
                    return
                if not file.is_file():
                    self.refuse(404)
                else:
                    self.send(file.read_bytes())

            def refuse(self, status):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def send(self, data, cut=None):
                """Sends what is asked for; `cut` bytes of it, then the connection ends."""
                etag = f'"{hashlib.md5(data).hexdigest()}"'
                start = 0
                asked = self.headers.get("Range")
                if asked and self.headers.get("If-Range", etag) == etag:
                    start = int(asked.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206 if start else 200)
                self.send_header("ETag", etag)
                self.send_header("Content-Length", str(len(data) - start))
                if start:
                    self.send_header("Content-Range",
                                     f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.end_headers()
                self.wfile.write(data[start:] if cut is None else data[start:start + cut])
                self.close_connection = cut is not None

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)
