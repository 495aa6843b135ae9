"""Deletion and insertion: how fast the prediction falls or rises with the pixels a map points at.

Deleting the pixels of highest relevance first should make a class improbable soon, inserting them
first should make it probable soon (Samek et al., 2017; Petsiuk, Das and Saenko, 2018). What a
deleted pixel becomes decides much: `filled` asks a sampler for it, so that the curves can be drawn
for every way of removing that maps can be made with.

The objection to both is that images with half of their pixels deleted look like no photograph, so
that the curve may tell how networks react to such images. `road` answers it: its pixels are
interpolated from what is left, which leaves neither edges nor a mask for a network to see (Rong et
al., 2022).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError, check_count, check_key, check_sampler
from pdjax._types import Sampler
from pdjax.classifier import Classifier
from pdjax.method.measures import Measure
from pdjax.method.units import Readout
from pdjax.method.windows import WindowGrid

__all__ = ["Curve", "deletion", "filled", "insertion", "road"]


class Curve(NamedTuple):
    """A probability along the share of pixels deleted or inserted.

    Attributes
    ----------
    share : float array, shape (steps + 1,)
        Of the pixels, from 0 to 1.
    probability : float array, shape (steps + 1,)
        Of the class.
    """

    share: np.ndarray
    probability: np.ndarray

    @property
    def area(self) -> float:
        """Area under the curve, 0 to 1, by the trapezoidal rule."""
        widths = np.diff(self.share)
        return float((widths * (self.probability[1:] + self.probability[:-1]) / 2).sum())


def filled(image: np.ndarray, sampler: Sampler, *, rng_key: jax.Array) -> np.ndarray:
    """Replace every pixel by what a sampler puts there: one sample of windows side by side.

    Parameters
    ----------
    image : float array, shape (*spatial, c)
    sampler : Sampler
        Each window is drawn given the pixels of the image around it.
    rng_key : key

    Returns
    -------
    float array, shape (*spatial, c)
        The last windows of a row overlap those before where the sides do not divide.
    """
    check_sampler(sampler)
    check_key(rng_key)
    sampler.check(np.shape(image), 1)
    return np.asarray(_filled(jnp.asarray(image, jnp.float32), sampler, rng_key))


@jax.jit
def _filled(image: jax.Array, sampler: Sampler, rng_key: jax.Array) -> jax.Array:
    grid = WindowGrid(image.shape[:-1], sampler.window, sampler.window)
    origins = grid.origins(jnp.arange(grid.size))
    keys = jax.random.split(rng_key, grid.size)

    def sample(place: tuple[jax.Array, jax.Array]) -> jax.Array:
        return sampler.sample(place[0], image, place[1], 1)[0]

    patches = jax.lax.map(sample, (keys, origins), batch_size=64)

    def put(index: jax.Array, result: jax.Array) -> jax.Array:
        start = (*origins[index], 0)
        return jax.lax.dynamic_update_slice(result, patches[index], start)

    return jax.lax.fori_loop(0, grid.size, put, image)


def deletion(
    net: Classifier,
    image: np.ndarray,
    relevance: np.ndarray,
    class_index: int,
    *,
    removed: np.ndarray,
    steps: int = 50,
    least_first: bool = False,
    batch_size: int = 32,
) -> Curve:
    """Probability of a class while the pixels of highest relevance are deleted first.

    Parameters
    ----------
    net : Classifier
        Its last layer of probabilities is read.
    image : float array, shape (*spatial, c)
    relevance : float array, shape (*spatial)
        The map for the class.
    class_index : int
    removed : float array, shape (*spatial, c)
        What deleted pixels become; see `filled`.
    steps : int
        Points of the curve after the first.
    least_first : bool
        Whether those of lowest relevance go first; the area between the two orders is the larger,
        the more the order means.
    batch_size : int
        Images evaluated at once.

    Returns
    -------
    Curve
        A small area speaks for the map (Petsiuk, Das and Saenko, 2018).

    Raises
    ------
    ValueError
        If shapes do not fit each other, or there is no such class.
    """
    rank = _ranks(relevance, least_first)
    return _curve(net, image, removed, rank, class_index, steps, batch_size)


def insertion(
    net: Classifier,
    image: np.ndarray,
    relevance: np.ndarray,
    class_index: int,
    *,
    removed: np.ndarray,
    steps: int = 50,
    least_first: bool = False,
    batch_size: int = 32,
) -> Curve:
    """Probability of a class while the pixels of highest relevance are put back first.

    Parameters, returns and errors are those of `deletion`; a large area speaks for the map.
    """
    rank = _ranks(relevance, least_first)
    return _curve(net, removed, image, rank, class_index, steps, batch_size)


def road(
    net: Classifier,
    image: np.ndarray,
    relevance: np.ndarray,
    class_index: int,
    *,
    rng_key: jax.Array,
    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9),
    noise: float = 0.01,
    least_first: bool = False,
    batch_size: int = 32,
) -> Curve:
    """Deletion with pixels interpolated from those that are left: "remove and debias".

    A deleted pixel becomes the weighted mean of its neighbours, 1/6 of each of the four beside it
    and 1/12 of each of the four at its corners; where they are deleted as well, all of them
    together solve one sparse system of equations, plus a little noise (Rong, Leemann, Borisov,
    Kasneci and Kasneci, 2022, section 5). Their score is the mean of the curve.

    Parameters
    ----------
    net, image, relevance, class_index, least_first, batch_size
        As for `deletion`, for photographs ``(h, w, c)``.
    rng_key : key
        Of the noise.
    shares : tuple of float
        Shares of the pixels to delete.
    noise : float
        Standard deviation of the noise.

    Returns
    -------
    Curve
    """
    check_key(rng_key)
    image = np.asarray(image, np.float32)
    rank = _ranks(relevance, least_first)
    if image.ndim != 3 or rank.shape != image.shape[:-1]:
        raise ArgumentValueError(
            "relevance",
            f"of shape {rank.shape} does not fit an image of shape {image.shape}",
            "give a map (h, w) and a photograph (h, w, c)",
        )
    words = np.asarray(jax.random.key_data(rng_key)).ravel()
    random = np.random.default_rng(words)
    images = [_interpolated(image, rank < share * rank.size, noise, random) for share in shares]
    stack = np.stack([image, *images])
    found = _probabilities(net, stack, class_index, batch_size)
    return Curve(np.array([0.0, *shares]), found)


def _ranks(relevance: np.ndarray, least_first: bool) -> np.ndarray:
    """Return the place of every pixel in the order of deletion, from 0."""
    values = np.nan_to_num(np.asarray(relevance, np.float64), nan=-np.inf)
    order = np.argsort(values if least_first else -values, axis=None, kind="stable")
    ranks = np.empty(values.size, np.int64)
    ranks[order] = np.arange(values.size)
    return ranks.reshape(values.shape)


def _curve(
    net: Classifier,
    start: np.ndarray,
    end: np.ndarray,
    rank: np.ndarray,
    class_index: int,
    steps: int,
    batch_size: int,
) -> Curve:
    """Go from one image to another, pixel by pixel in the order of the ranks."""
    check_count("steps", steps)
    if np.shape(start) != np.shape(end) or rank.shape != np.shape(start)[:-1]:
        raise ArgumentValueError(
            "removed",
            f"relevance and image have shapes {np.shape(end)}, {rank.shape} and {np.shape(start)}",
            "give two images (*spatial, c) and a map (*spatial)",
        )
    counts = np.round(np.linspace(0, rank.size, steps + 1)).astype(int)
    gone = rank[None] < counts.reshape(-1, *(1,) * rank.ndim)
    images = np.where(gone[..., None], np.asarray(end)[None], np.asarray(start)[None])
    return Curve(counts / rank.size, _probabilities(net, images, class_index, batch_size))


def _probabilities(
    net: Classifier, images: np.ndarray, class_index: int, batch_size: int
) -> np.ndarray:
    layer = net.deciding
    head = net.heads.get(layer)
    if head is None or not head.of_probabilities:
        raise ArgumentValueError(
            "net", "has no layer of probabilities", "say what its outputs hold with outputs="
        )
    if not 0 <= class_index < len(head.labels):
        raise ArgumentValueError(
            "class_index", f"must be from 0 to {len(head.labels) - 1}", value=class_index
        )
    read = Readout(layer, Measure(), head.kind)
    chosen = jnp.array([class_index], jnp.int32)
    size = check_count("batch_size", batch_size)
    # The last batch is filled up, so that there is one compilation.
    missing = -len(images) % size
    full = np.concatenate([images, np.repeat(images[-1:], missing, 0)]).astype(np.float32)
    found = [
        _probability(read, net.predict, net.params, jnp.asarray(full[i : i + size]), chosen)
        for i in range(0, len(full), size)
    ]
    return np.concatenate(found)[: len(images)]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _probability(read, predict, params, images, chosen):  # type: ignore[no-untyped-def]
    return read(predict(params, images, (read.layer,))[read.layer], chosen).p[:, 0]


def _interpolated(
    image: np.ndarray, gone: np.ndarray, noise: float, random: np.random.Generator
) -> np.ndarray:
    """Solve for the pixels that are gone, each the weighted mean of its neighbours."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    height, width, channels = image.shape
    where = np.flatnonzero(gone)
    if len(where) == gone.size:
        # Nothing is left to interpolate from; the mean colour is what the equations tend to.
        where = where[1:]
        gone = np.ones_like(gone)
        gone.flat[0] = False
        image = image.copy()
        image[0, 0] = image.mean((0, 1))
    number = np.full(gone.size, -1)
    number[where] = np.arange(len(where))
    rows, columns = np.divmod(where, width)
    known = np.zeros((len(where), channels))
    total = np.zeros(len(where))
    entries = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down == right == 0:
                continue
            weight = 1 / 12 if down and right else 1 / 6
            y, x = rows + down, columns + right
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            total += weight * inside
            at = np.flatnonzero(inside)
            neighbour = y[at] * width + x[at]
            unknown = number[neighbour] >= 0
            entries.append((at[unknown], number[neighbour[unknown]], -weight))
            values = image.reshape(-1, channels)[neighbour[~unknown]]
            np.add.at(known, at[~unknown], weight * values)
    row = np.concatenate([np.arange(len(where)), *(each[0] for each in entries)])
    column = np.concatenate([np.arange(len(where)), *(each[1] for each in entries)])
    value = np.concatenate([total, *(np.full(len(each[0]), each[2]) for each in entries)])
    equations = sparse.csc_matrix((value, (row, column)), shape=(len(where),) * 2)
    solved = spsolve(equations, known).reshape(len(where), channels)
    result = image.reshape(-1, channels).copy()
    result[where] = solved + noise * random.standard_normal((len(where), channels))
    return np.clip(result, image.min(), image.max()).reshape(image.shape)
