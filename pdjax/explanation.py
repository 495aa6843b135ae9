"""The result of explaining an image: maps, errors, predictions and settings, in one file."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pdjax._caption import caption_of
from pdjax._checks import ArgumentError, ArgumentValueError
from pdjax._drawn import (
    MAX_MAPS,
    compared,
    drawn_of,
    explained,
    full_names,
    in_order,
    on_image,
    page_layers,
    rows_of,
    shown_look,
    strongest_of,
    titles_of,
)
from pdjax._files import atomic_path, read_npz, write_npz
from pdjax._page_windows import page_windows
from pdjax._result_file import packed, unpacked
from pdjax._tables import Box, data_frame, strongest_boxes, write_csv
from pdjax.method.contents import WindowSamples
from pdjax.picture.look import Look, with_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

__all__ = ["Explanation"]


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
        return caption_of(self.settings)

    def titles(self, layer: str) -> list[str]:
        """One line per unit of a layer: its name, and what the network gives for it.

        Of a class with synonyms, ``"tabby, tabby cat"``, the first is its name here, unless
        another class has the same.
        """
        return titles_of(self, layer)

    @with_look
    def plot(
        self,
        layer: str | None = None,
        units: Sequence[int] | str | None = None,
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
        """
        from pdjax.picture import feature_map_grid, relevance_figure

        layer = explained(self, layer)
        hidden = layer in self.layer_relevance
        look = shown_look(self, look)
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
            units = in_order(self, layer)[: 1 if ax is None else np.size(np.asarray(ax, object))]
        if not grid:
            maps, errors, titles = drawn_of(self, layer, units)
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
        rows = strongest_of(
            self, layer, None if isinstance(units, str) else units, MAX_MAPS - show_image
        )
        names = full_names(self, layer)
        return feature_map_grid(
            on_image(self, self.relevance[layer][rows]),
            unit=f"{layer}: {self.measures[layer]}",
            image=self.image,
            count=len(rows),
            names=[names[row] for row in rows],
            caption=self.caption,
            standard_error=on_image(self, self.standard_error[layer][rows]),
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

        chosen = compared(self, layers)
        rows = rows_of(self, chosen[-1], units)
        probabilities = self.settings["probabilities"]
        titles = self.titles(([each for each in chosen if each in probabilities] or chosen)[-1])
        return comparison_figure(
            self.image,
            [on_image(self, self.relevance[layer][rows]) for layer in chosen],
            titles=[titles[row] for row in rows],
            columns=chosen,
            units=[self.measures[layer] for layer in chosen],
            caption=self.caption,
            standard_errors=[on_image(self, self.standard_error[each][rows]) for each in chosen],
            look=shown_look(self, look),
        )

    @with_look
    def to_html(
        self,
        path: str | os.PathLike[str],
        layer: str | None = None,
        units: Sequence[int] | str | None = None,
        *,
        fills: WindowSamples | None = None,
        look: Look,
    ) -> None:
        """Write a page to look around in: one file that needs nothing else.

        Parameters
        ----------
        path : path
            The file to write.
        layer : str, optional
            Only this one; by default all that were explained, the last one first.
        units, look
            As in `plot`, of ``layer``; the page opens with the look, and much of it can be
            switched there. Without a title the image goes by ``settings["photo"]``.
        fills : WindowSamples, optional
            What was put into windows of a photo, made by `pdjax.window_samples` with the arguments
            of `explain` (at a coarser stride, if those are very many): whoever clicks a pixel sees
            up to four contents of the windows around it.

        Raises
        ------
        ValueError
            If the image is a volume; `plot` draws slices of it. If the fills are of other windows.
        """
        from pdjax.picture import explanation_page

        windows = page_windows(self, fills)
        if look.title is None:
            look = dataclasses.replace(look, title=self.settings.get("photo"))
        page = explanation_page(
            self.image,
            page_layers(self, layer, units, windows),
            windows=windows,
            caption=self.caption,
            look=shown_look(self, look),
        )
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def strongest(
        self, count: int = 5, layer: str | None = None, unit: int = 0, *, sign: str = "both"
    ) -> list[Box]:
        """Return the windows of the largest relevance that do not overlap, strongest first.

        Parameters
        ----------
        count : int
            So many, or fewer where there are no more of any relevance.
        layer : str, optional
            The layer; by default the last one explained.
        unit : int
            The row of the class, feature map or unit.
        sign : {"both", "positive", "negative"}
            Whether only evidence in favour, or only evidence against, counts.

        Returns
        -------
        list of Box
            Each with its ``start`` and ``stop`` (pixels of the image), ``relevance`` and
            ``standard_error``; ``image[box.slices]`` is what it shows.
        """
        layer = explained(self, layer)
        (row,) = rows_of(self, layer, [unit], argument="unit")
        return strongest_boxes(self, count, layer, row, sign)

    def to_dataframe(self, layer: str | None = None, *, of: str = "windows") -> DataFrame:
        """Return relevance as a pandas table, a row for every window or pixel of every unit.

        Parameters
        ----------
        layer : str, optional
            Only this one; by default all that were explained.
        of : {"windows", "pixels"}
            Windows, with the first pixel and the one after the last on each axis, or pixels.

        Returns
        -------
        pandas.DataFrame
            Columns ``layer``, ``unit``, the place, ``relevance`` and ``standard_error``. Without
            pandas there is an ImportError; `to_csv` needs nothing.
        """
        return data_frame(self, of, self.layers if layer is None else [explained(self, layer)])

    def to_csv(
        self, path: str | os.PathLike[str], layer: str | None = None, *, of: str = "windows"
    ) -> None:
        """Write the table of `to_dataframe` as a file of comma-separated values."""
        write_csv(self, path, of, self.layers if layer is None else [explained(self, layer)])

    def _repr_png_(self) -> bytes | None:
        """Return the picture of `plot`, which a notebook shows; None where there is none."""
        from pdjax.picture.saving import png_of

        with contextlib.suppress(ArgumentError):
            return png_of(self.plot())
        return None

    def _repr_html_(self) -> str | None:
        """Return the picture with its settings as text, for what shows no bare pictures."""
        from pdjax.picture.saving import img_of

        with contextlib.suppress(ArgumentError):
            return img_of(self.plot(), repr(self))
        return None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as a compressed ``.npz`` file of plain arrays.

        Parameters
        ----------
        path : path
            The file to write; ``.npz`` is added to a name that does not end in it. Its ``settings``
            also have the ``date`` (UTC) and the ``versions`` of pdjax and JAX.
        """
        path = os.fspath(path)
        write_npz(path if path.endswith(".npz") else f"{path}.npz", packed(vars(self)))

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
