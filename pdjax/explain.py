"""Explaining one image from Python: settings checked, chunks run, progress shown, errors named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._typing import Array, Float, Key, Sampler
from pdjax.checkpoint import Checkpoint, digest
from pdjax.classes import select_classes
from pdjax.difference import ENGINES, check_choice, check_samples
from pdjax.engines import callable_engine, dense_engine
from pdjax.explanation import Explanation
from pdjax.image import check_image
from pdjax.marginalize import suggest_batch_size, windows_per_chunk
from pdjax.models.classifier import Classifier, NamedOutputs, check_layers
from pdjax.observe import Observe, Rule, relevance_maps
from pdjax.relevance import MEASURES, Probability
from pdjax.run import check_finite, run_windows
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
    classes: int | Sequence[int | str] = 3,
    layers: Sequence[str] | None = None,
    measure: str = "weight_of_evidence",
    engine: str = "dense",
    batch_size: int | None = None,
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
    classes : int or sequence of int or str
        An int: so many highest-scoring classes. Otherwise their indices or names.
    layers : sequence of str, optional
        Layers to explain, of ``net.layers``; by default the class probabilities. Of layers with
        spatial axes, the mean of each feature map over its units.
    measure : {"weight_of_evidence", "probability_difference", "information_difference"}
        The measure for probabilities. All other layers get the activation difference.
    engine : {"dense", "callable"}
        How perturbed images are evaluated.
    batch_size : int, optional
        Perturbed images evaluated at once; by default what fits into a modest memory.
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
    if not isinstance(net, Classifier):
        net = _wrap(net, image, engine)
    if image.shape != net.image_shape:
        raise ValueError(
            f"image of shape {image.shape} does not fit {net.name}, which takes "
            f"{net.image_shape}; load it with pdjax.load_image(path, size=net.image_size)"
        )
    check_samples(sampler, image.shape, num_samples)
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    grid = WindowGrid(image.shape[:-1], sampler.window, stride)
    deciding = (net.probabilities or net.layers)[-1]
    layers = check_layers((deciding,) if layers is None else layers, net.layers)
    rule = Rule(net.probabilities, len(net.labels), net.num_training_images, measure)
    observe = Observe(net.predict, layers, rule)

    outputs = _outputs(net, image, tuple(dict.fromkeys((*layers, deciding))), engine)
    chosen = select_classes(classes, net.labels, np.asarray(outputs[deciding][0]))
    inputs = (net.params, jnp.array(chosen, jnp.int32))
    reference = observe.reduce(outputs, inputs[1])

    devices = 1 if engine == "callable" else jax.local_device_count()
    if batch_size is None:
        batch_size = 32 if engine == "callable" else suggest_batch_size(observe, inputs, image)
    make = callable_engine if engine == "callable" else dense_engine
    run = make(observe, inputs, image, sampler, rng_key, grid, num_samples, batch_size, devices)
    keeper = Checkpoint(checkpoint, lambda: {
        "image": digest(image), "model": f"{net.name} {digest(net.params)}",
        "sampler": digest(sampler), "rng_key": digest(jax.random.key_data(rng_key)),
        "num_samples": str(num_samples), "stride": str(grid.stride),
        "classes": str(chosen), "layers": str(layers),
    })  # fmt: skip
    chunk = devices * windows_per_chunk(batch_size, num_samples)
    moments = run_windows(run, reference, grid, chunk, num_samples, keeper, progress)
    maps = relevance_maps(reference, moments, grid, num_samples, rule)
    settings = {
        "model": net.name, "sampler": _in_words(sampler), "window": grid.window,
        "stride": grid.stride, "num_samples": num_samples,
        "passes": count_passes(grid, num_samples), "measure": measure, "engine": engine,
        "num_training_images": net.num_training_images, "probabilities": net.probabilities,
        "classes": chosen, "rng_key": np.asarray(jax.random.key_data(rng_key)).tolist(),
    }  # fmt: skip
    return Explanation(
        image=np.asarray(image),
        **{name: jax.device_get(value) for name, value in maps._asdict().items()},
        prediction={layer: _values(reference[layer])[0] for layer in layers},
        names={layer: _names(reference[layer], net, chosen) for layer in layers},
        measures={
            layer: UNITS[measure if layer in net.probabilities else "activation_difference"]
            for layer in layers
        },
        settings=json.loads(json.dumps(settings)),
    )


def count_passes(grid: WindowGrid, num_samples: int) -> int:
    """Forward passes of a run: one for the image as it is, the rest for its windows."""
    return grid.size * num_samples + 1


def _wrap(f: Callable[[np.ndarray], Any], image: jax.Array, engine: str) -> Classifier:
    """Make a classifier of a plain callable, by asking it once what it returns."""
    if engine != "callable":
        raise TypeError(
            f"net={f!r} is no Classifier; make one with pdjax.Classifier.from_function, or pass "
            'engine="callable" for a function that is not written in JAX'
        )
    predict = NamedOutputs.of(lambda params, images: f(images), ("prob",))
    outputs = predict(None, np.asarray(image)[None])
    layers = tuple(outputs)
    last = np.shape(outputs[layers[-1]])[-1]
    return Classifier(
        name=getattr(f, "__name__", type(f).__name__),
        predict=predict,
        params=None,
        image_size=image.shape[:-1],
        layers=layers,
        labels=tuple(str(index) for index in range(last)),
        probabilities=tuple(layer for layer in layers if layer == "prob"),
        channels=image.shape[-1],
    )


def _outputs(
    net: Classifier, image: jax.Array, layers: tuple[str, ...], engine: str
) -> dict[str, jax.Array]:
    """What the network gives for the image as it is, checked."""
    if engine == "callable":
        raw = net.predict(net.params, np.asarray(image)[None], layers)  # type: ignore[arg-type]
        outputs = {layer: jnp.asarray(np.asarray(raw[layer]), image.dtype) for layer in layers}
    else:
        outputs = net(image[None], layers)
    check_finite(outputs, "for the image as it is")
    for layer in set(layers) & set(net.probabilities):
        total, least = float(outputs[layer].sum()), float(outputs[layer].min())
        if abs(total - 1) > 1e-3 or least < 0:
            raise ValueError(
                f"layer {layer!r} is declared to hold class probabilities but sums to {total:.4g} "
                f"with a least value of {least:.4g}; apply a softmax, or leave it out of "
                "probabilities"
            )
    return outputs


def _values(reference: Any) -> np.ndarray:
    return np.asarray(reference.p if isinstance(reference, Probability) else reference)


def _names(reference: Any, net: Classifier, classes: Sequence[int]) -> tuple[str, ...]:
    """Names of the units of a layer: labels where it has one number per class."""
    count = _values(reference).shape[-1]
    if isinstance(reference, Probability) or reference.shape[-1] == len(classes):
        return tuple(net.labels[index] for index in classes)
    return tuple(str(index) for index in range(count))


def _in_words(sampler: Sampler) -> str:
    own = type(sampler).__str__ is not object.__str__
    return str(sampler) if own else type(sampler).__name__
