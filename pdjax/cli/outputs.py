"""The files of a run: a picture or page, and the numbers beside it. Nothing is overwritten."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pdjax._checks import ArgumentValueError
from pdjax._explain.request import Request
from pdjax._files import writable_folder
from pdjax._page_windows import shown_grid
from pdjax.explanation import Explanation
from pdjax.method.contents import WindowSamples, window_samples
from pdjax.method.windows import WindowGrid

__all__ = ["Outputs", "kept_apart"]

PICTURES = (".png", ".pdf", ".svg", ".jpg")
PAGE = ".html"


class Outputs(NamedTuple):
    """Where a run writes to, checked before it starts.

    Attributes
    ----------
    picture : Path
        A picture, or a page where the suffix is ``.html``.
    numbers : Path
        The saved explanation.
    """

    picture: Path
    numbers: Path

    @classmethod
    def of(
        cls,
        picture: Path,
        checkpoint: Path | None = None,
        *,
        inputs: Sequence[Path] = (),
        overwrite: bool = False,
    ) -> Outputs:
        """Name the files after the picture, see `kept_apart`, or raise if none could be written."""
        if picture.suffix.lower() not in (*PICTURES, PAGE):
            raise ArgumentValueError(
                "output",
                "is neither a picture nor a page",
                f"let it end in {', '.join((*PICTURES, PAGE))}; the numbers go beside it",
                value=picture,
            )
        outputs = cls(*kept_apart(picture, ".npz", inputs=inputs, overwrite=overwrite))
        if checkpoint is not None and checkpoint.resolve() in [path.resolve() for path in outputs]:
            raise ArgumentValueError(
                "checkpoint",
                "is where the result will be written",
                "give another name, such as state.npz",
                value=checkpoint,
            )
        return outputs

    @staticmethod
    def check_errors(picture: Path, show_error: bool) -> None:
        """Raise ValueError where errors are to be shown beside the maps of a page."""
        if show_error and picture.suffix.lower() == PAGE:
            raise ArgumentValueError(
                "show_error", "does nothing for a page, which has a view of errors", "leave it out"
            )

    def write(
        self,
        explanation: Explanation,
        photo: str,
        request: Request | None,
        *,
        show_error: bool,
        mute_uncertain: bool,
    ) -> None:
        """Write the numbers, with the name of the photo, then the picture or page.

        A page shows what was put into windows if it is given the request.
        """
        settings = explanation.settings | {"photo": photo}
        explanation = dataclasses.replace(explanation, settings=settings)
        explanation.save(self.numbers)
        self.draw(
            explanation,
            self.picture,
            fills=None if request is None else self._fills(request, explanation),
            show_error=show_error,
            mute_uncertain=mute_uncertain,
        )

    def _fills(self, request: Request, explanation: Explanation) -> WindowSamples | None:
        """Return what a run put into windows, where it ends in a page that can show it."""
        grid = request.grid
        page = self.picture.suffix.lower() == PAGE
        if not page or request.start is not None or not isinstance(grid, WindowGrid):
            return None
        # The windows of a stage of a preview are fewer than those of the request.
        grid = shown_grid(WindowGrid(grid.spatial, grid.window, explanation.settings["stride"]))
        return window_samples(
            request.pixels,
            request.sampler,
            rng_key=request.rng_key,
            num_samples=request.scheme.num_samples,
            stride=grid.stride,
            sampling=request.sampling,
            bounds=request.image_bounds,
        )

    @staticmethod
    def draw(
        explanation: Explanation,
        path: Path,
        *,
        layer: str | None = None,
        units: Sequence[int] | None = None,
        fills: WindowSamples | None = None,
        show_error: bool = False,
        mute_uncertain: bool = False,
    ) -> None:
        """Write a picture, or a page where the suffix is ``.html``, which may show fills."""
        if path.suffix.lower() == PAGE:
            explanation.to_html(path, layer, units, fills=fills, mute_uncertain=mute_uncertain)
            return
        from pdjax.picture import save_figure

        figure = explanation.plot(
            layer, units, show_error=show_error, mute_uncertain=mute_uncertain
        )
        save_figure(figure, path)


def kept_apart(
    path: Path, *beside: str, inputs: Sequence[Path] = (), overwrite: bool = False
) -> tuple[Path, ...]:
    """Return a path to write to, and those with other suffixes beside it.

    Where one of them exists, all get the next free number, ``cat-2.png``, unless they are to be
    overwritten.

    Raises
    ------
    ValueError, OSError
        If a file that is read would be written to, or the folder is not there or not writable.
    """
    writable_folder(path)
    for number in itertools.count(1):
        named = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        paths = (named, *(named.with_suffix(suffix) for suffix in beside))
        for each in paths if number == 1 else ():
            if each.exists() and any(given.exists() and each.samefile(given) for given in inputs):
                raise ArgumentValueError(
                    "output",
                    "would be written over what is read" + f" ({each})" * (each != path),
                    "give another name",
                    value=path,
                )
        if overwrite or not any(each.exists() for each in paths):
            return paths
    raise AssertionError("numbers have no end")
