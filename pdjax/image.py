"""From an image file to pixel space: float32 RGB in [0, 1]."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pdjax._checks import ArgumentValueError, MissingFileError, per_axis
from pdjax._files import existing_file

__all__ = ["ImageFolder", "load_image"]

MAX_PIXELS = 100_000_000
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def load_image(path: str | os.PathLike[str], size: int | Sequence[int] | None = None) -> np.ndarray:
    """Read a photograph.

    Any mode is converted to RGB: grey and palette images are expanded, transparency is laid over
    white, 16-bit values are scaled, and the camera's orientation mark (EXIF) is applied.

    Parameters
    ----------
    path : path
        An image file that Pillow can read; of an animation, the first frame.
    size : int or (int, int), optional
        Height and width to return: the image is resized (bicubic, antialiased) until it just
        covers them, its shape kept, and the middle is cut out. By default the image's own size.

    Returns
    -------
    float32 array, shape (h, w, 3)
        RGB in [0, 1].

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, empty, truncated, not an image, or has over 100 million pixels.

    Warns
    -----
    UserWarning
        If the image is smaller than ``size`` and was enlarged.
    """
    path = existing_file(path, "image")
    target = None if size is None else per_axis(size, 2, "size")
    try:
        with warnings.catch_warnings():
            # Pillow's own limit only warns; the size is checked below, before decoding.
            warnings.simplefilter("ignore")
            with Image.open(path) as file:
                _check_pixels(path, file)
                image = _to_rgb(ImageOps.exif_transpose(file))
    except ArgumentValueError:
        raise
    except Image.DecompressionBombError as error:
        problem = f"is too large to read safely ({error})"
        raise ArgumentValueError("image", problem, "scale it down first", value=path) from None
    except MemoryError:
        problem = "does not fit into memory"
        raise ArgumentValueError("image", problem, "scale it down first", value=path) from None
    except Exception as error:
        # Decoders fail on damaged files with many kinds of exceptions.
        unknown = isinstance(error, Image.UnidentifiedImageError)
        raise ArgumentValueError(
            "image",
            f"is not a readable image ({'its format is unknown' if unknown else error})",
            "give a whole JPEG, PNG or other photograph",
            value=path,
        ) from None
    if target is not None:
        image = _cover(path, image, target)
    return np.asarray(image, np.float32) / np.float32(255)


class ImageFolder:
    """All images of a folder, sorted by name and read one at a time.

    Parameters
    ----------
    folder : path
        A folder with image files.
    size : int or (int, int), optional
        As in `load_image`; by default every image keeps its own size.
    limit : int, optional
        Read only that many.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        size: int | Sequence[int] | None = None,
        limit: int | None = None,
    ) -> None:
        folder = Path(folder)
        if folder.is_file():
            raise ArgumentValueError(
                "images", "is a file", "give the folder that it is in", value=folder
            )
        if not folder.is_dir():
            raise MissingFileError("images", "does not exist", "check the path", value=folder)
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        if not paths:
            raise ArgumentValueError(
                "images",
                f"is a folder without image files ({', '.join(SUFFIXES)})",
                "give one that has some",
                value=folder,
            )
        self.paths, self.size = paths[:limit], size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return load_image(self.paths[index], self.size)


def _check_pixels(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ArgumentValueError(
            "image",
            f"has {width} by {height} pixels, more than {MAX_PIXELS:,}",
            "scale it down first",
            value=path,
        )


def _to_rgb(image: Image.Image) -> Image.Image:
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


def _cover(path: Path, image: Image.Image, target: tuple[int, ...]) -> Image.Image:
    height, width = target
    if image.width < width or image.height < height:
        warnings.warn(
            f"image: {str(path)!r} of {image.width} by {image.height} pixels is smaller than "
            f"{width} by {height} and is enlarged",
            stacklevel=3,
        )
    scale = max(width / image.width, height / image.height)
    resized = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    if resized[0] * resized[1] > MAX_PIXELS:
        raise ArgumentValueError(
            "image",
            f"of {image.width} by {image.height} pixels is too narrow to cover {width} by {height}",
            "crop it first",
            value=path,
        )
    image = image.resize(resized, Image.Resampling.BICUBIC)
    left, top = (resized[0] - width) // 2, (resized[1] - height) // 2
    return image.crop((left, top, left + width, top + height))
