"""Figures of series: lines over a band of colours, and the relevance as a curve with its errors."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pdjax._checks import ArgumentValueError
from pdjax.picture._display import lanes, lines_of
from pdjax.picture._page import FAINT, GAP, INK, Picture
from pdjax.picture._panels import (
    FRAME,
    LINE_COLORS,
    MASK_COLOR,
    MUTED_COLOR,
    add_bar,
    relevance_colormap,
    write_in,
    zero_in_words,
)
from pdjax.picture._text import fitted, signed
from pdjax.picture.look import SIGNS, Look
from pdjax.picture.overlay import muted_pixels

__all__ = ["Series", "series_figure", "series_grid", "show_series"]

WIDTH, LINES, LANE, CURVE, STRIP = 6.4, 1.15, 0.22, 0.95, 0.3
TITLE_SIZE, SIZE = 11.0, 8.0
# Lines must be seen over the darkest colours.
BAND_ALPHA = 0.62
MAX_LANES = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A series and maps of its relevance.

    Attributes
    ----------
    values : float array, (n, c)
        In any unit.
    maps : float array, (rows, n)
        Relevance; NaN where it is masked.
    errors : float array, (rows, n), or None
        Standard errors.
    scales : sequence of float
        The relevance that has the strongest colour, of each row.
    look : Look
    """

    values: Float[np.ndarray, "n c"]
    maps: Float[np.ndarray, "rows n"]
    errors: Float[np.ndarray, "rows n"] | None
    scales: Sequence[float]
    look: Look

    def __post_init__(self) -> None:
        if self.look.mode != "grey":
            raise ArgumentValueError(
                "mode",
                "is for images and volumes",
                "leave it out for a series",
                value=self.look.mode,
            )

    @functools.cached_property
    def lines(self) -> Float[np.ndarray, "n lines"]:
        """The values that are drawn."""
        return lines_of(self.values, self.look)


class Page(Picture):
    """A page of panels that are as wide as a series is long."""

    equal = False


def series_figure(
    series: Series, titles: Sequence[str], units: Sequence[str], caption: str
) -> Figure:
    """Draw a row for each map: the series over a band of colours, and the relevance below it.

    Parameters
    ----------
    series : Series
    titles, units : sequence of str
        Of each row.
    caption : str
        The settings in words; may be empty.
    """
    rows, title, height = len(series.maps), series.look.title, _height(series)
    page = Page((WIDTH, height), 1, [height, CURVE] * rows)
    first: Axes | None = None
    for row, (name, unit) in enumerate(zip(titles, units, strict=True)):
        upper = page.add_subplot(page.cells[2 * row, 0], sharex=first)
        first = upper if first is None else first
        largest = float(np.nanmax(np.abs(series.look.of(series.maps[row]))))
        add_bar(_show_lines(upper, series, row), "", height, largest)
        upper.tick_params(labelbottom=False)
        lower = page.add_subplot(page.cells[2 * row + 1, 0], sharex=first)
        _show_curve(lower, series, row, units)
        lower.set_ylabel(
            fitted(unit, width=CURVE, size=SIZE, max_lines=3),
            fontsize=SIZE,
            color=INK,
            parse_math=False,
        )
        lower.tick_params(labelbottom=row == rows - 1)
        words = title if title is not None and rows == 1 else name
        words = fitted(words, width=WIDTH, size=TITLE_SIZE, max_lines=1, weight="bold")
        upper.set_title(
            words, loc="left", fontsize=TITLE_SIZE, fontweight="bold", color=INK, parse_math=False
        )
    lower.set_xlabel("position", fontsize=SIZE, color=FAINT)
    if title and rows > 1:
        page.suptitle(title, fontsize=13, fontweight="bold", color=INK, parse_math=False)
    width = page.fit() - GAP
    page.finish("\n".join(filter(None, (_notes(series), caption))), width)
    return page


