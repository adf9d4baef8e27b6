"""A web server on this machine for the tests of downloads: it can break off, lie, refuse, and it remembers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves `files` by name.

    Attributes:
        files: what there is.
        tag: the ETag of all of it; "" for none.
        ranges: whether it heeds Range.
        break_after: each of the next answers ends after so many bytes, as if the line were cut.
        status: answers with this instead, unless 0.
        location: sends on to there, unless "".
        hold: the answers stop after half of the file until this is set.
        asked: (path, Range, If-Range) of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.tag = '"one"'
        self.ranges = True
        self.break_after: list[int] = []
        self.status = 0
        self.location = ""
        self.hold: threading.Event | None = None
        self.asked: list[tuple[str, str | None, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        self.server.asked.append((self.path, wanted, condition))
        data = self.server.files.get(self.path.lstrip("/"))
        if self.server.location:
            self.send_response(302)
            self.send_header("Location", self.server.location)
            self.end_headers()
            return
        if self.server.status or data is None:
            self.send_response(self.server.status or 404)
            self.end_headers()
            return
        start = 0
        if wanted and self.server.ranges and (condition is None or condition == self.server.tag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        rest = data[start:]
        if self.server.break_after:
            rest = rest[: self.server.break_after.pop(0)]
        half = len(rest) // 2 if self.server.hold is not None else len(rest)
        self.wfile.write(rest[:half])
        if self.server.hold is not None:
            self.wfile.flush()
            self.server.hold.wait(60)
            self.wfile.write(rest[half:])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@contextmanager
def serving() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        if server.hold is not None:
            server.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
