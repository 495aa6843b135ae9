"""The result of explaining an image: maps, errors, predictions and settings, in one file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import atomic_path, read_npz, write_npz
from pdjax._result_file import packed, unpacked
from pdjax.method.schemes import SCHEMES
from pdjax.picture.look import Look, with_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
        return (
            f"{settings['model']}; {settings['sampler']}; "
            f"{hidden}, {samples}, {settings['passes']:,} forward passes"
        )

    def titles(self, layer: str) -> list[str]:
        """One line per unit of a layer: its name, and what the network gives for it.

        Of a class with synonyms, ``"tabby, tabby cat"``, the first is its name here, unless
        another class has the same.
        """
        is_probability = layer in self.settings["probabilities"]
        symbol = "p" if is_probability else layer
        return [
            f"{name}, {symbol} = {value:.3g}"
            for name, value in zip(self._short_names(layer), self.prediction[layer], strict=True)
        ]

    @with_look
    def plot(
        self,
        layer: str | None = None,
        units: Sequence[int] | Literal["layer"] | None = None,
        *,
        show_error: bool = False,
        show_image: bool = False,
        only: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
        look: Look,
    ) -> Figure:
        """Draw relevance over the photo; of volumes in slices, of series over their lines.

        A layer with one number per class gives a row per class: relevance and overlay, beside the
        photo. A hidden layer gives a grid of its feature maps, strongest first.

        Parameters
        ----------
        layer : str, optional
            The layer; by default the last one explained.
        units : sequence of int or "layer", optional
            Rows of ``relevance[layer]`` to draw; by default the first ten classes, or the sixteen
            strongest feature maps. ``"layer"`` draws the mean of a whole hidden layer.
        show_error : bool
            Whether to show the standard error as well; not for a grid of feature maps.
        show_image : bool
            Whether a grid of feature maps begins with the image.
        only : {"overlay", "map", "image"}, optional
            Nothing but this panel of the first row, without words and frame; `save_figure` writes
            a dot for every pixel.
        ax : matplotlib Axes or sequence of them, optional
            Draw ``only`` this panel, by default the overlay, into axes of a figure of your own,
            one for each row; one axes gets the first.
        look
            Keywords of `pdjax.picture.Look`: ``scale``, ``mode``, ``sign``, ``mute_uncertain``,
            ``cmap``, ``alpha``, ``title``, ``display``, ``bands`` and others.

        Returns
        -------
        matplotlib.figure.Figure
            Notebooks show it at the end of the cell.
        """
        from pdjax.picture import feature_map_grid, relevance_figure

        layer = self._layer(layer)
        hidden = layer in self.layer_relevance
        look = self._look(look)
        one_panel = only is not None or ax is not None
        whole = isinstance(units, str)
        grid = hidden and not one_panel and not whole
        for argument, wanted, fits in (
            ("show_error", show_error, not grid and not one_panel),
            ("show_image", show_image, grid),
        ):
            if wanted and not fits:
                raise ArgumentValueError(
                    argument, "does nothing for this picture", "leave it out", value=True
                )
        if units is None and one_panel:
            units = self._first(layer)[: 1 if ax is None else np.size(np.asarray(ax, object))]
        if not grid:
            maps, errors, titles = self._of(layer, units)
            return relevance_figure(
                self.image,
                maps,
                titles=titles,
                unit=self.measures[layer],
                caption=self.caption,
                standard_error=errors,
                show_error=show_error,
                only=only,
                ax=ax,
                look=look,
            )
        rows = self._strongest(
            layer, None if isinstance(units, str) else units, MAX_MAPS - show_image
        )
        names = self._full_names(layer)
        return feature_map_grid(
            self._on_image(self.relevance[layer][rows]),
            unit=f"{layer}: {self.measures[layer]}",
            image=self.image,
            count=len(rows),
            names=[names[row] for row in rows],
            caption=self.caption,
            standard_error=self._on_image(self.standard_error[layer][rows]),
            show_image=show_image,
            look=look,
        )

    @with_look
    def compare(
        self,
        layers: Sequence[str] | None = None,
        units: Sequence[int] | None = None,
        *,
        look: Look,
    ) -> Figure:
        """Draw the relevance of the same classes in several layers side by side.

        With the layer before the softmax and the probabilities, this shows what speaks for a class
        at all beside what sets it apart from the others (Zintgraf et al., 2017, figure 7). For
        several explanations see `pdjax.compare`.

        Parameters
        ----------
        layers : sequence of str, optional
            Layers that have one row per class; by default all of these that were explained.
        units : sequence of int, optional
            Rows to draw; by default the first ten.
        look
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
            self.image,
            [self._on_image(self.relevance[layer][rows]) for layer in chosen],
            titles=[titles[row] for row in rows],
            columns=chosen,
            units=[self.measures[layer] for layer in chosen],
            caption=self.caption,
            standard_errors=[self._on_image(self.standard_error[each][rows]) for each in chosen],
            look=self._look(look),
        )

    @with_look
    def to_html(
        self,
        path: str | os.PathLike[str],
        layer: str | None = None,
        units: Sequence[int] | Literal["layer"] | None = None,
        *,
        look: Look,
    ) -> None:
        """Write a page to look around in: one file that needs nothing else.

        Parameters
        ----------
        path : path
            The file to write.
        layer, units, look
            As in `plot`; what can be switched in the page is what it opens with.

        Raises
        ------
        ValueError
            If the image is a volume; `plot` draws slices of it.
        """
        from pdjax.picture import relevance_html

        layer = self._layer(layer)
        hidden = layer in self.layer_relevance
        if hidden and units != "layer":
            units = self._strongest(layer, units)
        maps, errors, titles = self._of(layer, units)
        page = relevance_html(
            self.image,
            maps,
            errors,
            titles=titles,
            unit=self.measures[layer],
            symbol=self.symbols[layer],
            caption=self.caption,
            rows="units" if hidden else "classes",
            look=self._look(look),
        )
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def _repr_png_(self) -> bytes:
        """Return the picture of `plot`, which a notebook shows."""
        from pdjax.picture.saving import png_of

        return png_of(self.plot())

    def _repr_html_(self) -> str:
        """Return the picture with its settings as text, for what shows no bare pictures."""
        from pdjax.picture.saving import img_of

        return img_of(self.plot(), repr(self))

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

    def _look(self, look: Look) -> Look:
        """Let values be drawn in the range that they were explained in."""
        bounds = self.settings.get("bounds") if look.bounds is None else look.bounds
        return dataclasses.replace(look, bounds=bounds)

    def _first(self, layer: str) -> list[int]:
        """Rows in the order in which they are drawn."""
        if layer in self.layer_relevance:
            return self._strongest(layer, None)
        return self._rows(layer, None, len(self.names[layer]))

    def _of(
        self, layer: str, units: Sequence[int] | Literal["layer"] | None
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Maps, standard errors and titles of rows, at the size of the image."""
        if units == "layer":
            if layer not in self.layer_relevance:
                raise ArgumentValueError(
                    "units",
                    f"'layer' is for hidden layers, and {layer!r} has a row per class",
                    "give rows, or leave it out",
                )
            maps, errors = self.layer_relevance[layer], self.layer_standard_error[layer]
            return self._on_image(maps[None]), self._on_image(errors[None]), [f"{layer}, mean"]
        rows, titles = self._rows(layer, units, MAX_ROWS), self.titles(layer)
        maps, errors = self.relevance[layer][rows], self.standard_error[layer][rows]
        return self._on_image(maps), self._on_image(errors), [titles[row] for row in rows]

    def _rows(self, layer: str, units: Sequence[int] | None, most: int) -> list[int]:
        count = len(self.names[layer])
        rows = list(range(min(count, most))) if units is None else list(units)
        if not rows or any(not 0 <= row < count for row in rows):
            raise ArgumentValueError(
                "units", f"must be rows of the {count} units of {layer!r}", value=units
            )
        return rows

    def _strongest(
        self, layer: str, units: Sequence[int] | None, most: int = MAX_MAPS
    ) -> list[int]:
        """Rows of a hidden layer, strongest first: those in ``units``, or so many as fit a page."""
        from pdjax.picture import strongest

        rows = self._rows(layer, units, len(self.names[layer]))
        maps = self._on_image(self.relevance[layer][rows])
        return [rows[index] for index in strongest(maps, most if units is None else None)]

    def _full_names(self, layer: str) -> list[str]:
        """Names of the units, with what they are: single units are named by their position."""
        names = self.names[layer]
        if layer not in self.layer_relevance:
            return list(names)
        units = self.settings["units"].get(layer, [0] * len(names))
        kinds = ["feature map" if isinstance(unit, int) else "unit" for unit in units]
        return [f"{kind} {name}" for kind, name in zip(kinds, names, strict=True)]

    def _short_names(self, layer: str) -> list[str]:
        """Names of classes up to the first comma, but for those that would then be the same."""
        names = self._full_names(layer)
        if layer in self.layer_relevance:
            return names
        short = [name.split(",")[0].strip() for name in names]
        return [
            first if first and short.count(first) == 1 else name
            for first, name in zip(short, names, strict=True)
        ]

    def _on_image(self, maps: np.ndarray) -> np.ndarray:
        """Enlarge maps (units, *spatial) of a hidden layer's windows to the pixels of the image."""
        for axis, size in enumerate(self.image.shape[:-1], start=1):
            maps = np.take(maps, np.arange(size) * maps.shape[axis] // size, axis)
        return maps


def stride_in_words(settings: Mapping[str, Any]) -> str:
    """Return the stride of an explanation: one number where it is the same on all axes."""
    return " by ".join(map(str, dict.fromkeys(settings["stride"] or ())))
