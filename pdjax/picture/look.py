"""How a picture is drawn: what the colours mean, what is left out, how the image is shown."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentValueError, check_choice, check_pair
from pdjax.picture._checks import check_scale, check_share, is_number

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

__all__ = ["MODES", "SCALES", "SIGNS", "Look", "with_look"]

SCALES = ("all", "row", "each")
MODES = ("grey", "color", "contour", "strongest")
SIGNS = ("both", "positive", "negative")
LEVELS_IN = ("unit", "errors")
PERCENT = 10.0

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Look:
    """How a picture is drawn; every picture function takes these as keywords.

    Attributes
    ----------
    scale : {"all", "row", "each"} or float, optional
        The relevance that has the strongest colour: one for all maps of the same unit, one for
        those of a row, one for each map, or a number in the unit (bits). By default one for all
        classes of an image, and one for each feature map.
    sign : {"both", "positive", "negative"}
        Whether only evidence in favour, or only evidence against, is drawn.
    mute_uncertain : bool
        Whether pixels whose relevance is less than two standard errors from zero are grey in maps
        and uncoloured over the photo.
    mode : {"grey", "color", "contour", "strongest"}
        What lies over the photo: colours over a light grey photo or over the photo as it is, lines
        around the evidence, or the photo with all but the strongest pixels faded.
    levels : float or sequence of float, optional
        With ``mode="contour"``, the absolute relevance that lines are drawn at; by default half of
        the scale, or two standard errors.
    levels_in : {"unit", "errors"}
        Whether levels are in the unit of relevance or in standard errors.
    percent : float, optional
        With ``mode="strongest"``, the share of pixels that stay, in (0, 100]; by default 10.
    cmap : str or matplotlib Colormap, optional
        Other colours, from ``-scale`` to ``+scale``; a diverging map keeps zero neutral.
    alpha : float, optional
        Opacity of the strongest colour over the photo, in [0, 1].
    display : float array, optional
        What is drawn in place of the image: ``(*spatial, 3)`` or ``(*spatial, 1)`` in [0, 1], of a
        series ``(n, c)`` in any unit.
    bands : int or sequence of int, optional
        The channel that is drawn in grey, or the three drawn as red, green and blue. By default
        the first three, or the mean where there are fewer; of a series, all.
    bounds : pair of float, optional
        The values drawn as black and white. By default 0 and 1, or the least and the largest where
        the image has values beyond those.
    title : str, optional
        A title over everything; where there is one row, in place of its own.
    """

    scale: str | float | int | None = None
    sign: str = SIGNS[0]
    mute_uncertain: bool = False
    mode: str = MODES[0]
    levels: float | int | Sequence[float | int] | None = None
    levels_in: str = LEVELS_IN[0]
    percent: float | int | None = None
    cmap: str | Colormap | None = None
    alpha: float | int | None = None
    display: ArrayLike | None = None
    bands: int | Sequence[int] | None = None
    bounds: Sequence[float | int] | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.scale, str):
            check_choice("scale", self.scale, SCALES)
        elif self.scale is not None:
            check_scale(self.scale, f", or one of {', '.join(SCALES)}")
        check_choice("sign", self.sign, SIGNS)
        check_choice("mode", self.mode, MODES)
        check_choice("levels_in", self.levels_in, LEVELS_IN)
        for argument, mode in (("levels", "contour"), ("percent", "strongest")):
            value = getattr(self, argument)
            if value is not None and self.mode != mode:
                raise ArgumentValueError(
                    argument, f"is only for mode={mode!r}", "leave it out", value=value
                )
        if self.levels_in != LEVELS_IN[0] and self.mode != "contour":
            raise ArgumentValueError(
                "levels_in", "is only for mode='contour'", "leave it out", value=self.levels_in
            )
        if not all(is_number(level) and level > 0 for level in self.contours or (1.0,)):
            raise ArgumentValueError("levels", "must be finite numbers above 0", value=self.levels)
        if self.percent is not None and not (is_number(self.percent) and 0 < self.percent <= 100):
            raise ArgumentValueError(
                "percent", "must be a number above 0, at most 100", value=self.percent
            )
        if self.alpha is not None:
            check_share("alpha", self.alpha)
        check_pair("bounds", self.bounds)

    @property
    def contours(self) -> tuple[float, ...]:
        """The levels of lines; empty where none were given."""
        if self.levels is None:
            return ()
        return (self.levels,) if np.ndim(self.levels) == 0 else tuple(self.levels)  # type: ignore

    @property
    def share(self) -> float:
        """The share of pixels that stay with ``mode="strongest"``, at most 1."""
        return (PERCENT if self.percent is None else self.percent) / 100

    def of(self, relevance: np.ndarray) -> np.ndarray:
        """Return maps without the evidence of the sign that is left out; masked pixels stay NaN."""
        if self.sign == "positive":
            return np.maximum(relevance, 0)
        return np.minimum(relevance, 0) if self.sign == "negative" else relevance


def with_look(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let a function with an argument ``look`` take its fields as keywords of its own.

    A `Look` that is made already can be passed as ``look=``; keywords beside it replace its fields.
    """
    signature = inspect.signature(function)
    own = {name: each for name, each in signature.parameters.items() if name != "look"}
    every = inspect.signature(Look).parameters
    fields = {name: each for name, each in every.items() if name not in own}

    @functools.wraps(function)
    def called(*args: Any, look: Look | None = None, **kwargs: Any) -> Result:
        chosen = {name: kwargs.pop(name) for name in fields if name in kwargs}
        made = Look(**chosen) if look is None else dataclasses.replace(look, **chosen)
        return function(*args, look=made, **kwargs)

    called.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own.values(), *fields.values()]
    )
    return called
