"""From an image file to pixel space: float32 RGB in [0, 1]."""

from __future__ import annotations

import collections
import io
import math
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol, cast, runtime_checkable

import numpy as np
from PIL import ExifTags, Image, ImageOps

from pdjax._checks import (
    ROUNDING,
    ArgumentTypeError,
    ArgumentValueError,
    MissingFileError,
    check_choice,
    per_axis,
)
from pdjax._files import existing_file

__all__ = ["ImageFolder", "example_photo", "image_size", "load_image"]

FITS = ("crop", "pad", "squash")
MAX_PIXELS = 100_000_000
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


@runtime_checkable
class BinaryFile(Protocol):
    """A file that is open for reading bytes, as Pillow takes it."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


Source = str | os.PathLike[str] | BinaryFile | Image.Image
"""Where an image is: a path, an open binary file, or an image of Pillow."""


def example_photo() -> Path:
    """Return the path of a photograph that comes with pdjax, a JPEG of 640 by 427 pixels.

    A Falcon 9 lifts off with the satellite DSCOVR, 2015; by SpaceX, who gave it to the public
    domain. To networks trained on ImageNet the rocket is a missile.

    Examples
    --------
    >>> load_image(example_photo(), size=224).shape
    (224, 224, 3)
    """
    return Path(__file__).parent / "data" / "rocket.jpg"


def load_image(
    path: Source, size: int | Sequence[int] | None = None, fit: str = "crop"
) -> np.ndarray:
    """Read a photograph.

    Any mode is converted to RGB: grey and palette images are expanded, transparency is laid over
    white, 16-bit values are scaled, and the camera's orientation mark (EXIF) is applied. Images of
    floats (TIFF) within [0, 1] are taken as they are.

    Parameters
    ----------
    path : path, binary file or PIL.Image.Image
        An image file that Pillow can read, its path (``~`` is the home folder) or open for reading,
        also `io.BytesIO`; of an animation, the first frame. Or an image that Pillow has read.
    size : int or (int, int), optional
        Height and width to return. By default the image's own size.
    fit : {"crop", "pad", "squash"}
        How an image of another shape is resized (bicubic, antialiased) to ``size``: until it just
        covers it, and the middle is cut out; until it just fits into it, and what is left around
        it gets its mean colour; or without keeping its shape.

    Returns
    -------
    float32 array, shape (h, w, 3)
        RGB in [0, 1].

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If the file is missing, empty, truncated, not an image, or has over 100 million pixels, or
        if it is no such thing at all.

    Warns
    -----
    UserWarning
        If the image was enlarged.
    """
    source, name = _source(path)
    check_choice("fit", fit, FITS)
    target = None if size is None else per_axis(size, 2, "size")
    try:
        with warnings.catch_warnings():
            # Pillow's own limit only warns; the size is checked below, before decoding.
            warnings.simplefilter("ignore")
            if isinstance(source, Image.Image):
                _check_pixels(name, source)
                image = _to_rgb(ImageOps.exif_transpose(source))
            else:
                with Image.open(cast("Path | IO[bytes]", source)) as file:
                    _check_pixels(name, file)
                    image = _to_rgb(ImageOps.exif_transpose(file))
    except ArgumentValueError:
        raise
    except Image.DecompressionBombError as error:
        problem = f"is too large to read safely ({error})"
        raise ArgumentValueError("image", problem, "scale it down first", value=name) from None
    except MemoryError:
        problem = "does not fit into memory"
        raise ArgumentValueError("image", problem, "scale it down first", value=name) from None
    except Exception as error:
        # Decoders fail on damaged files with many kinds of exceptions.
        unknown = isinstance(error, Image.UnidentifiedImageError)
        raise ArgumentValueError(
            "image",
            f"is not a readable image ({'its format is unknown' if unknown else error})",
            "give a whole JPEG, PNG or other photograph",
            value=name,
        ) from None
    if target is not None:
        image = _resized(name, image, target, fit)
    if image.mode == "F":
        values = np.clip(np.asarray(image, np.float32), 0, 1)
        return np.repeat(values[..., None], 3, axis=-1)
    return np.asarray(image, np.float32) / np.float32(255)


def image_size(path: Path) -> tuple[int, int]:
    """Return the height and width of a photograph as `load_image` turns it, from its header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as file:
            width, height = file.size
            # These marks of the camera exchange rows and columns.
            turned = file.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def _source(path: Any) -> tuple[Path | BinaryFile | Image.Image, Any]:
    """Return what Pillow reads, and what to call it in errors; or raise if it is something else."""
    if isinstance(path, Image.Image):
        return path, path
    if isinstance(path, io.TextIOBase):
        raise ArgumentTypeError(
            "image", "is a file that is open as text", "open it with mode 'rb'", value=path
        )
    if isinstance(path, BinaryFile):
        return path, getattr(path, "name", path)
    if isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise ArgumentValueError(
            "image",
            "is an address on the network",
            "download it first, and give the path of the file or io.BytesIO of what it holds",
            value=path,
        )
    if isinstance(path, str | os.PathLike):
        return existing_file(Path(path).expanduser(), "image"), Path(path)
    remedies = {
        bytes: "wrap what a file holds in io.BytesIO",
        np.ndarray: "an array is explained as it is, with floats in [0, 1]; to resize 8-bit values "
        "give PIL.Image.fromarray(array)",
    }
    raise ArgumentTypeError(
        "image",
        f"is of type {type(path).__name__}, and no path, open file or image of Pillow",
        remedies.get(type(path), "give one of these"),
    )


