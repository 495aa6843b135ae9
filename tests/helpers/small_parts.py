"""A small network, an image and a sampler, of which parts are explained."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

import pdjax
from helpers.gaussian_reference import smooth

KEY = jax.random.key(3)
SIDE = 14
IMAGE = smooth(SIDE, SIDE, 2).astype(np.float32)
KERNEL = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2, 4)), jnp.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)), jnp.float32)
BOX = (slice(3, 7), slice(5, 8))
MASK = np.zeros((SIDE, SIDE), bool)
MASK[BOX] = True


def network(params, images):
    layout = ("NHWC", "HWIO", "NHWC")
    hidden = jax.lax.conv_general_dilated(images, KERNEL, (2, 2), "SAME", dimension_numbers=layout)
    hidden = jax.nn.relu(hidden)
    return {"hidden": hidden, "prob": jax.nn.softmax(4 * hidden.mean((1, 2)) @ WEIGHTS)}


NET = pdjax.Classifier.from_function(network, None, image_size=SIDE, channels=2)


@functools.cache
def statistics() -> pdjax.PatchStatistics:
    noise = np.random.default_rng(0).normal(0, 0.03, (6, 30, 30, 2))
    images = [smooth(30, 30, 2, seed=s) + noise[s] for s in range(6)]
    return dataclasses.replace(
        pdjax.PatchStatistics.fit(images, max_patch=12, bounds=None), bounds=(0.0, 1.0)
    )


@functools.cache
def sampler() -> pdjax.ConditionalGaussian:
    return pdjax.ConditionalGaussian(statistics(), 3, 1)


def run(**options) -> pdjax.Explanation:
    options = {"num_samples": 3, "stride": 2, "layers": ("hidden", "prob")} | options
    return pdjax.explain(NET, IMAGE, options.pop("sampler", sampler()), rng_key=KEY, **options)
