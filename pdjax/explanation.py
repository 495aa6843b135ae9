"""The result of explaining an image: maps, errors, predictions and settings, in one file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import atomic_path, read_npz, write_npz
from pdjax._result_file import packed, unpacked
from pdjax.method.schemes import SCHEMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explanation", "stride_in_words"]

MAX_ROWS = 10
MAX_MAPS = 16


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Relevance of every pixel of one image, with standard errors.

    Each dict has the explained layers as keys and arrays with one row per unit: a class where the
    layer has one number per class, otherwise a feature map (the mean over its units) or a unit.

    Attributes
    ----------
    image : float array, shape (*spatial, c)
        The image that was explained, in its own unit.
    relevance, standard_error : dict of float array (units, *spatial)
        Of every pixel, with the Monte-Carlo standard error; see `pdjax.sampling` for intervals
        where samples are few. NaN where only a part was explained and elsewhere (see ``where`` and
        ``regions`` of `explain`).
    window_relevance, window_standard_error : dict of float array (units, *grid)
        Of every window, or (units, regions) of every region.
    layer_relevance, layer_standard_error : dict of float array (*spatial)
        Of every pixel for the mean of a whole layer; only of hidden layers.
    prediction : dict of float array (units,)
        The output for the image as it is.
    names : dict of tuple of str
        Names of the units.
    measures : dict of str
        What relevance is, with its unit, e.g. ``"weight of evidence (bits)"``.
    symbols : dict of str
        What follows a number of relevance: ``"bits"``, or nothing.
    settings : dict
        How it was computed: numbers and strings.
    """

    image: np.ndarray
    relevance: dict[str, np.ndarray]
    standard_error: dict[str, np.ndarray]
    window_relevance: dict[str, np.ndarray]
    window_standard_error: dict[str, np.ndarray]
    layer_relevance: dict[str, np.ndarray]
    layer_standard_error: dict[str, np.ndarray]
    prediction: dict[str, np.ndarray]
    names: dict[str, tuple[str, ...]]
    measures: dict[str, str]
    symbols: dict[str, str]
    settings: dict[str, Any]

    def __repr__(self) -> str:
        return f"Explanation({self.caption}; layers {', '.join(self.layers)})"

    @property
    def layers(self) -> tuple[str, ...]:
        """The explained layers."""
        return tuple(self.names)

    @property
    def caption(self) -> str:
        """The settings in words, as a line for below pictures."""
        settings = self.settings
        where = f" of {settings['start']}" if settings.get("start") else ""
        hidden = "windows of " + " by ".join(map(str, settings["window"])) + " pixels"
        hidden += f"{where} at stride {stride_in_words(settings)}"
        if settings.get("regions") is not None:
            hidden = f"{len(settings['regions'])} regions{where}"
        if settings.get("channels") is not None:
            hidden += f" in channel {' or '.join(map(str, settings['channels']))}"
        if settings.get("where") is not None:
            hidden += f" for {settings['where']:.1%} of the pixels"
        least = settings["num_samples"]
        most = settings.get("most_samples", least)
        samples = str(least) if least == most else f"{least} to {most}"
        one = "window" if settings.get("regions") is None else "region"
        samples += f" sample{'s' if most > 1 else ''} a {one}"
        # Files that were written before there was a choice have independent samples.
        scheme = settings.get("sampling", SCHEMES[0])
        samples += "" if scheme == SCHEMES[0] else f" ({scheme})"
        correction = settings["num_training_images"]
        return (
            f"{settings['model']}; {settings['sampler']}; "
            f"{hidden}, {samples}, {settings['passes']:,} forward passes"
            + ("" if correction is None else f"; Laplace's correction with N = {correction:,}")
        )

    def titles(self, layer: str) -> list[str]:
        """One line per unit of a layer: its name, and what the network gives for it."""
        is_probability = layer in self.settings["probabilities"]
        symbol = "p" if is_probability else layer
        return [
            f"{name}, {symbol} = {value:.3g}"
            for name, value in zip(self._full_names(layer), self.prediction[layer], strict=True)
        ]

    def plot(
        self,
        layer: str | None = None,
        units: Sequence[int] | None = None,
        *,
        show_error: bool = False,
        mute_uncertain: bool = False,
        display: np.ndarray | None = None,
    ) -> Figure:
        """Draw relevance over the photo.

        A layer with one number per class gives a row per class: photo, relevance and overlay. A
        hidden layer gives a grid of its feature maps, strongest first.

        Parameters
        ----------
        layer : str, optional
            The layer; by default the last one explained.
        units : sequence of int, optional
            Rows of ``relevance[layer]`` to draw; by default the first ten classes, or the sixteen
            strongest feature maps.
        show_error : bool
            Whether to show the standard error as well; for classes only.
        mute_uncertain : bool
            Whether pixels whose relevance is less than two standard errors from zero are grey, or
            uncoloured over the photo.
        display : float array, shape (*spatial, 1 or 3), optional
            A picture to draw instead of the image, in [0, 1]. By default the image itself, from
            its bounds to [0, 1], or from its least to its largest value where it has none.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from pdjax.picture import feature_map_grid, relevance_figure

        layer = self._layer(layer)
        if layer in self.layer_relevance:
            rows = self._strongest(layer, units)
            names = self._full_names(layer)
            return feature_map_grid(
                self._on_image(self.relevance[layer][rows]),
                unit=f"{layer}: {self.measures[layer]}",
                image=self._shown(display),
                count=len(rows),
                names=[names[row] for row in rows],
                caption=self.caption,
                standard_error=self._on_image(self.standard_error[layer][rows]),
                mute_uncertain=mute_uncertain,
            )
        rows = self._rows(layer, units, MAX_ROWS)
        return relevance_figure(
            self._shown(display),
            self._on_image(self.relevance[layer][rows]),
            titles=[self.titles(layer)[row] for row in rows],
            unit=self.measures[layer],
            caption=self.caption,
            standard_error=self._on_image(self.standard_error[layer][rows]),
            show_error=show_error,
            mute_uncertain=mute_uncertain,
        )

    def compare(
        self,
        layers: Sequence[str] | None = None,
        units: Sequence[int] | None = None,
        *,
        mute_uncertain: bool = False,
        display: np.ndarray | None = None,
    ) -> Figure:
        """Draw the relevance of the same classes in several layers side by side.

        With the layer before the softmax and the probabilities, this shows what speaks for a class
        at all beside what sets it apart from the others (Zintgraf et al., 2017, figure 7).

        Parameters
        ----------
        layers : sequence of str, optional
            Layers that have one row per class; by default all of these that were explained.
        units : sequence of int, optional
            Rows to draw; by default the first ten.
        mute_uncertain : bool
            As in `plot`.
        display : float array, optional
            As in `plot`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If there are fewer than two layers, or their rows are not the same classes.
        """
        from pdjax.picture import comparison_figure

        of_classes = tuple(layer for layer in self.layers if layer not in self.layer_relevance)
        chosen = of_classes if layers is None else tuple(layers)
        if len(chosen) < 2 or not set(chosen) <= set(of_classes):
            raise ArgumentValueError(
                "layers",
                "must be at least two layers with one row per class, of those explained "
                f"{of_classes}",
                "explain more of them with pdjax.explain(layers=...)",
                value=layers,
            )
        if len({self.names[layer] for layer in chosen}) > 1:
            raise ArgumentValueError(
                "layers", "have rows of different classes", "give others", value=chosen
            )
        rows = self._rows(chosen[-1], units, MAX_ROWS)
        probabilities = self.settings["probabilities"]
        titles = self.titles(([each for each in chosen if each in probabilities] or chosen)[-1])
        return comparison_figure(
            self._shown(display),
            [self._on_image(self.relevance[layer][rows]) for layer in chosen],
            titles=[titles[row] for row in rows],
            columns=chosen,
            units=[self.measures[layer] for layer in chosen],
            caption=self.caption,
            standard_errors=[self._on_image(self.standard_error[each][rows]) for each in chosen],
            mute_uncertain=mute_uncertain,
        )

    def to_html(
        self,
        path: str | os.PathLike[str],
        layer: str | None = None,
        units: Sequence[int] | None = None,
        *,
        mute_uncertain: bool = False,
        display: np.ndarray | None = None,
    ) -> None:
        """Write a page to look around in: one file that needs nothing else.

        Parameters
        ----------
        path : path
            The file to write.
        layer, units
            As in `plot`.
        mute_uncertain : bool
            As in `plot`, when the page is opened; a box in the page switches it.
        display : float array, optional
            As in `plot`.
        """
        from pdjax.picture import relevance_html

        layer = self._layer(layer)
        hidden = layer in self.layer_relevance
        rows = self._strongest(layer, units) if hidden else self._rows(layer, units, MAX_ROWS)
        page = relevance_html(
            self._shown(display),
            self._on_image(self.relevance[layer][rows]),
            self._on_image(self.standard_error[layer][rows]),
            titles=[self.titles(layer)[row] for row in rows],
            unit=self.measures[layer],
            symbol=self.symbols[layer],
            caption=self.caption,
            rows="units" if hidden else "classes",
            mute_uncertain=mute_uncertain,
        )
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as a compressed ``.npz`` file of plain arrays."""
        write_npz(path, packed(vars(self)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged or something else.
        """
        arrays = read_npz(path, "explanation")
        try:
            result = cls(**unpacked(arrays))
            # Words are made of the settings, so this shows whether those are complete.
            _ = result.caption, [result.titles(layer) for layer in result.layers]
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ArgumentValueError(
                "explanation",
                f"is not a saved explanation ({error})",
                "make one with `pdjax explain` or Explanation.save",
                value=os.fspath(path),
            ) from None
        return result

    def _layer(self, layer: str | None) -> str:
        layer = self.layers[-1] if layer is None else layer
        if layer not in self.layers:
            raise ArgumentValueError(
                "layer", "was not explained", f"choose from {', '.join(self.layers)}", value=layer
            )
        return layer

    def _rows(self, layer: str, units: Sequence[int] | None, most: int) -> list[int]:
        count = len(self.names[layer])
        rows = list(range(min(count, most))) if units is None else list(units)
        if not rows or any(not 0 <= row < count for row in rows):
            raise ArgumentValueError(
                "units", f"must be rows of the {count} units of {layer!r}", value=units
            )
        return rows

    def _strongest(self, layer: str, units: Sequence[int] | None) -> list[int]:
        """Rows of a hidden layer, strongest first: those in ``units``, or so many as fit a page."""
        from pdjax.picture import strongest

        rows = self._rows(layer, units, len(self.names[layer]))
        maps = self._on_image(self.relevance[layer][rows])
        return [rows[index] for index in strongest(maps, MAX_MAPS if units is None else None)]

    def _full_names(self, layer: str) -> list[str]:
        """Names of the units, with what they are: single units are named by their position."""
        names = self.names[layer]
        if layer not in self.layer_relevance:
            return list(names)
        units = self.settings["units"].get(layer, [0] * len(names))
        kinds = ["feature map" if isinstance(unit, int) else "unit" for unit in units]
        return [f"{kind} {name}" for kind, name in zip(kinds, names, strict=True)]

    def _shown(self, display: np.ndarray | None) -> np.ndarray:
        """Return what is drawn of the image: a picture that was given, or itself in [0, 1].

        A series is a line, which has the unit of the image.
        """
        if display is not None:
            if np.shape(display)[:-1] != self.image.shape[:-1]:
                raise ArgumentValueError(
                    "display",
                    f"of shape {np.shape(display)} does not have the pixels of the image, "
                    f"{self.image.shape}",
                    "give one of the same size, with one or three channels",
                )
            return display
        # Files that were written before there were bounds hold images in [0, 1].
        bounds = self.settings.get("bounds", (0, 1))
        if self.image.ndim == 2 or (bounds is not None and tuple(bounds) == (0, 1)):
            return self.image
        low, high = bounds or (self.image.min(), self.image.max())
        if not np.isfinite([low, high]).all():
            low, high = self.image.min(), self.image.max()
        span = float(high) - float(low) or 1.0
        return np.clip((self.image - np.float32(low)) / np.float32(span), 0, 1)

    def _on_image(self, maps: np.ndarray) -> np.ndarray:
        """Enlarge maps (units, *spatial) of a hidden layer's windows to the pixels of the image.

        Where only a part was explained, the rest is masked.
        """
        for axis, size in enumerate(self.image.shape[:-1], start=1):
            maps = np.take(maps, np.arange(size) * maps.shape[axis] // size, axis)
        in_part = any(self.settings.get(name) is not None for name in ("where", "regions"))
        return np.ma.masked_invalid(maps) if in_part else maps


def stride_in_words(settings: Mapping[str, Any]) -> str:
    """Return the stride of an explanation: one number where it is the same on all axes."""
    return " by ".join(map(str, dict.fromkeys(settings["stride"] or ())))