class ImageFolder:
    """All images of a folder and the folders in it, sorted by name and read one at a time.

    Hidden files and folders, whose name begins with a dot, are left out.

    Parameters
    ----------
    folder : path
        A folder with image files, or with a folder of them for each class.
    size : int or (int, int), optional
        As in `load_image`; by default every image keeps its own size.
    limit : int, optional
        Read only that many, of each folder in turn.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        size: int | Sequence[int] | None = None,
        limit: int | None = None,
    ) -> None:
        folder = Path(folder).expanduser()
        if folder.is_file():
            raise ArgumentValueError(
                "images", "is a file", "give the folder that it is in", value=folder
            )
        if not folder.is_dir():
            raise MissingFileError("images", "does not exist", "check the path", value=folder)
        paths = _images_below(folder)
        if not paths:
            raise ArgumentValueError(
                "images",
                f"is a folder without image files ({', '.join(SUFFIXES)})",
                "give one that has some",
                value=folder,
            )
        self.paths = paths if limit is None else _in_turn(paths)[:limit]
        self.size = size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return load_image(self.paths[index], self.size)


def _images_below(folder: Path) -> list[Path]:
    """Files with the suffix of an image in a folder and those below, none of them hidden."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = (name for name in files if not name.startswith("."))
        found += [Path(parent, name) for name in shown if Path(name).suffix.lower() in SUFFIXES]
    return sorted(found)


def _in_turn(paths: Sequence[Path]) -> list[Path]:
    """Put the first file of every folder before the second of any: a few are of many classes."""
    count: collections.Counter[Path] = collections.Counter()
    places = []
    for path in paths:
        places.append((count[path.parent], path))
        count[path.parent] += 1
    return [path for _, path in sorted(places)]


def _check_pixels(path: Any, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ArgumentValueError(
            "image",
            f"has {width} by {height} pixels, more than {MAX_PIXELS:,}",
            "scale it down first",
            value=path,
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in 8-bit RGB, or one of floats in [0, 1]."""
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all() or values.min(initial=0) < -ROUNDING:
            raise ValueError(
                f"its floats go from {values.min():.4g} to {values.max():.4g}, which are no "
                "photograph: read it as an array, and explain it with bounds=None"
            )
        if values.max(initial=0) <= 1 + ROUNDING:
            return image.copy()
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        highest = 65535 if values.max(initial=0) > 255 or image.mode.startswith("I;16") else 255
        levels = np.round(np.clip(values / highest, 0, 1) * 255)
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _called(path: Any) -> str:
    return repr(str(path)) if isinstance(path, str | os.PathLike) else "an image"


def _resized(path: Any, image: Image.Image, target: tuple[int, ...], fit: str) -> Image.Image:
    height, width = target
    across, down = width / image.width, height / image.height
    scale = max(across, down) if fit == "crop" else min(across, down)
    if scale > 1:
        warnings.warn(
            f"image: {_called(path)} of {image.width} by {image.height} pixels is smaller than "
            f"{width} by {height} and is enlarged",
            stacklevel=3,
        )
    if fit == "squash":
        return image.resize((width, height), Image.Resampling.BICUBIC)
    limit = max if fit == "crop" else min
    sides = limit(width, round(image.width * scale)), limit(height, round(image.height * scale))
    if min(sides) == 0 or math.prod(sides) > MAX_PIXELS:
        raise ArgumentValueError(
            "image",
            f"of {image.width} by {image.height} pixels is too narrow for {width} by {height}",
            "crop it first",
            value=path,
        )
    image = image.resize(sides, Image.Resampling.BICUBIC)
    left, top = (sides[0] - width) // 2, (sides[1] - height) // 2
    if fit == "crop":
        return image.crop((left, top, left + width, top + height))
    whole = Image.new(image.mode, (width, height), _mean_color(image))
    whole.paste(image, (-left, -top))
    return whole


def _mean_color(image: Image.Image) -> Any:
    mean = np.asarray(image, np.float64).mean((0, 1))
    return float(mean) if image.mode == "F" else tuple(np.rint(mean).astype(int).tolist())
