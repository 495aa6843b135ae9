"""The files of a run: a picture or page, and the numbers beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pdjax.explanation import Explanation
from pdjax.picture import save_figure

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
        cls.check(picture)
        if picture.suffix.lower() not in (*PICTURES, PAGE):
            raise ValueError(
                f"output: {str(picture)!r} must end in {', '.join((*PICTURES, PAGE))}; the numbers "
                "go beside it"
            )
        outputs = cls(picture, picture.with_suffix(".npz"))
        if checkpoint is not None and checkpoint.resolve() in [path.resolve() for path in outputs]:
            raise ValueError(
                f"checkpoint={str(checkpoint)!r} is where the result will be written; give another "
                "name, such as --checkpoint state.npz"
            )
        return outputs

    @staticmethod
    def check(path: Path) -> None:
        """Raise FileNotFoundError or PermissionError if ``path`` cannot be written."""
        folder = path.parent
        if not folder.is_dir():
            raise FileNotFoundError(f"output: there is no folder {str(folder)!r}; create it first")
        if path.is_dir():
            raise IsADirectoryError(f"output: {str(path)!r} is a folder; name a file in it")
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            raise PermissionError(
                f"output: {str(folder)!r} is not writable; choose another folder"
            ) from None

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
        else:
            figure = explanation.plot(
                layer, units, show_error=show_error, mute_uncertain=mute_uncertain
            )
            save_figure(figure, path)
