"""A network in one file, as somebody would add it, and weights as its maker would publish them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import pdjax.models

State = dict[str, np.ndarray]

SOURCE = '''
"""A small network that pdjax does not come with."""

import flax.linen as nn

from pdjax.models import Download, Network, Place
from pdjax.models.layers import conv, dense


class Toy(nn.Module):
    @nn.compact
    def __call__(self, images):
        layers = {{}}
        x = layers["conv"] = nn.relu(conv(images, "conv", 4, 3, padding=1))
        x = layers["scores"] = dense(x, "scores", 5)
        layers["prob"] = nn.softmax(x)
        return layers


PLACES = {{
    "conv": Place("features.0", norm="features.1"),
    "scores": Place("head", feature_map=(6, 6)),
}}

TOY = Network(
    name="{name}",
    module=Toy(),
    image_size=6,
    summary="A network of two layers",
    aliases=("{alias}",),
    published=Download("{address}", "{checksum}"),
    place=PLACES.__getitem__,
    unused=("aux.",),
    scores="scores",
    labels=("ant", "bee", "cat", "dog", "eel"),
    num_training_images=None,
)
'''

EMPTY = "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709"
_numbers = itertools.count()


def write_toy(
    folder: Path,
    name: str,
    *,
    alias: str | None = None,
    address: str = "http://127.0.0.1:1/toy.pth",
    checksum: str = EMPTY,
) -> Path:
    """Write the file of a network called ``name``; nobody answers at its address."""
    path = folder / f"{name}.py"
    alias = f"{name}_alias" if alias is None else alias
    path.write_text(
        SOURCE.format(name=name, alias=alias, address=address, checksum=checksum), "utf-8"
    )
    return path


def add_toy(monkeypatch: pytest.MonkeyPatch, folder: Path, **facts: str) -> str:
    """Add such a file to the networks for the length of a test and return the network's name."""
    name = f"toy_{next(_numbers)}"
    write_toy(folder, name, **facts)
    monkeypatch.setattr(pdjax.models, "__path__", [*pdjax.models.__path__, str(folder)])
    return name


def toy_state(seed: int = 0) -> State:
    """Return random published weights, with some that only training used."""
    rng = np.random.default_rng(seed)
    shapes = {
        "features.0.weight": (4, 3, 3, 3),
        **{f"features.1.{part}": (4,) for part in ("weight", "bias", "running_mean")},
        "features.1.running_var": (4,),
        "head.weight": (5, 4 * 6 * 6),
        "head.bias": (5,),
        "aux.weight": (2, 2),
    }
    state = {name: rng.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    return {**state, "features.1.num_batches_tracked": np.asarray(7)}


def toy_scores(state: State, image: np.ndarray) -> np.ndarray:
    """Compute the scores (5,) of an image (6, 6, 3), channels first as PyTorch would."""
    padded = np.pad(image.transpose(2, 0, 1), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    x = np.einsum("ochw,cyxhw->oyx", state["features.0.weight"], windows)
    scale, shift, mean, variance = (
        state[f"features.1.{part}"][:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * scale + shift, 0)
    return state["head.weight"] @ x.reshape(-1) + state["head.bias"]