def series_grid(
    series: Series, names: Sequence[str], unit: str, amounts: Sequence[float], caption: str
) -> Figure:
    """Draw the series, and below it a band of colours for each map with its name and scale."""
    rows = len(series.maps)
    height = _height(series)
    page = Page((WIDTH, height), 1, [height] + [STRIP] * rows)
    upper = page.add_subplot(page.cells[0, 0])
    _draw_lines(upper, series)
    upper.tick_params(labelbottom=False)
    one_scale = len(set(series.scales)) == 1
    for row, (name, amount) in enumerate(zip(names, amounts, strict=True)):
        axes = page.add_subplot(page.cells[row + 1, 0], sharex=upper)
        _show_band(axes, series, row, (0.0, 1.0), 1.0)
        axes.set(yticks=[])
        axes.spines[:].set(linewidth=0.5, color=FRAME)
        right = f"\N{PLUS-MINUS SIGN}{series.scales[row]:.3g}" if amount else "0 everywhere"
        write_in(axes, -0.01, 0.5, name, "right")
        if not (one_scale and amount) or row == 0:
            write_in(axes, 1.01, 0.5, right, "left")
        axes.tick_params(labelbottom=row == rows - 1, labelsize=SIZE, length=2.5, width=0.5)
    axes.set_xlabel("position", fontsize=SIZE, color=FAINT)
    width = page.fit() - GAP
    note = f"{unit}; the scale stands beside {'the first band' if one_scale else 'each band'}."
    page.finish("\n".join(filter(None, (note, _notes(series, False), caption))), width)
    return page


def show_series(
    series: Series,
    names: Sequence[str],
    unit: str,
    only: str | None,
    places: Sequence[Axes] | None,
) -> Figure:
    """Draw one panel of each row into axes, or of the only row into a figure of its own."""
    if places is None:
        if len(series.maps) > 1:
            raise ArgumentValueError(
                "only",
                f"is for one row, and there are {len(series.maps)}",
                "choose one with units=[0]",
            )
        page = Page((WIDTH, LINES), 1, [LINES])
        page.set_size_inches(WIDTH, LINES)
        axes = page.add_axes((0, 0, 1, 1))
        _show_panel(axes, series, 0, unit, only)
        axes.set_axis_off()
        page.ready()
        return page
    for row, (axes, name) in enumerate(zip(places, names, strict=True)):
        _show_panel(axes, series, row, unit, only)
        title = name if series.look.title is None else series.look.title
        axes.set_title(title, color=INK, parse_math=False)
    figure = places[0].figure
    return figure if isinstance(figure, Figure) else figure.figure


def _height(series: Series) -> float:
    """Return the inches of the panel of lines: more where there are several."""
    return LINES + LANE * (min(series.lines.shape[1], MAX_LANES) - 1)


def _show_panel(axes: Axes, series: Series, row: int, unit: str, only: str | None) -> None:
    if only == "map":
        _show_curve(axes, series, row, [unit] * len(series.maps))
    elif only == "image":
        _draw_lines(axes, series)
    else:
        _show_lines(axes, series, row)


def _show_lines(axes: Axes, series: Series, row: int) -> AxesImage:
    """Draw the series over a band of colours, that of its relevance; return the band."""
    _draw_lines(axes, series)
    band = _show_band(axes, series, row, axes.get_ylim(), BAND_ALPHA)
    return band


def _draw_lines(axes: Axes, series: Series) -> None:
    """Draw the series: one line in its own unit, several each in a lane, very many as an image."""
    lines = series.lines
    length, count = lines.shape
    places = np.arange(length)
    if count > MAX_LANES:
        axes.imshow(
            lines.T,
            aspect="auto",
            cmap="Greys",
            extent=(-0.5, length - 0.5, count - 0.5, -0.5),
            zorder=1.5,
            alpha=0.75,
        )
        axes.set_ylabel("channel", fontsize=SIZE, color=INK)
    elif count == 1:
        axes.plot(places, lines[:, 0], color=INK, linewidth=1.0, zorder=3)
        low, high = float(lines.min()), float(lines.max())
        margin = 0.08 * (high - low) or 0.5
        axes.set_ylim(low - margin, high + margin)
    else:
        for lane, values in enumerate(lanes(lines).T):
            axes.plot(places, values + count - 1 - lane, color=INK, linewidth=0.9, zorder=3)
        labels = range(count) if series.look.bands is None else np.atleast_1d(series.look.bands)
        axes.set_yticks(np.arange(count)[::-1] + 0.5, [str(label) for label in labels])
        axes.set_ylabel("channel", fontsize=SIZE, color=INK)
        axes.set_ylim(0, count)
    axes.set_xlim(-0.5, length - 0.5)
    _style(axes)


