"""Many images: one compilation, and the next image is read while one is explained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax

from pdjax._checks import check_key
from pdjax._explain.explain import explain
from pdjax._progress import progress_bar
from pdjax.explanation import Explanation

__all__ = ["ahead", "explain_all"]

Item = TypeVar("Item")


def explain_all(
    net: Any,
    images: Iterable[Any],
    sampler: Any,
    *,
    rng_key: jax.Array,
    progress: bool = False,
    **settings: Any,
) -> Iterator[Explanation]:
    """Explain images one after the other, compiled once.

    Parameters
    ----------
    net, sampler, settings
        As for `explain`.
    images : iterable of float arrays, shape (*spatial, c)
        Such as an `ImageFolder`, whose images are read one at a time, each while the one before
        is explained.
    rng_key : key
        Image i is explained with ``jax.random.fold_in(rng_key, i)``.
    progress : bool
        Show a progress bar that counts images, with their rate and the time left.

    Yields
    ------
    Explanation
        Of each image in turn, the same as that of `explain` with the image's key.

    Raises
    ------
    ValueError, TypeError
        As `explain`, when the image is reached.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> net = pdjax.Classifier.from_function(
    ...     lambda params, images: jax.nn.softmax(images.mean((1, 2)) * 9), None, image_size=8
    ... )
    >>> images = [jnp.full((8, 8, 3), level) for level in (0.2, 0.8)]
    >>> sampler = pdjax.Constant(0.5, window=4)
    >>> found = pdjax.explain_all(net, images, sampler, rng_key=jax.random.key(0), stride=4)
    >>> [explanation.relevance["prob"].shape for explanation in found]
    [(3, 8, 8), (3, 8, 8)]
    """
    check_key(rng_key)
    total = len(images) if isinstance(images, Sized) else None
    with progress_bar(total, "images", progress) as bar:
        for index, image in enumerate(ahead(images)):
            key = jax.random.fold_in(rng_key, index)
            yield explain(net, image, sampler, rng_key=key, **settings)
            bar.update(1)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, each of which is made while the one before is used."""
    # A sequence without an __iter__ of its own ends by IndexError, which iter() knows.
    read = iter(items)
    end: Any = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, read, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, read, end)
            yield item
