"""One file over HTTP: resumed where it broke off, and never larger than it may be.

What has arrived stays in the file given. The next attempt, in this run or in a later one, asks for
the rest, on condition that the server still has the same version (its entity tag is kept beside
the file); from a server that cannot do that the file is taken from its beginning.

It is our own because the libraries that fetch data files, such as pooch, begin a file anew when it
broke off and take as many bytes as a server sends.
"""

from __future__ import annotations

import dataclasses
import http.client
import re
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from pdjax._progress import Bar

__all__ = ["Transfer"]

CHUNK_BYTES = 64 * 2**10
MAX_REDIRECTS = 5
ATTEMPTS = 4
MAX_TAG_LENGTH = 1000
# The bytes of a file must arrive as they are, or its parts would not fit together.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "pdjax"}
BROKEN_OFF = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class _Session(requests.Session):
    """A session that leaves redirections to `_open`, which never reads what comes with them."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _BrokenOffError(Exception):
    """The transfer failed in a way that another attempt may mend."""


@dataclasses.dataclass(frozen=True)
class Transfer:
    """A file to fetch, and how patiently.

    Attributes
    ----------
    address : str
        Of a file on an HTTP or HTTPS server.
    partial : Path
        The file to fill, perhaps partly there.
    size : int or None
        Its bytes when complete, where they are known.
    limit : int
        The most bytes to accept.
    timeout : float
        Seconds without an answer after which an attempt is given up.
    pause : float
        Seconds before the second of four attempts; twice that before each further one.
    """

    address: str
    partial: Path
    size: int | None
    limit: int
    timeout: float
    pause: float

    def run(self, bar: Bar) -> None:
        """Fetch what is missing of the file, which is complete when this returns.

        Parameters
        ----------
        bar : Bar
            Counts the bytes.

        Raises
        ------
        ConnectionError
            If the server cannot be reached, refuses, redirects to somewhere that is not HTTP,
            breaks off every time, or sends another number of bytes. The text is the reason alone,
            as the middle of a sentence.
        """
        with _Session() as session:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return self._attempt(session, bar)
                except _BrokenOffError as error:
                    reason = str(error)
                except requests.Timeout:
                    reason = f"the server did not answer within {self.timeout:g} s"
                except BROKEN_OFF:
                    reason = "there is no connection to the server, or it broke off"
                except (requests.RequestException, ValueError) as error:
                    # Addresses that cannot be parsed are a ValueError.
                    raise ConnectionError(f"the transfer failed: {type(error).__name__}") from error
                if attempt < ATTEMPTS:
                    time.sleep(self.pause * 2 ** (attempt - 1))
        raise ConnectionError(reason)

    def forget(self) -> None:
        """Remove what has arrived, and its tag."""
        self.partial.unlink(missing_ok=True)
        self._tag_file.unlink(missing_ok=True)

    def _attempt(self, session: requests.Session, bar: Bar) -> None:
        have = self.partial.stat().st_size if self.partial.exists() else 0
        if have > self.limit:
            self.forget()
            have = 0
        if have == self.size:
            return
        headers = HEADERS | self._range(have)
        with _open(session, self.address, headers, self.timeout) as response:
            start = _start(response, have)
            if start == 0:
                self.forget()
            declared = _declared(response, start)
            if declared > self.limit or (self.size is not None and 0 < declared != self.size):
                wanted = "at most " if self.size is None else ""
                raise ConnectionError(
                    f"the server has {declared} bytes instead of {wanted}{self.limit}"
                )
            self._keep_tag(response)
            bar.update(start - bar.n)
            with self.partial.open("ab") as file:
                for chunk in response.iter_content(CHUNK_BYTES):
                    start += len(chunk)
                    if start > self.limit:
                        break
                    file.write(chunk)
                    bar.update(len(chunk))
        if start > self.limit:
            self.forget()
            raise ConnectionError(f"the server sends more than {self.limit} bytes")
        whole = self.size or declared
        if start < whole:
            raise _BrokenOffError(f"the connection broke off at {start} of {whole} bytes")

    def _range(self, have: int) -> dict[str, str]:
        if have == 0:
            return {}
        tag = self._tag_file
        condition = {"If-Range": tag.read_text("latin-1")} if tag.exists() else {}
        return {"Range": f"bytes={have}-", **condition}

    def _keep_tag(self, response: requests.Response) -> None:
        tag = response.headers.get("ETag", "")
        # Only a strong tag promises the same bytes.
        if re.fullmatch(r'"[!#-~]*"', tag) and len(tag) <= MAX_TAG_LENGTH:
            self._tag_file.write_text(tag, "latin-1")

    @property
    def _tag_file(self) -> Path:
        return self.partial.with_name(f"{self.partial.name}.tag")


def _open(
    session: requests.Session, address: str, headers: dict[str, str], timeout: float
) -> requests.Response:
    for _ in range(MAX_REDIRECTS + 1):
        if urlsplit(address).scheme not in ("http", "https"):
            raise ConnectionError(f"the server redirects to {address[:200]!r}, which is not HTTP")
        response = session.get(address, headers=headers, timeout=timeout, stream=True)
        if not response.is_redirect:
            return response
        response.close()
        address = urljoin(address, response.headers["location"])
    raise ConnectionError(f"the server redirects more than {MAX_REDIRECTS} times")


def _start(response: requests.Response, have: int) -> int:
    """Return at which byte of the file the response begins."""
    if response.status_code == HTTPStatus.OK:
        return 0
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        match = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
        if match and int(match[1]) == have:
            return have
        raise ConnectionError("the server sends another part of the file than it was asked for")
    phrase = http.client.responses.get(response.status_code, "")
    answer = f"the server answered {response.status_code} {phrase}".rstrip()
    if response.status_code in BUSY or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _BrokenOffError(answer)
    raise ConnectionError(answer)


def _declared(response: requests.Response, start: int) -> int:
    """Return how many bytes the whole file has according to the server; 0 if it does not say."""
    length = response.headers.get("Content-Length", "")
    return start + int(length) if re.fullmatch(r"\d{1,18}", length) else 0
