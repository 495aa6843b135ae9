"""Published weight files in the user's cache folder: fetched once, verified every time.

What the transfer needs, an HTTP client above all, is imported when something is to be fetched.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pdjax._checks import ArgumentFileError, ArgumentValueError
from pdjax._progress import progress_bar
from pdjax.models import Download, Installed, Network, find_network

if TYPE_CHECKING:
    from pdjax.weights.transfer import Transfer

__all__ = ["cache_folder", "download", "fetch"]

MAX_BYTES = 2**30


def fetch(
    name: str | Network, *, progress: bool = True, folder: str | os.PathLike[str] | None = None
) -> Path:
    """Return the file with the published weights of a network, downloading it if need be.

    Parameters
    ----------
    name : str or Network
        One of `pdjax.models.NETWORKS`, an alias of one, or a network of your own. Weights that are
        installed with a package, as those of ``"efficientnet_lite0"``, are never downloaded.
    progress : bool
        Show a progress bar with the rate and the time left.
    folder : path, optional
        Where to keep the file. Default: `cache_folder`.

    Returns
    -------
    Path
        The file; its checksum is that of the published one.

    Raises
    ------
    ValueError
        If there is no such network, or no published file of it, or what the server sends is not
        the published file.
    ConnectionError
        If the file cannot be fetched. What has arrived is kept, and the next call goes on from it.
    OSError
        If the folder cannot be written.
    """
    network = find_network(name)
    match network.published:
        case Installed(find):
            return find()
        case Download() as file:
            return download(file, folder, progress=progress)
        case _:
            raise ArgumentValueError(
                "weights",
                f"of {network.name} have no published file",
                "give the path of a file with them",
            )


def cache_folder() -> Path:
    """Return the folder for downloaded files.

    It is what the environment variable ``PDJAX_CACHE`` says, and otherwise the usual place of the
    operating system for files that can be fetched again.
    """
    chosen = os.environ.get("PDJAX_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("pdjax", appauthor=False)


def download(
    file: Download,
    folder: str | os.PathLike[str] | None = None,
    *,
    progress: bool = True,
    timeout: float = 30.0,
    pause: float = 1.0,
    max_bytes: int = MAX_BYTES,
    max_wait: float = 3600.0,
) -> Path:
    """Return the path of ``file`` in ``folder``, fetching it if it is not there or damaged.

    Several processes may do so at once: one of them fetches, the others wait for it.

    Parameters
    ----------
    file : Download
        What to fetch.
    folder : path, optional
        Where to keep it; made if it does not exist. Default: `cache_folder`.
    progress : bool
        Show a progress bar.
    timeout : float
        Seconds without an answer from the server after which an attempt is given up.
    pause : float
        Seconds before the second attempt.
    max_bytes : int
        The most bytes to accept of a file whose size is not known.
    max_wait : float
        Seconds to wait for another process that is fetching the same file.

    Raises
    ------
    ValueError, ConnectionError, OSError
        As `fetch`.
    """
    folder = cache_folder() if folder is None else Path(folder)
    target = folder / file.name
    try:
        if _is_published(target, file):
            return target
        import filelock

        from pdjax.weights.transfer import Transfer

        transfer = Transfer(
            address=file.address,
            partial=target.with_name(f"{target.name}.part"),
            size=file.size,
            limit=max_bytes if file.size is None else file.size,
            timeout=timeout,
            pause=pause,
        )
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{file.name}.lock", timeout=max_wait):
            # Another process may have fetched it in the meantime.
            if not _is_published(target, file):
                _fetch_into(target, file, transfer, progress)
    except ConnectionError as error:
        raise ConnectionError(
            f"weights cannot be fetched from {file.address} ({error}); {_remedy(file, target)}"
        ) from error
    except TimeoutError as error:
        raise TimeoutError(
            f"weights cannot be fetched: another process has been fetching {file.name!r} for over "
            f"{max_wait:g} s; end it, then try again"
        ) from error
    except OSError as error:
        raise ArgumentFileError(
            "folder",
            f"cannot keep {file.name} ({error.strerror or error})",
            "choose one that can be written and has space left, or set PDJAX_CACHE to one",
            value=folder,
        ) from error
    return target


def _fetch_into(target: Path, file: Download, transfer: Transfer, progress: bool) -> None:
    partial = transfer.partial
    # What was begun on an earlier day may be of another file; it is not trusted a second time.
    for resumed in (True, False) if partial.exists() else (False,):
        have = partial.stat().st_size if partial.exists() else 0
        with progress_bar(file.size or 0, "B", progress, file.name, have, delay=0.2) as bar:
            transfer.run(bar)
        if _is_published(partial, file):
            partial.replace(target)
            return transfer.forget()
        transfer.forget()
        if not resumed:
            raise ArgumentValueError(
                "weights",
                f"cannot be fetched: what {file.address} sends is not the published file, whose "
                f"checksum is {file.checksum}, and was removed",
                _remedy(file, target),
            )


def _is_published(path: Path, file: Download) -> bool:
    if not path.is_file() or file.size not in (None, path.stat().st_size):
        return False
    algorithm, digest = file.checksum.split(":")
    with path.open("rb") as content:
        # It detects damage; computers with a strict policy for secrets refuse it without this.
        made = hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return made.hexdigest() == digest


def _remedy(file: Download, target: Path) -> str:
    return (
        f"try again later, or get {file.name} by other means and put it at {str(target)!r} or pass "
        "its path as weights"
    )