def _show_band(
    axes: Axes, series: Series, row: int, limits: tuple[float, float], alpha: float
) -> AxesImage:
    """Draw relevance as a band of colours from the bottom to the top of the axes."""
    look, scale, relevance = series.look, series.scales[row], series.maps[row]
    length = len(relevance)
    extent = (-0.5, length - 0.5, *limits)
    band = axes.imshow(
        look.of(relevance)[None],
        cmap=relevance_colormap(look),
        vmin=-scale,
        vmax=scale,
        extent=extent,
        aspect="auto",
        interpolation="nearest",
        alpha=alpha if look.alpha is None else look.alpha,
        zorder=1,
    )
    errors = None if series.errors is None else series.errors[row]
    muted = muted_pixels(relevance, errors, look.mute_uncertain)
    low, high = limits
    for where, face, hatch in ((muted, MUTED_COLOR, None), (np.isnan(relevance), "white", "////")):
        if where.any():
            edges = np.append(np.arange(length) - 0.5, length - 0.5)
            axes.fill_between(
                edges,
                low,
                high,
                where=np.append(where, where[-1]).tolist(),
                step="post",
                facecolor=face,
                edgecolor=MASK_COLOR,
                hatch=hatch,
                linewidth=0,
                zorder=1.2,
            )
    axes.set(xlim=(-0.5, length - 0.5), ylim=limits)
    return band


def _show_curve(axes: Axes, series: Series, row: int, units: Sequence[str]) -> None:
    """Draw relevance as a curve with two standard errors either way."""
    look, places = series.look, np.arange(series.maps.shape[1])
    values = look.of(series.maps[row])
    axes.axhline(0, color=FRAME, linewidth=0.7, zorder=1)
    for sign, color in zip((1, -1), LINE_COLORS, strict=True):
        beyond = sign * np.maximum(sign * values, 0)
        axes.fill_between(places, 0, beyond, color=color, alpha=0.35, linewidth=0, zorder=1.5)
    if series.errors is not None:
        spread = 2 * series.errors[row]
        low, high = values - spread, values + spread
        axes.fill_between(places, low, high, color=INK, alpha=0.22, linewidth=0, zorder=2)
    axes.plot(places, values, color=INK, linewidth=0.9, zorder=3)
    alike = [
        other
        for other, unit in enumerate(units)
        if (unit, series.scales[other]) == (units[row], series.scales[row])
    ]
    reach = np.abs(series.maps[alike])
    if series.errors is not None:
        reach = reach + 2 * series.errors[alike]
    limit = 1.06 * max(float(np.nanmax(reach)), series.scales[row])
    axes.set(xlim=(-0.5, len(places) - 0.5), ylim=(-limit, limit))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(signed))
    if not np.nan_to_num(values).any():
        write_in(axes, 0.5, 0.75, zero_in_words(look), "center")
    _style(axes)


def _style(axes: Axes) -> None:
    axes.tick_params(labelsize=SIZE, width=0.5, length=2.5, color=FRAME, labelcolor=INK)
    axes.spines[:].set(linewidth=0.5, color=FRAME)
    axes.grid(False)


def _notes(series: Series, curves: bool = True) -> str:
    look, notes = series.look, []
    if curves and series.errors is not None:
        notes.append("Grey around the curve: two standard errors either way.")
    if look.sign != SIGNS[0]:
        notes.append(f"Only {look.sign} relevance is drawn.")
    if look.mute_uncertain:
        notes.append("Grey in the band: less than two standard errors from zero.")
    if np.isnan(series.maps).any():
        notes.append("Hatched: not explained.")
    return " ".join(notes)
