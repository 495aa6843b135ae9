"""PyTorch modules: brought into JAX by way of ONNX, or else called as they are.

PyTorch writes a module down as an ONNX model, with the outputs of its submodules among the outputs,
and `pdjax.adapters.onnx` runs that. Both are compared on two images before it is used. A module
that cannot be written down, or comes out otherwise, is left to PyTorch and the callable engine.

The more direct way, `torchax`, cannot be imported with current versions of PyTorch.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from pdjax._checks import ArgumentValueError
from pdjax._functions import in_short
from pdjax._types import Params
from pdjax.adapters.onnx.model import ModelFunction, as_function
from pdjax.adapters.told import Image, Outputs, Told, does_not_run, note, outputs_of
from pdjax.classifier import Classifier, wrap_callable

__all__ = ["classifier"]

OPSET = 18
IMAGES, VALUE = "images", "value_{}"
"""What the ONNX model calls its input, and its outputs by their number."""

TOLERANCE = 1e-4
"""Largest difference between PyTorch and JAX, by the largest number of a layer."""

Tensors = dict[str, torch.Tensor]


def classifier(module: torch.nn.Module, variables: tuple[Any, ...], told: Told) -> Classifier:
    """Make a classifier of a copy of a module, in evaluation mode, in float32 on the CPU."""
    if variables:
        raise ArgumentValueError(
            "variables",
            "are given with a PyTorch module, which holds its own",
            "pass the module alone, after module.load_state_dict(...)",
        )
    image = told.image(None, None, 1)
    named = _Named(copy.deepcopy(module).cpu().float().eval(), dict(told.arguments or {}))
    images = np.random.default_rng(0).random((2, *image.shape), np.float32)
    given = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, image.channel_axis)))
    try:
        with torch.no_grad():
            hidden, outputs = named.run(given)
    except Exception as error:
        raise does_not_run(image.shape, error) from error
    name = type(module).__name__
    try:
        f, params = _in_jax(named, given, hidden, outputs)
    except _NotInJaxError as error:
        warnings.warn(
            f"{told.name or name} stays with PyTorch, because {error}; explain it with "
            "engine='callable'",
            stacklevel=3,
        )
        return _called(named, told, image, outputs, name)
    return told.classifier(f, params, name=name, channel_axis=1)


class _NotInJaxError(Exception):
    """A module has no equal in JAX, for the reason given as the middle of a sentence."""


class _Named(torch.nn.Module):
    """A module that returns the outputs of its submodules too, as one tuple."""

    def __init__(self, module: torch.nn.Module, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.arguments = arguments

    def run(self, images: torch.Tensor) -> tuple[Tensors, Tensors]:
        """Return what submodules return, by path, and the outputs."""
        hidden: Tensors = {}

        def noting(path: str) -> Callable[..., None]:
            def noted(module: torch.nn.Module, inputs: Any, result: Any) -> None:
                if isinstance(result, (tuple, list)) and result:
                    result = result[0]
                if isinstance(result, torch.Tensor):
                    # What comes next may change it in place.
                    note(hidden, path, result.clone())

            return noted

        handles = [
            part.register_forward_hook(noting(path))
            for path, part in self.module.named_modules()
            if path
        ]
        try:
            result = self.module(images, **self.arguments)
        finally:
            for handle in handles:
                handle.remove()
        _, outputs = outputs_of(result, {})
        return hidden, outputs

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return all of them."""
        hidden, outputs = self.run(images)
        return (*hidden.values(), *outputs.values())


def _in_jax(
    named: _Named, images: torch.Tensor, hidden: Tensors, outputs: Tensors
) -> tuple[ModelFunction, Params]:
    """Write a module down as ONNX, read that, and compare."""
    values = [*hidden.values(), *outputs.values()]
    # Its annotation knows paths only.
    file: Any = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                named,
                (images,),
                file,
                input_names=[IMAGES],
                output_names=[VALUE.format(index) for index in range(len(values))],
                dynamic_axes={IMAGES: {0: "n"}},
                opset_version=OPSET,
                training=torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=False,
                dynamo=False,
            )
        run, params = as_function(file.getvalue())
        f = functools.partial(_run, run, tuple(hidden), tuple(outputs))
        mine = jax.jit(f)(params, images.numpy())
    except Exception as error:
        raise _NotInJaxError(f"it could not be brought into JAX ({in_short(error)})") from error
    for layer, want in {**hidden, **outputs}.items():
        got = {**mine[0], **mine[1]}.get(layer)
        if got is not None and not _close(np.asarray(got), want.detach().numpy()):
            raise _NotInJaxError(f"{layer!r} comes out otherwise in JAX")
    # A last layer returns what the module returns.
    same = {
        layer
        for layer, value in hidden.items()
        if any(value.shape == one.shape and torch.equal(value, one) for one in outputs.values())
    }
    kept = tuple(None if layer in same else layer for layer in hidden)
    return functools.partial(_run, run, kept, tuple(outputs)), params


def _run(
    run: ModelFunction,
    hidden: tuple[str | None, ...],
    outputs: tuple[str, ...],
    params: Params,
    images: jax.Array,
) -> tuple[Outputs, Outputs]:
    _, values = run(params, images)
    # The model calls its outputs by their number; those that are no floats are left out.
    named = [
        (layer, values[VALUE.format(index)])
        for index, layer in enumerate((*hidden, *outputs))
        if VALUE.format(index) in values
    ]
    return (
        {layer: value for layer, value in named[: -len(outputs)] if layer is not None},
        {layer: value for layer, value in named[-len(outputs) :] if layer is not None},
    )


def _close(got: np.ndarray, want: np.ndarray) -> bool:
    return got.shape == want.shape and bool(
        np.abs(got - want).max(initial=0) <= TOLERANCE * max(np.abs(want).max(initial=0), 1e-6)
    )


def _called(named: _Named, told: Told, image: Image, outputs: Tensors, name: str) -> Classifier:
    """Make a classifier of a module that PyTorch runs, on images as NumPy arrays."""
    preprocess = told.preprocessing(image.channels)

    def called(images: np.ndarray) -> Any:
        prepared = np.asarray(
            images if preprocess is None else preprocess(jnp.asarray(images)), np.float32
        )
        moved = np.ascontiguousarray(np.moveaxis(prepared, -1, image.channel_axis))
        with torch.no_grad():
            values = outputs_of(named.module(torch.from_numpy(moved), **named.arguments), {})[1]
        arrays = {
            layer: _channels_last(value.numpy(), images.ndim) for layer, value in values.items()
        }
        return arrays if len(arrays) > 1 else next(iter(arrays.values()))

    kinds = told.kinds({layer: tuple(value.shape[1:]) for layer, value in outputs.items()}, {})
    net = wrap_callable(
        called, np.zeros(image.shape, np.float32),
        kinds if len(outputs) > 1 else next(iter(kinds.values())), told.labels,
    )  # fmt: skip
    return dataclasses.replace(
        net,
        name=told.name or name,
        image_size=image.size,
        num_training_images=told.num_training_images,
    )


def _channels_last(value: np.ndarray, ndim: int) -> np.ndarray:
    return np.moveaxis(value, 1, -1) if value.ndim == ndim else value
