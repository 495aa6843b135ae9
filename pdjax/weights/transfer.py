"""One file over HTTP: resumed where it broke off, and never larger than it may be.

What has arrived stays in the file given. The next attempt, in this run or in a later one, asks for
the rest, on condition that the server still has the same version (its entity tag is kept beside
the file); from a server that cannot do that the file is taken from its beginning.
"""

from __future__ import annotations

import http.client
import re
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm

__all__ = ["remove_partial", "transfer"]

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


def transfer(
    address: str,
    partial: Path,
    *,
    size: int | None,
    max_bytes: int,
    bar: tqdm,
    timeout: float,
    pause: float,
) -> None:
    """Fetch the file at ``address`` into ``partial``, going on from what is there.

    Parameters
    ----------
    address : str
        Of a file on an HTTP or HTTPS server.
    partial : Path
        The file to fill, perhaps partly there. It is complete when this returns.
    size : int, optional
        Its bytes when complete, where they are known.
    max_bytes : int
        The most bytes to accept.
    bar : tqdm
        Counts the bytes.
    timeout : float
        Seconds without an answer after which an attempt is given up.
    pause : float
        Seconds before the second of four attempts; twice that before each further one.

    Raises
    ------
    ConnectionError
        If the server cannot be reached, refuses, redirects to somewhere that is not HTTP, breaks
        off every time, or sends another number of bytes. The text is the reason alone, as the
        middle of a sentence.
    """
    limit = max_bytes if size is None else size
    with _Session() as session:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _attempt(session, address, partial, limit, size, bar, timeout)
            except _BrokenOffError as error:
                reason = str(error)
            except requests.Timeout:
                reason = f"the server did not answer within {timeout:g} s"
            except BROKEN_OFF:
                reason = "there is no connection to the server, or it broke off"
            except (requests.RequestException, ValueError) as error:
                # Addresses that cannot be parsed are a ValueError.
                raise ConnectionError(f"the transfer failed: {type(error).__name__}") from error
            if attempt < ATTEMPTS:
                time.sleep(pause * 2 ** (attempt - 1))
    raise ConnectionError(reason)


def remove_partial(partial: Path) -> None:
    """Remove what has arrived of a file, and its tag."""
    partial.unlink(missing_ok=True)
    _tag_file(partial).unlink(missing_ok=True)


def _attempt(
    session: requests.Session,
    address: str,
    partial: Path,
    limit: int,
    size: int | None,
    bar: tqdm,
    timeout: float,
) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    if have > limit:
        remove_partial(partial)
        have = 0
    if have == size:
        return
    with _open(session, address, HEADERS | _range(partial, have), timeout) as response:
        start = _start(response, have)
        if start == 0:
            remove_partial(partial)
        declared = _declared(response, start)
        if declared > limit or (size is not None and 0 < declared != size):
            raise ConnectionError(f"the server has {declared} bytes {_instead_of(size, limit)}")
        _keep_tag(response, partial)
        bar.update(start - bar.n)
        with partial.open("ab") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                start += len(chunk)
                if start > limit:
                    break
                file.write(chunk)
                bar.update(len(chunk))
    if start > limit:
        remove_partial(partial)
        raise ConnectionError(f"the server sends more than {limit} bytes")
    if start < (size or declared):
        raise _BrokenOffError(f"the connection broke off at {start} of {size or declared} bytes")


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


def _range(partial: Path, have: int) -> dict[str, str]:
    if have == 0:
        return {}
    tag = _tag_file(partial)
    condition = {"If-Range": tag.read_text("latin-1")} if tag.exists() else {}
    return {"Range": f"bytes={have}-", **condition}


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


def _instead_of(size: int | None, limit: int) -> str:
    return f"where {limit} are accepted" if size is None else f"instead of {size}"


def _keep_tag(response: requests.Response, partial: Path) -> None:
    tag = response.headers.get("ETag", "")
    # Only a strong tag promises the same bytes.
    if re.fullmatch(r'"[!#-~]*"', tag) and len(tag) <= MAX_TAG_LENGTH:
        _tag_file(partial).write_text(tag, "latin-1")


def _tag_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.tag")
