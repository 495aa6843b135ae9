"""Many photographs at once: a folder of results that a second start goes on with.

Every photograph has its numbers, its picture and a line in a journal, written in this order. A
photograph whose line and files are there is done; a run that is killed leaves at most the one it
was at. The table and the page are made from the journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import json
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import typer

from pdjax._checks import ArgumentFileError, ArgumentValueError, per_axis
from pdjax._explain.explain import Run
from pdjax._explain.many import ahead
from pdjax._explain.request import Request
from pdjax._files import atomic_path, existing_file
from pdjax._progress import progress_bar
from pdjax._types import Sampler
from pdjax.cli.outputs import Outputs
from pdjax.cli.overview import write_overview
from pdjax.explanation import Explanation
from pdjax.image import ImageFolder, load_image

__all__ = ["ManyPhotos", "Row", "are_many", "find_photos"]

LISTS = (".txt",)
MAX_LIST_BYTES = 2**26
EVERY = 30.0
"""Seconds between two writings of the table and the page."""

Row = dict[str, Any]
"""``file``, and ``class``, ``probability``, ``error``, ``passes``, ``seconds``, ``settings`` or
``problem``."""


def are_many(image: Path) -> bool:
    """Whether an argument stands for many photographs: a folder, a list or a pattern."""
    return image.is_dir() or image.suffix.lower() in LISTS or _is_pattern(image)


def _is_pattern(image: Path) -> bool:
    return not image.exists() and glob.has_magic(str(image))


def find_photos(image: Path, folder: Path) -> dict[str, Path]:
    """Return the photographs that a folder, list or pattern stands for, by unique short names.

    Pictures in ``folder``, where results go to, are none of them.
    """
    if image.is_dir():
        paths, top = ImageFolder(image).paths, image
    elif _is_pattern(image):
        paths, top = [Path(path) for path in sorted(glob.glob(str(image), recursive=True))], None
    else:
        path = existing_file(image, "image")
        if path.stat().st_size > MAX_LIST_BYTES:
            raise ArgumentValueError("image", "is too large for a list", "split it", value=image)
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except ValueError:
            raise ArgumentValueError(
                "image", "is no text", "give a file with one path a line", value=image
            ) from None
        paths = [Path(line.strip()) for line in lines if line.strip()]
        paths, top = [path if path.is_absolute() else image.parent / path for path in paths], None
    own = folder.resolve()
    paths = [path for path in paths if own not in path.resolve().parents]
    if not paths:
        raise ArgumentValueError("image", "stands for no photograph", "check it", value=image)
    return _named(paths, top)


def _named(paths: Sequence[Path], top: Path | None) -> dict[str, Path]:
    """Call photographs by their path below a folder, as far as it tells them apart."""
    names = [path.relative_to(top) if top else Path(path.name) for path in paths]
    stems = [name.with_suffix("").as_posix() for name in names]
    named: dict[str, Path] = {}
    for path, name, stem in zip(paths, names, stems, strict=True):
        own = stem if stems.count(stem) == 1 else name.as_posix()
        for number in range(1, len(paths) + 1):
            last = own if number == 1 else f"{own}-{number}"
            if last not in named:
                named[last] = path
                break
    return named


@dataclasses.dataclass(frozen=True)
class ManyPhotos:
    """A run over photographs.

    Attributes
    ----------
    photos : mapping of str to Path
        By the names of their results.
    folder : Path
        Where results go to.
    size : int or tuple of int
        What the network takes.
    fit : str
        How photographs get that size: see `load_image`.
    request : callable
        Makes the request of an image, a key and a sampler.
    key : key
        Of the run; each photograph has its own, by its name.
    planned : Sampler
        What stands in for the sampler until it is made.
    make : callable
        Makes the sampler for a request.
    settings : mapping of str to str
        What results depend on.
    look : mapping of str to bool
        How pictures are drawn: see `Outputs.write`.
    progress : bool
    """

    photos: Mapping[str, Path]
    folder: Path
    size: int | tuple[int, ...]
    fit: str
    request: Callable[[np.ndarray, jax.Array, Any], Request]
    key: jax.Array
    planned: Any
    make: Callable[[Request], Sampler]
    settings: Mapping[str, str]
    look: Mapping[str, bool]
    progress: bool

    def run(self) -> int:
        """Explain what is not done yet; return how many photographs failed."""
        rows = self._begin()
        todo = [name for name in self.photos if not self._is_done(rows.get(name))]
        started = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*is enlarged")
                self._explain(todo, rows)
        finally:
            self._show(rows)
        failed = sum("problem" in rows[name] for name in self.photos)
        self._say(len(todo), failed, time.monotonic() - started)
        return failed

    def _show(self, rows: Mapping[str, Row]) -> None:
        """Write the table and the page of what there is so far."""
        write_overview(self.folder, [rows[name] for name in self.photos if name in rows])

    def _say(self, count: int, failed: int, seconds: float) -> None:
        found = len(self.photos) - failed
        rate = f", {3600 * count / seconds:,.0f} images an hour" if count else ""
        typer.echo(
            f"{found} explained, {failed} failed: {self.folder / 'index.html'} and "
            f"{self.folder / 'table.csv'} ({seconds:.0f} s{rate})"
        )

    def _begin(self) -> dict[str, Row]:
        """Make the folder, or return what has been done in it with the same settings."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / "settings.json"
            if path.exists():
                _check_settings(path, self.settings, self.folder)
            else:
                with atomic_path(path) as temporary:
                    temporary.write_text(json.dumps(dict(self.settings), indent=1), "utf-8")
        except OSError as error:
            raise ArgumentFileError(
                "output",
                f"cannot be written to ({error.strerror or error})",
                "choose another folder",
                value=self.folder,
            ) from None
        return dict(_journal(self._journal))

    @property
    def _journal(self) -> Path:
        return self.folder / "journal.jsonl"

    def _files(self, name: str) -> tuple[Path, Path, Path]:
        """Numbers, picture and thumbnail of a photograph."""
        below = [self.folder / f"{name}{suffix}" for suffix in (".npz", ".png")]
        return below[0], below[1], self.folder / "thumbnails" / f"{name}.jpg"

    def _is_done(self, row: Row | None) -> bool:
        if row is None or "problem" in row:
            return False
        return all(path.exists() for path in self._files(row["name"]))

    def _explain(self, todo: Sequence[str], rows: dict[str, Row]) -> None:
        """Explain photographs; the next is read and the last written at the same time."""
        # Told once, before anything else: what no photograph could change.
        shape = (*per_axis(self.size, 2, "size"), 3)
        blank = self.request(np.zeros(shape, np.float32), self.key, self.planned)
        blank.check()
        sampler = self.make(blank) if todo else None
        written: Future[None] | None = None
        shown = time.monotonic()
        done = len(self.photos) - len(todo)
        with (
            progress_bar(len(self.photos), "images", self.progress, initial=done) as bar,
            self._journal.open("a", encoding="utf-8") as journal,
            ThreadPoolExecutor(1) as pool,
        ):
            for name, photo in ahead(self._read(name) for name in todo):
                row: Row = {"name": name, "file": str(self.photos[name])}
                started = time.monotonic()
                explanation = None
                try:
                    if isinstance(photo, Exception):
                        raise photo
                    explanation = self._explained(name, photo, sampler)
                    row |= _found(explanation, time.monotonic() - started)
                except (ValueError, TypeError, OSError, MemoryError) as error:
                    row["problem"] = str(error) or type(error).__name__
                if written is not None:
                    written.result()
                written = pool.submit(self._write, explanation, row, journal)
                rows[name] = row
                bar.update(1)
                if time.monotonic() - shown > EVERY:
                    shown = time.monotonic()
                    self._show(rows)
            if written is not None:
                written.result()

    def _read(self, name: str) -> tuple[str, np.ndarray | Exception]:
        try:
            return name, load_image(self.photos[name], self.size, self.fit)
        except (ValueError, TypeError, OSError, MemoryError) as error:
            return name, error

    def _explained(self, name: str, photo: np.ndarray, sampler: Any) -> Explanation:
        key = jax.random.fold_in(self.key, zlib.crc32(name.encode()))
        (explanation,) = Run(self.request(photo, key, sampler)).stages()
        return explanation

    def _write(self, explanation: Explanation | None, row: Row, journal: Any) -> None:
        if explanation is not None:
            numbers, picture, thumbnail = self._files(row["name"])
            for path in (numbers, thumbnail):
                path.parent.mkdir(parents=True, exist_ok=True)
            photo = self.photos[row["name"]].name
            Outputs(picture, numbers).write(explanation, photo, None, **self.look)
            from pdjax.picture import save_figure

            save_figure(explanation.plot(only="overlay"), thumbnail)
        journal.write(json.dumps(row) + "\n")
        journal.flush()


def _found(explanation: Explanation, seconds: float) -> Row:
    layer = explanation.layers[-1]
    return {
        "class": explanation.names[layer][0],
        "probability": float(explanation.prediction[layer][0]),
        "error": float(explanation.settings["reached_error"][layer]),
        "passes": int(explanation.settings["passes"]),
        "seconds": round(seconds, 2),
        "settings": explanation.caption,
    }


def _check_settings(path: Path, settings: Mapping[str, str], folder: Path) -> None:
    kept: Any = None
    with contextlib.suppress(ValueError):
        kept = json.loads(existing_file(path, "output").read_text("utf-8"))
    if not isinstance(kept, dict):
        raise ArgumentValueError(
            "output", f"has a damaged {path.name}", "choose another folder", value=folder
        )
    for name, value in settings.items():
        if kept.get(name) != value:
            raise ArgumentValueError(
                "output",
                f"has results of other settings: {name} was {kept.get(name)}, not {value}",
                "choose another folder, or give the same settings",
                value=folder,
            )


def _journal(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows that are whole; the last of several of one name counts."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("name"), str):
                    yield row["name"], row
