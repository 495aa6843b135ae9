"""A server of one file on this computer, which can misbehave in many ways."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from pdjax.models import Download

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
SHA1 = f"sha1:{hashlib.sha1(CONTENT).hexdigest()}"


@dataclasses.dataclass
class Site:
    """What the server does, and what it was asked."""

    address: str = ""
    content: bytes = CONTENT
    tag: str | None = '"one"'
    knows_ranges: bool = True
    cut_after: list[int] = dataclasses.field(default_factory=list)
    answers: list[int] = dataclasses.field(default_factory=list)
    location: str = ""
    silent: bool = False
    wrong_part: bool = False
    delay: float = 0.0
    requests: list[dict[str, str]] = dataclasses.field(default_factory=list)
    sent: list[int] = dataclasses.field(default_factory=list)

    def file(self, checksum: str = SHA256, size: int | None = len(CONTENT)) -> Download:
        return Download(f"{self.address}/weights.bin", checksum, size)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format, *arguments):
        pass

    def do_GET(self):
        site = self.site
        site.requests.append(dict(self.headers))
        site.sent.append(0)
        time.sleep(site.delay)
        status = site.answers.pop(0) if site.answers else 200
        if status != 200:
            self.send_response(status)
            if site.location:
                self.send_header("Location", site.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", site.tag) == site.tag
        if asked and site.knows_ranges and same:
            start = int(asked[1])
            self.send_response(206)
            shown = start + site.wrong_part
            self.send_header(
                "Content-Range", f"bytes {shown}-{len(site.content) - 1}/{len(site.content)}"
            )
        else:
            self.send_response(200)
        if site.tag:
            self.send_header("ETag", site.tag)
        if not site.silent:
            self.send_header("Content-Length", str(len(site.content) - start))
        self.end_headers()
        end = site.cut_after.pop(0) if site.cut_after else len(site.content)
        body = site.content[start:end]
        site.sent[-1] = len(body)
        # The client may have seen enough.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    """Run a server on this computer while the block lasts."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"site": site}))
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()
