"""Files over HTTP, with the wait of a distant server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Served:
    """A running server."""

    url: str
    requests: int = 0
    failing: bool = False
    """Whether it answers 503 to what is asked from now on."""


@contextmanager
def served(directory: Path, *, wait_s: float = 0.0) -> Iterator[Served]:
    """Serve the files of a directory, whole and in parts."""
    of = Served("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            of.requests += 1
            time.sleep(wait_s)
            content = (directory / self.path.lstrip("/")).read_bytes()
            if of.failing:
                self.send_error(503)
                return
            asked = self.headers.get("Range")
            first, last = 0, len(content) - 1
            if asked:
                start, _, stop = asked.removeprefix("bytes=").partition("-")
                first, last = int(start), min(int(stop or last), last)
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.end_headers()
            if with_body:
                self.wfile.write(content[first : last + 1])

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    of.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield of
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
