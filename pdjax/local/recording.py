"""Recording: one run of a function, and what is kept of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from pdjax._checks import ArgumentValueError, check_count, check_gigabytes, per_axis
from pdjax._devices import memory_bytes, platform
from pdjax._precision import PRECISIONS, AtPrecision
from pdjax._types import Array, Float, Function, Params, static
from pdjax.jaxprs.known import with_known
from pdjax.jaxprs.layout import channels_last
from pdjax.jaxprs.lowerings import performer
from pdjax.jaxprs.program import trace
from pdjax.local.cost import Schedule, schedule
from pdjax.local.interpreter import Kept, WindowRun, keep
from pdjax.local.opening import opened
from pdjax.local.report import Report, make_report

__all__ = ["Record", "Static", "record"]

Name = TypeVar("Name", bound=Hashable)


# As `_record` is compiled, records of one function, window and shape come from its cache with the
# very same object, and `evaluate`, for which it is static, is compiled once for all of them.
@dataclasses.dataclass(frozen=True, eq=False)
class Static:
    """Everything about a recorded function that is not an array; equal only to itself.

    Attributes
    ----------
    schedule : Schedule
        Which boxes are evaluated, and how many images at once.
    kept : tuple of Kept
        What the arrays in ``kept`` of the record are.
    fixed : tuple of int
        What the arrays in ``fixed`` of the record are: values that steps make of the parameters
        alone, and that are read.
    params, outputs : PyTreeDef
        Structures of the parameters and of what the function returns.
    window : tuple of int
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.
    """

    schedule: Schedule
    kept: tuple[Kept, ...]
    fixed: tuple[int, ...]
    params: jax.tree_util.PyTreeDef
    outputs: jax.tree_util.PyTreeDef
    window: tuple[int, ...]
    lowerings: bool


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Record:
    """A function run once, and what is needed to run it again where a window has changed.

    A PyTree, to be handed to `evaluate` inside or outside of compiled functions.

    Attributes
    ----------
    outputs : PyTree of arrays (1, ...)
        What the function gives for the image as it is.
    kept : tuple of arrays
        Activations, those that are needed.
    fixed : tuple of arrays
        What is made of parameters alone, such as kernels in another layout.
    constants : tuple of arrays
        What the function closes over.
    static : Static
        The plan.
    """

    # Any, for JAX itself fills PyTrees with other things than arrays, such as axes and shapes.
    outputs: Any
    kept: Any
    fixed: Any
    constants: Any
    static: Static = static()

    def report(self) -> Report:
        """Say, step by step, which box is evaluated, what it saves, and where boxes end."""
        return make_report(self.static.schedule)

    @property
    def batch_size(self) -> int:
        """Perturbed images that are best evaluated in one call."""
        return max(self.static.schedule.head, self.static.schedule.tail)

    def __repr__(self) -> str:
        arrays = jax.tree.leaves((self.kept, self.fixed, self.constants))
        size = sum(leaf.nbytes for leaf in arrays)
        return f"Record(window={self.static.window}, {size / 1e6:.1f} MB kept)"


def record(
    f: Function,
    params: Params,
    image: Float[Array, "*spatial c"],
    window: int | Sequence[int],
    *,
    batch_size: int | None = None,
    num_images: int = 0,
    lowerings: bool = True,
    precision: str = PRECISIONS[0],
    max_memory: float | None = None,
) -> Record:
    """Run a function on an image, and keep what it takes to run it again with a window changed.

    The function is traced and its steps are followed by rules that know how far a change spreads.
    An operation without a rule is evaluated as a whole, and so is everything that depends on its
    result: the outcome is exact for every function.

    Parameters
    ----------
    f : callable
        ``f(params, images (n, *spatial, c))`` -> PyTree of arrays ``(n, ...)``; hashable, as for
        `jax.jit`. It must treat every image of a batch the same and by itself.
    params : PyTree of arrays
        Parameters of ``f``.
    image : float array, shape (*spatial, c)
        The image as it is.
    window : int or sequence of int
        Entries of the window on each spatial axis.
    batch_size : int, optional
        Images to evaluate at once, at most; by default what is predicted to be fastest.
    num_images : int
        Perturbed images that will be evaluated, roughly. For many it pays to compile more, for
        windows near the border and in the middle apart.
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.
    precision : {"highest", "high", "default"}
        Of the products of ``f``, wherever it does not ask for one itself, here and in `evaluate`:
        float32; on TPUs of three bfloat16 parts and on GPUs TF32; what the device does fastest.
    max_memory : float, optional
        Gigabytes of the device's memory to plan batches for, at most; by default what it has.

    Returns
    -------
    Record

    Raises
    ------
    ValueError
        If the window does not fit the image, or an output does not have the images in front.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> def f(params, images):
    ...     return {"mean": images.mean((1, 2)) @ params}
    >>> params, image = jnp.ones((3, 2)), jnp.zeros((8, 8, 3))
    >>> recorded = pdjax.local.record(f, params, image, window=4)
    >>> pdjax.local.evaluate(recorded, params, jnp.array([[0, 4]]), jnp.ones((1, 4, 4, 3)))
    {'mean': Array([[0.75, 0.75]], dtype=float32)}
    """
    if batch_size is not None:
        check_count("batch_size", batch_size)
    check_count("num_images", num_images, least=0)
    if image.ndim < 2:
        raise ArgumentValueError(
            "image", f"of shape {image.shape} must be (*spatial, channels)", "add the channel axis"
        )
    sides = per_axis(window, image.ndim - 1, "window")
    if any(k > size for size, k in zip(image.shape, sides, strict=False)):
        raise ArgumentValueError(
            "window",
            f"is larger than the image of shape {image.shape}",
            "choose a smaller window",
            value=window,
        )
    check_gigabytes(max_memory)
    f, memory = AtPrecision(f, precision), memory_bytes(max_memory)
    return _record(f, params, image, sides, batch_size, num_images, lowerings, memory)


# The plan is made while this is traced, as it depends on shapes alone. Parameters, image and what
# the function closes over are arguments there and arrays of the record: as constants of a program
# they would be folded for seconds and stored with it.
@functools.partial(jax.jit, static_argnums=(0, 3, 4, 5, 6, 7))
def _record(
    f: Function,
    params: Params,
    image: jax.Array,
    window: tuple[int, ...],
    batch_size: int | None,
    num_images: int,
    lowerings: bool,
    memory: int,
) -> Record:
    program, constants, outputs = trace(f, params, image[None])
    _check_outputs(outputs)
    program, constants = opened(program, constants, window)
    program = channels_last(program) if lowerings else program
    program = with_known(program, constants)
    best = schedule(program, window, platform(), batch_size, num_images, memory)
    kept, fixed = _needs(best, window)
    facts = Static(
        schedule=best,
        kept=kept,
        fixed=fixed,
        params=jax.tree.structure(params),
        outputs=jax.tree.structure(outputs),
        window=window,
        lowerings=lowerings,
    )
    values = program.bound(constants, [*jax.tree.leaves(params), image[None]])
    # Once and for one image: other forms would take longer to compile than they save.
    program.run(performer(False), values)
    return Record(
        outputs=jax.tree.unflatten(facts.outputs, program.outputs(values)),
        kept=tuple(keep(values, one) for one in kept),
        fixed=tuple(values[value] for value in fixed),
        constants=tuple(jnp.asarray(const) for const in constants),
        static=facts,
    )


class _Asked(dict[Name, jax.Array]):
    """A mapping that makes up what it is asked for, and so learns what is needed."""

    def __init__(self, make: Callable[[Name], jax.Array]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Name) -> jax.Array:
        self[key] = self._make(key)
        return self[key]


def _needs(best: Schedule, window: tuple[int, ...]) -> tuple[tuple[Kept, ...], tuple[int, ...]]:
    """Find, by a run without numbers, what has to be kept and which fixed values are read.

    Which surroundings a rule reads, and how far they hang over the ends of an array, is known to
    the rule alone. So one window is evaluated on abstract values, with a record that notes what it
    is asked for: what is kept of the real run is that, and nothing else.
    """
    avals, plan = best.plan.program.avals, best.plan

    def kept_zeros(one: Kept) -> jax.Array:
        value, pads, _ = one
        sides = zip(avals[value].shape, pads, strict=True)
        return jnp.zeros([dim + sum(pad) for dim, pad in sides], avals[value].dtype)

    def fixed_zeros(value: int) -> jax.Array:
        return jnp.zeros(avals[value].shape, avals[value].dtype)

    kept, fixed = _Asked(kept_zeros), _Asked(fixed_zeros)

    # The form in which operations are performed makes no difference to what is read.
    def evaluate_one(origin: jax.Array, patch: jax.Array) -> list[jax.Array]:
        # The heads of all regions read surroundings of their own; there is one tail.
        runs = [WindowRun(plan, performer(False), kept, fixed, origin) for plan in best.plans]
        for run in runs:
            run.head(patch, best.cut, best.crossing, plan)
        runs[-1].run(plan.decisions[best.cut :])
        return [jnp.asarray(runs[-1].whole(value)) for value in plan.program.results]

    image = avals[plan.image]
    patch = jax.ShapeDtypeStruct((1, *window, image.shape[-1]), image.dtype)
    jax.eval_shape(evaluate_one, jax.ShapeDtypeStruct((len(window),), jnp.int32), patch)
    given = {*plan.program.constants, *plan.program.arguments}
    return tuple(kept), tuple(value for value in fixed if value not in given)


def _check_outputs(outputs: Any) -> None:
    for path, aval in jax.tree.leaves_with_path(outputs):
        if not aval.shape or aval.shape[0] != 1:
            raise ArgumentValueError(
                "f",
                f"returns an array of shape {aval.shape} for one image at "
                f"{jax.tree_util.keystr(path) or 'its output'}",
                "its outputs must be (n, ...) for n images",
            )
