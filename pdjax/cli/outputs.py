"""The files of a run: a picture or page, and the numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pdjax._checks import ArgumentValueError
from pdjax._files import writable_folder
from pdjax.explanation import Explanation

__all__ = ["Outputs"]

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
    def of(cls, picture: Path, checkpoint: Path | None = None) -> Outputs:
        """Name the files after the picture, or raise if they could not be written."""
        writable_folder(picture)
        if picture.suffix.lower() not in (*PICTURES, PAGE):
            raise ArgumentValueError(
                "output",
                "is neither a picture nor a page",
                f"let it end in {', '.join((*PICTURES, PAGE))}; the numbers go beside it",
                value=picture,
            )
        outputs = cls(picture, picture.with_suffix(".npz"))
        if checkpoint is not None and checkpoint.resolve() in [path.resolve() for path in outputs]:
            raise ArgumentValueError(
                "checkpoint",
                "is where the result will be written",
                "give another name, such as state.npz",
                value=checkpoint,
            )
        return outputs

    def write(self, explanation: Explanation, *, show_error: bool, mute_uncertain: bool) -> None:
        """Write the numbers, then the picture or page."""
        explanation.save(self.numbers)
        self.draw(explanation, self.picture, show_error=show_error, mute_uncertain=mute_uncertain)

    @staticmethod
    def draw(
        explanation: Explanation,
        path: Path,
        *,
        layer: str | None = None,
        units: Sequence[int] | None = None,
        show_error: bool = False,
        mute_uncertain: bool = False,
    ) -> None:
        """Write a picture, or a page where the suffix is ``.html``."""
        if path.suffix.lower() == PAGE:
            explanation.to_html(path, layer, units, mute_uncertain=mute_uncertain)
            return
        from pdjax.picture import save_figure

        figure = explanation.plot(
            layer, units, show_error=show_error, mute_uncertain=mute_uncertain
        )
        save_figure(figure, path)
