"""Explaining one image: every window once, or again and again until the map is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pdjax._explain.budget import Budget, further_draws
from pdjax._explain.job import make_job
from pdjax._types import Array, Float, Key, Sampler
from pdjax.classifier import Classifier
from pdjax.explanation import Explanation
from pdjax.method.evaluation import ENGINES
from pdjax.method.schemes import SCHEMES

__all__ = ["explain"]


def explain(
    net: Classifier | Callable[[np.ndarray], Any],
    image: Float[Array, "*spatial c"] | np.ndarray,
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    num_samples: int | None = None,
    target_error: float | int | None = None,
    max_passes: int | None = None,
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
        of normal numbers, as `ConditionalGaussian` does, and an even number of samples, at least
        4. Quasi-random points, ``"sobol"``, know most at the same number of forward passes, best
        with 8, 16, ... samples; see `pdjax.sampling.Scheme`.
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
        A file that keeps what is done, about every half minute and when interrupted; the same
        call goes on from there, on any device that rounds as finely.

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
    budget = Budget(target_error, max_passes)
    job = make_job(
        net, image, sampler,
        rng_key=rng_key, num_samples=num_samples, budget=budget, strides=(stride,),
        sampling=sampling, bias_correction=bias_correction, classes=classes, layers=layers,
        units=units, start=start, measure=measure, engine=engine, batch_size=batch_size,
        lowerings=lowerings, checkpoint=checkpoint,
    )  # fmt: skip
    with job.run(progress) as run:
        # A checkpoint may have asked for more than every window once.
        run.draw(np.maximum(run.times, 1))
        maps = job.maps(run, job.grid)
        while (further := further_draws(budget, maps, run.times, job.grid, job.scheme)).any():
            run.draw(run.times + further)
            maps = job.maps(run, job.grid)
    return job.explanation(run, maps, job.grid)
