"""Throughput of `pdjax.explain` beside the bare network, and where the rest of the time goes.

Both run in one process, alternately, on the same number of images at the same batch size, after
both are compiled. What counts as outside the network is

    1 - (time of the bare forward pass per image) / (time of the whole call of explain per image)

with the class probabilities as the only output. Sampling, pasting, the reduction to units and the
relevance maps are then timed alone, to say where that share goes.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import typer
from jax.sharding import NamedSharding, PartitionSpec
from measure import Seconds, environment, print_table, time_alternately

import pdjax
from pdjax._typing import Sampler
from pdjax.engines import dense_engine
from pdjax.explain import count_passes
from pdjax.marginalize import draw, summarise, windows_per_chunk
from pdjax.observe import Observe, Rule, relevance_maps
from pdjax.run import run_windows
from pdjax.checkpoint import Checkpoint
from pdjax.windows import WindowGrid, paste
