"""The images that statistics are fitted to: read one at a time, checked, and cut into patches."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from pdjax._checks import (
    ArgumentError,
    ArgumentValueError,
    Bounds,
    check_pair,
    check_values,
)
from pdjax._progress import Bar, progress_bar

__all__ = ["Bounds", "ImageSource", "Images"]

MAX_NAMED = 5


@runtime_checkable
class Images(Protocol):
    """A sequence of images ``(*spatial, c)`` in [0, 1], which may differ in size."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSource:
    """Images to fit to, read anew each time: a folder of photographs may not fit into memory.

    Files that cannot be read are left out, with one warning that names them at the end of the
    first pass. Images that can be read but are of another kind than the others are named together
    at its end, in an error: a person with a folder of thousands repairs all of them at a time.

    Parameters
    ----------
    images : sequence of float arrays (*spatial, c)
    bounds : (float, float) or None
        Range that values must lie in.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        On construction, if there are no images; from a pass, if some cannot be used.
    """

    images: Images
    bounds: Bounds = (0.0, 1.0)
    progress: bool = False
    unreadable: dict[int, Exception] = dataclasses.field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        check_pair("bounds", self.bounds)
        if len(self.images) == 0:
            raise ArgumentValueError(
                "images", "must hold at least one image", "give some to fit statistics to"
            )

    def __len__(self) -> int:
        """Images that can be read, as far as they have been tried."""
        return len(self.images) - len(self.unreadable)

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return self._kind[0]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._kind[1]

    @functools.cached_property
    def _kind(self) -> tuple[int, int]:
        """Spatial axes and channels of the first image that can be read."""
        problems: list[Exception] = []
        for index in range(len(self.images)):
            try:
                shape = np.shape(self.images[index])
            except (ValueError, OSError) as error:
                problems.append(error)
                continue
            if len(shape) < 2:
                raise ArgumentValueError(
                    f"images[{index}]",
                    f"of shape {shape} must be (*spatial, channels)",
                    "add the channel axis",
                )
            return len(shape) - 1, shape[-1]
        raise _summary(problems, len(self.images))

    def bar(self, passes: int = 1, description: str = "fitting") -> Bar:
        """Return a progress bar over all images, read so many times."""
        return progress_bar(passes * len(self.images), "images", self.progress, description)

    def each(self, patch: tuple[int, ...], bar: Bar) -> Iterator[np.ndarray]:
        """Give every image that holds such a patch, float64, then say which were left out."""
        problems: list[Exception] = []
        known = len(self.unreadable)
        for index in range(len(self.images)):
            image = self._read(index)
            if image is not None:
                try:
                    image = self._checked(image, index, patch)
                except ValueError as error:
                    problems.append(error)
                else:
                    yield image
            bar.update(1)
        if problems or not len(self):
            # A bar that stopped half way is wiped off, so that the message has a line of its own.
            bar.leave = False
            raise _summary([*self.unreadable.values(), *problems], len(self.images))
        if len(self.unreadable) > known:
            said = _named(list(self.unreadable.values()))
            warnings.warn(
                f"images: {len(self.unreadable)} of {len(self.images)} are left out: {said}",
                stacklevel=2,
            )

    def _read(self, index: int) -> np.ndarray | None:
        """Read an image, or note that it cannot be."""
        if index in self.unreadable:
            return None
        try:
            return np.asarray(self.images[index], np.float64)
        except (ValueError, OSError) as error:
            self.unreadable[index] = error
            return None

    def random_patches(
        self, patch: tuple[int, ...], num_patches: int, seed: int | Sequence[int], bar: Bar
    ) -> Iterator[np.ndarray]:
        """Give patches ``(n, pixels, c)`` at random places of every image, equally many of each.

        They are ``num_patches`` in all, or a few more so that they are equally many. Where files
        turn out to be unreadable, those after them make up for it.
        """
        each, known = -(-num_patches // len(self)), len(self.unreadable)
        generator = np.random.default_rng(seed)
        for image in self.each(patch, bar):
            room = np.array(image.shape[:-1], np.int64) - np.array(patch) + 1
            views = np.lib.stride_tricks.sliding_window_view(image, (*patch, self.channels))
            rows = views[tuple(generator.integers(room[:, None], size=(len(patch), each)))]
            yield rows.reshape(each, -1, self.channels)
            if len(self.unreadable) > known:
                each = -(-num_patches // len(self))

    def _checked(self, image: np.ndarray, index: int, patch: tuple[int, ...]) -> np.ndarray:
        name = f"images[{index}]"
        if image.ndim != self.dimensions + 1 or image.shape[-1] != self.channels:
            raise ArgumentValueError(
                name,
                f"of shape {image.shape} differs from the first, which has {self.dimensions} "
                f"spatial axes and {self.channels} channels",
                "give images of one kind",
            )
        image = check_values(image, self.bounds, name)
        if any(size < most for size, most in zip(image.shape[:-1], patch, strict=True)):
            raise ArgumentValueError(
                name,
                f"of shape {image.shape} is smaller than the patch {patch}",
                "leave it out or choose a smaller patch",
            )
        return image


def _summary(problems: Sequence[Exception], count: int) -> Exception:
    """Return the only problem there is, or an error that names the first few of them."""
    if len(problems) == 1:
        return problems[0]
    return ArgumentValueError(
        "images",
        f"cannot be used, {len(problems)} of {count}: {_named(problems)}",
        "replace them or leave them out",
    )


def _named(problems: Sequence[Exception]) -> str:
    named = "; ".join(map(_without_remedy, problems[:MAX_NAMED]))
    return named + (f" and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else "")


def _without_remedy(error: Exception) -> str:
    if isinstance(error, ArgumentError):
        return f"{error.argument}{error.shown} {error.problem}"
    return str(error)
