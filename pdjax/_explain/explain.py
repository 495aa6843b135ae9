"""Explaining one image: every window once, or again and again until the map is known."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._explain.budget import further_draws, reached_error
from pdjax._explain.called_with import called_with
from pdjax._explain.checkpoint import Checkpoint
from pdjax._explain.draws import Draws
from pdjax._explain.request import PreviewRequest, Request
from pdjax._explain.target import Target
from pdjax._types import Sampler
from pdjax.explanation import Explanation
from pdjax.method.channels import named_by_channel
from pdjax.method.maps import Maps, relevance_maps
from pdjax.method.measures import find_measure
from pdjax.method.reference import warn_of_rounding
from pdjax.method.regions import RegionGrid
from pdjax.method.units import Readout, readouts_by_channel
from pdjax.method.windows import WindowGrid

__all__ = ["Run", "explain", "preview"]


@called_with(Request)
def explain(request: Request) -> Explanation:
    """Explain what made a classifier decide as it did (Zintgraf et al., 2017).

    Parameters
    ----------
    net : Classifier
        The network. With ``engine="callable"`` also any Python callable that takes images
        ``(n, *spatial, c)`` as a NumPy array of its own, which it may change, and returns an array
        ``(n, classes)``, or a dict of arrays by layer name.
    image : float array, shape (*spatial, c)
        Of the network's size and within ``bounds``: a photograph is RGB in [0, 1]; see
        `load_image`.
    sampler : Sampler
        What could have been in a window; it has the window's size.
    rng_key : key
        Random key of the run; the same key gives the same result.
    num_samples : int, optional
        Samples per window: at least 2, and 10 by default, unless all samples of the sampler are
        the same. With one of the following two, the samples of a first look at every window and of
        each further draw: by default 2, or 4 where samples go together.
    target_error : float, optional
        Draw again where it helps most, until the standard error of a pixel (root mean square over
        pixels and units) is this share of the layer's largest absolute relevance, e.g. 0.02.
    max_passes : int, optional
        Forward passes to spend, at most, also where they help most.
    stride : int or tuple of int
        Pixels between neighbouring windows, at most the window.
    sampling : {"independent", "sobol", "antithetic"}
        How the samples of a window go together; the latter two need a sampler that makes contents
        of normal numbers, as `ConditionalGaussian` does, and an even number of samples, four or
        more. Quasi-random points, ``"sobol"``, know most at the same number of forward passes, best
        with 8, 16, ... samples; see `pdjax.sampling.Scheme`.
    bias_correction : bool
        Whether relevance in bits is corrected for the bias of a logarithm of few samples; see
        `pdjax.bias.Jackknife`.
    classes : int or sequence of int or str, optional
        An int: so many highest-scoring classes. Otherwise their indices or names. By default the
        three highest-scoring, or all where there are fewer. Output layers with other classes than
        the last one have their own highest-scoring ones.
    labels : sequence of str or mapping, optional
        Of a callable: names of its classes, as for `Classifier.from_function`.
    outputs : str or mapping of str to str, optional
        Of a callable: what its outputs hold, ``"softmax"`` by default, as for
        `Classifier.from_function`.
    layers : sequence of str, optional
        Layers to explain, of ``net.layers``; by default the class probabilities. Hidden layers
        give a map for each feature map (the mean over its units), and one for the whole layer.
    units : mapping of str to sequence, optional
        For hidden layers, only these feature maps, by index, and single units, as
        ``(map, row, column)``: ``{"inception_3a/output": [17, (17, 5, 6)]}``.
    start : str, optional
        A hidden layer with spatial axes: windows of its activation are hidden instead of windows
        of the image (equation 5 of the paper), and the sampler is one of such activations, e.g.
        ``Marginal(net(others, (start,))[start], window=3, bounds=None)``.
    measure : {"weight_of_evidence", "probability_difference", "information_difference"} or Measure
        The measure for probabilities. All other layers get the activation difference. Where a
        probability can be exactly 0 or 1, as that of a random forest, bits mean nothing: take the
        probability difference.
    engine : {"local", "dense", "callable"}
        How perturbed images are evaluated: only what a window can change (see `pdjax.local`), the
        whole network (the same numbers up to rounding), or a callable that is not JAX. Before a
        long run of which the first promises little, the first two are tried for a moment, and the
        faster one is taken: ``settings["images_per_second"]`` of the explanation says how fast
        they were.
    batch_size : int, optional
        Perturbed images evaluated at once, at most; by default what is predicted to be fastest.
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.
    progress : bool
        Whether to show a progress bar, in forward passes.
    checkpoint : path, optional
        A file that keeps what is done, about every half minute and when interrupted; the same
        call goes on from there, on any device that rounds as finely.
    bounds : (float, float), None or "auto"
        Range of the values of the image, None being any: of images that are normalised, in
        millivolts, in Hounsfield units. By default it is that of the sampler (what its statistics
        were fitted with) or, where that says nothing, what the network declares, [0, 1] as a rule.
        Values beyond by rounding, a thousandth of the range, are clipped.
    where : bool array (*spatial), or tuple of slices, optional
        Explain this part of the image alone: only windows that touch it are evaluated, and
        relevance is NaN elsewhere. The numbers in it are those of the whole map.
    channels : int or sequence of int, optional
        Hide these channels of a window, one at a time, instead of all at once: spectral bands, or
        the sequences of a scan. Of several there is a map for each, as a layer of its own:
        ``relevance["prob[channel 3]"]``.
    regions : int array (*spatial), optional
        Hide regions of any shape as a whole instead of windows: the number of each pixel's region,
        negative where a pixel is never hidden. The conditional Gaussian draws a region given the
        pixels up to ``padding`` around it; with these it may have at most 6,000 numbers (pixels
        times channels, or pixels with ``color="independent"``), since time grows with the third
        power of that, and reach over as many pixels as the statistics describe. All are evaluated
        in boxes as large as that of the largest. ``window_relevance`` has an entry for each region,
        in the order of the numbers in ``settings["regions"]``.

    Returns
    -------
    Explanation

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or does not fit the others, or the network returns NaN.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> def f(params, images):
    ...     return jax.nn.softmax(images.mean((1, 2)) @ params)
    >>> net = pdjax.Classifier.from_function(f, 9 * jnp.eye(3), image_size=8,
    ...                                      labels=("red", "green", "blue"))
    >>> image = jnp.zeros((8, 8, 3)).at[2:4, 2:4, 0].set(1.0)
    >>> explanation = pdjax.explain(net, image, pdjax.Constant(0.0, window=2),
    ...                             rng_key=jax.random.key(0), num_samples=1, classes=["red"])
    >>> explanation.relevance["prob"].shape, bool(explanation.relevance["prob"][0, 3, 3] > 0)
    ((1, 8, 8), True)
    """
    request.check()
    *_, explanation = Run(request).stages()
    return explanation


@called_with(PreviewRequest)
def preview(request: PreviewRequest) -> Iterator[Explanation]:
    """Explain an image coarse to fine, giving an explanation after each stage.

    Windows of a coarse stage are among those of the finer ones and are not computed again, so that
    all stages together cost what the last one does alone; its explanation is that of `explain`
    with the last stride.

    Parameters
    ----------
    net, image, sampler, rng_key, and everything not named below
        As for `explain`.
    strides : sequence of int, optional
        Pixels between neighbouring windows, stage by stage: each a multiple of the next. By
        default ``stride`` comes last, after up to three coarser ones, each twice the next.

    Yields
    ------
    Explanation
        One for each stride; its ``settings["passes"]`` counts the passes of all stages so far.

    Raises
    ------
    ValueError
        If a stride is not a multiple of the next, if there is a budget, or as for `explain`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> def f(params, images):
    ...     return jax.nn.softmax(images.mean((1, 2)) @ params)
    >>> net = pdjax.Classifier.from_function(f, 9 * jnp.eye(3), image_size=8,
    ...                                      labels=("red", "green", "blue"))
    >>> stages = pdjax.preview(net, jnp.zeros((8, 8, 3)), pdjax.Constant(0.5, window=4),
    ...                        rng_key=jax.random.key(0), num_samples=1, strides=(4, 2))
    >>> [explanation.settings["passes"] for explanation in stages]
    [5, 10]
    """
    request.check()
    return Run(request).stages()


class Run:
    """One image being explained, as it was asked for and checked.

    Attributes
    ----------
    request : Request
    target : Target
        What is explained; the network has run once when this is made.
    kept : int
        Forward passes whose results a checkpoint had, once the first stage has begun.
    """

    def __init__(self, request: Request, target: Target | None = None) -> None:
        self.request, self.target, self.kept = request, target or Target.of(request), 0

    def stages(self) -> Iterator[Explanation]:
        """Give an explanation for each grid of the request, each with all that was drawn so far."""
        request = self.request
        with Draws(request, self.target, Checkpoint(request, self.target)) as draws:
            self.kept = draws.kept * request.images_per_draw
            for grid in request.grids:
                wanted = np.zeros(request.grid.size, bool)
                wanted[request.chosen(grid)] = True
                # A checkpoint may have asked for more than every window once.
                draws.draw(np.where(wanted, np.maximum(draws.times, 1), 0))
                maps = self._maps(draws, grid)
                while (further := self._further(draws, maps)).any():
                    draws.draw(draws.times + further)
                    maps = self._maps(draws, grid)
                if grid is request.grid:
                    self._warn(draws)
                yield self._explanation(draws, maps, grid)

    def _warn(self, draws: Draws) -> None:
        drawn = draws.times > 0
        mean = jax.tree.map(lambda a: np.asarray(a)[drawn], draws.moments().mean)
        reference = named_by_channel(self.target.reference, self.request.hidden_channels)
        warn_of_rounding(self._readouts, reference, mean)

    @functools.cached_property
    def _readouts(self) -> tuple[Readout, ...]:
        """What is read, in each channel that is hidden by itself."""
        return readouts_by_channel(self.target.readings.readouts, self.request.hidden_channels)

    def _maps(self, draws: Draws, grid: WindowGrid | RegionGrid) -> Maps:
        """Relevance from the windows of a grid, which must have been drawn."""
        chosen = self.request.among_all(grid)
        moments = jax.tree.map(lambda a: a[chosen], draws.moments())
        replicates = jnp.asarray(draws.replicates[chosen], jnp.int32)
        reference = named_by_channel(self.target.reference, self.request.hidden_channels)
        part = None if self.request.part is None else jnp.asarray(self.request.part)
        return relevance_maps(reference, moments, replicates, grid, self._readouts, part)

    def _further(self, draws: Draws, maps: Maps) -> np.ndarray:
        request = self.request
        return further_draws(
            request.budget,
            maps,
            draws.times,
            request.grid,
            request.scheme.replicates,
            request.images_per_draw,
        )

    def _explanation(self, draws: Draws, maps: Maps, grid: WindowGrid | RegionGrid) -> Explanation:
        readouts, target, channels = self._readouts, self.target, self.request.hidden_channels
        times = draws.times[self.request.chosen(grid)]
        samples = self.request.scheme.num_samples
        settings = _settings(self.request, target) | {
            "stride": grid.stride,
            "num_samples": int(times.min()) * samples,
            "most_samples": int(times.max()) * samples,
            "passes": int(times.sum()) * self.request.images_per_draw + 1,
            "reached_error": reached_error(maps),
        }
        if draws.rates:
            settings["engine"] = max(draws.rates, key=draws.rates.__getitem__)
            settings["images_per_second"] = draws.rates
        return Explanation(
            image=np.asarray(self.request.pixels),
            prediction=named_by_channel(target.prediction, channels),
            names=named_by_channel(target.names, channels),
            measures={read.layer: read.measure.label for read in readouts},
            symbols={read.layer: read.measure.unit for read in readouts},
            settings=json.loads(json.dumps(settings)),
            **{
                name: _in_order(values, [read.layer for read in readouts])
                for name, values in maps._asdict().items()
            },
        )


def _settings(request: Request, target: Target) -> dict[str, object]:
    """How it is computed, for the explanation: numbers and strings."""
    net, channels = request.classifier, request.hidden_channels
    reads = readouts_by_channel(target.readings.readouts, channels)
    probabilities = named_by_channel(dict.fromkeys(net.probabilities), channels)
    return {
        "model": net.name,
        "sampler": _in_words(request.sampler),
        "window": request.grid.window,
        "start": request.start,
        "sampling": request.sampling,
        "bias_correction": request.bias_correction,
        "target_error": request.target_error,
        "max_passes": request.budget.max_passes,
        "measure": find_measure(request.measure).name,
        "engine": request.engine,
        "num_training_images": net.num_training_images,
        "num_classes": named_by_channel(
            {layer: net.heads[layer].num_classes for layer in target.classes}, channels
        ),
        "probabilities": tuple(probabilities),
        "outputs": named_by_channel(
            {layer: net.heads[layer].kind for layer in target.classes}, channels
        ),
        "classes": _chosen(target),
        "units": {read.layer: read.units for read in reads if read.units},
        "bounds": request.image_bounds,
        "rng_key": np.asarray(jax.random.key_data(request.rng_key)).tolist(),
    } | _parts(request)


def _parts(request: Request) -> dict[str, object]:
    """What is explained or hidden of the image, where it is not all of it."""
    parts = {
        "where": None if request.part is None else float(request.part.mean()),
        "channels": request.hidden_channels,
        "regions": request.grid.ids if isinstance(request.grid, RegionGrid) else None,
    }
    return {name: part for name, part in parts.items() if part is not None}


def _chosen(target: Target) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
    """Return the classes, by layer where layers have different ones."""
    different = set(target.classes.values())
    if len(different) > 1:
        return target.classes
    return different.pop() if different else ()


def _in_order(values: dict[str, jax.Array], layers: Iterable[str]) -> dict[str, np.ndarray]:
    return {layer: np.asarray(values[layer]) for layer in layers if layer in values}


def _in_words(sampler: Sampler) -> str:
    own = type(sampler).__str__ is not object.__str__
    return str(sampler) if own else type(sampler).__name__
