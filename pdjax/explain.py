"""Explaining one image from Python: settings checked, chunks run, progress shown, errors named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._typing import Array, Float, Key, Sampler
from pdjax.bias import Jackknife
from pdjax.checkpoint import Checkpoint, digest
from pdjax.difference import check_batch_size, check_choice, check_samples
from pdjax.engines import callable_engine, jax_engine
from pdjax.evaluation import ENGINES
from pdjax.explanation import Explanation
from pdjax.image import check_image
from pdjax.models.classifier import Classifier
from pdjax.observe import relevance_maps
from pdjax.relevance import MEASURES
from pdjax.run import run_windows
from pdjax.sampling import SCHEMES, Scheme
from pdjax.task import make_task, wrap_callable
from pdjax.windows import WindowGrid

__all__ = ["count_passes", "explain"]

UNITS = {
    "weight_of_evidence": "weight of evidence (bits)",
    "information_difference": "information difference (bits)",
    "probability_difference": "probability difference",
    "activation_difference": "activation difference",
}


def explain(
    net: Classifier | Callable[[np.ndarray], Any],
    image: Float[Array, "*spatial c"] | np.ndarray,
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    num_samples: int = 10,
    stride: int | tuple[int, ...] = 1,
    sampling: str = SCHEMES[0],
    bias_correction: bool = True,
    classes: int | Sequence[int | str] | None = None,
    layers: Sequence[str] | None = None,
    units: Mapping[str, Sequence[int | tuple[int, ...]]] | None = None,
    start: str | None = None,
    measure: str = "weight_of_evidence",
    engine: str = ENGINES[0],
    batch_size: int | None = None,
    lowerings: bool = True,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Explanation:
    """Explain what made a classifier decide as it did (Zintgraf et al., 2017).

    Parameters
    ----------
    net : Classifier
        The network. With ``engine="callable"`` also any Python callable that takes images
        ``(n, *spatial, c)`` as a NumPy array and returns class probabilities ``(n, classes)``.
    image : float array, shape (*spatial, c)
        RGB in [0, 1], of the network's size; see `load_image`.
    sampler : Sampler
        What could have been in a window; it has the window's size.
    rng_key : key
        Random key of the run; the same key gives the same result.
    num_samples : int
        Samples per window: at least 2, unless all samples of the sampler are the same.
    stride : int or tuple of int
        Pixels between neighbouring windows, at most the window.
    sampling : {"independent", "sobol", "antithetic"}
        How the samples of a window go together; the latter two need a sampler that makes contents
        of normal numbers, as `ConditionalGaussian` does, and an even number of samples, at least
        4. Quasi-random points, ``"sobol"``, know most at the same number of forward passes, best
        with 4, 8, 16, ... samples; see `pdjax.sampling.Scheme`.
    bias_correction : bool
        Whether relevance in bits is corrected for the bias of a logarithm of few samples; see
        `pdjax.bias.Jackknife`.
    classes : int or sequence of int or str, optional
        An int: so many highest-scoring classes. Otherwise their indices or names. By default the
        three highest-scoring, or all where there are fewer.
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
    measure : {"weight_of_evidence", "probability_difference", "information_difference"}
        The measure for probabilities. All other layers get the activation difference.
    engine : {"local", "dense", "callable"}
        How perturbed images are evaluated: only what a window can change (see `pdjax.local`), the
        whole network (the same numbers up to rounding), or a callable that is not JAX.
    batch_size : int, optional
        Perturbed images evaluated at once, at most; by default what is predicted to be fastest.
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.
    progress : bool
        Whether to show a progress bar, in forward passes.
    checkpoint : path, optional
        A file that keeps what is done, at least every half minute and when interrupted; the same
        call goes on from there.

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
    image = jnp.asarray(check_image(np.asarray(image)), jax.dtypes.canonicalize_dtype(np.float64))
    check_choice("engine", engine, (*ENGINES, "callable"))
    check_choice("measure", measure, MEASURES)
    check_batch_size(batch_size)
    scheme = Scheme(sampling, num_samples)
    if not isinstance(net, Classifier):
        net = wrap_callable(net, image, engine)
    if start is None:
        check_samples(sampler, net.image_shape, scheme)
    task = make_task(
        net, image,
        classes=classes, layers=layers, units=units, start=start, measure=measure, engine=engine,
    )  # fmt: skip
    check_samples(sampler, task.field.shape, scheme)
    grid = WindowGrid(task.field.shape[:-1], sampler.window, stride)
    rule = task.observe.rule
    bias = Jackknife(rule) if bias_correction else None
    bound = (*task[:3], sampler, rng_key, grid, scheme, bias, batch_size)
    if engine == "callable":
        moments_of = callable_engine(*bound)
    else:
        moments_of = jax_engine(engine, *bound, lowerings)
    keeper = Checkpoint(checkpoint, lambda: {
        "image": digest(image), "model": f"{net.name} {digest(net.params)}",
        "sampler": digest(sampler), "rng_key": digest(jax.random.key_data(rng_key)),
        "window": str(grid.window), "num_samples": str(num_samples), "stride": str(grid.stride),
        "sampling": sampling, "bias_correction": str(bias_correction),
        "classes": str(task.classes), "layers": str(task.observe.layers),
        "units": str(task.observe.units), "start": str(start),
        **({} if bias is None else {
            "measure": measure, "num_training_images": str(rule.num_training_images),
        }),
    })  # fmt: skip
    moments = run_windows(moments_of, task.reference, grid, scheme, bias, keeper, progress)
    maps = relevance_maps(
        task.reference, moments, grid=grid, replicates=scheme.replicates, rule=rule
    )
    settings = {
        "model": net.name, "sampler": _in_words(sampler), "window": grid.window,
        "stride": grid.stride, "num_samples": num_samples, "start": start,
        "sampling": sampling, "bias_correction": bias_correction,
        "passes": count_passes(grid, num_samples), "measure": measure, "engine": engine,
        "num_training_images": net.num_training_images, "probabilities": net.probabilities,
        "classes": task.classes, "rng_key": np.asarray(jax.random.key_data(rng_key)).tolist(),
    }  # fmt: skip
    measures = {layer: _measure(layer, net, measure) for layer in task.observe.layers}
    return Explanation(
        image=np.asarray(image),
        prediction=task.prediction,
        names=task.names,
        measures=measures,
        settings=json.loads(json.dumps(settings)),
        **{name: _in_order(values, measures) for name, values in maps._asdict().items()},
    )


def count_passes(grid: WindowGrid, num_samples: int) -> int:
    """Forward passes of a run: one for the image as it is, the rest for its windows."""
    return grid.size * num_samples + 1


def _measure(layer: str, net: Classifier, measure: str) -> str:
    return UNITS[measure if layer in net.probabilities else "activation_difference"]


def _in_order(values: dict[str, jax.Array], layers: Iterable[str]) -> dict[str, np.ndarray]:
    return {layer: np.asarray(values[layer]) for layer in layers if layer in values}


def _in_words(sampler: Sampler) -> str:
    own = type(sampler).__str__ is not object.__str__
    return str(sampler) if own else type(sampler).__name__
