"""Photographs of every kind into pixel space, and files that are none."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import refused
from PIL import Image

from pdjax import ImageFolder, load_image
from pdjax.image import image_size

RED, GREY = (200, 40, 20), 90


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def expect(path: Path, value, atol: float = 1e-7) -> None:
    image = load_image(path)
    assert image.dtype == np.float32
    assert image.shape == (4, 6, 3)
    np.testing.assert_allclose(image, np.broadcast_to(np.divide(value, 255), (4, 6, 3)), atol=atol)


@pytest.mark.parametrize(
    ("mode", "color", "value"),
    [
        ("RGB", RED, RED),
        ("L", GREY, GREY),
        ("1", 1, 255),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), 255),
        ("RGBA", (200, 40, 20, 51), (244, 212, 208)),  # a fifth of the colour, the rest white
        ("LA", (GREY, 0), 255),
        ("I;16", 257 * GREY, GREY),
        ("I;16", 65535, 255),
        ("I;16", 100, 0),
    ],
    ids=str,
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode, color, value) -> None:
    # Pillow rounds when it blends colours, at most one step of 255.
    atol = 0.0041 if mode in ("RGBA", "LA") else 1e-7
    expect(saved(tmp_path / "a.png", Image.new(mode, (6, 4), color)), value, atol)


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    expect(saved(tmp_path / "a.png", image), RED)
    expect(saved(tmp_path / "b.gif", image), RED)
    expect(saved(tmp_path / "c.png", image, transparency=1), 255)


def test_cmyk_and_32_bit_integers_and_floats(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (6, 4), (0, 255, 255, 0))
    expect(saved(tmp_path / "a.tif", cmyk), (255, 0, 0))
    expect(saved(tmp_path / "b.tif", Image.new("I", (6, 4), 257 * GREY)), GREY)
    expect(saved(tmp_path / "c.tif", Image.new("I", (6, 4), GREY)), GREY)
    expect(saved(tmp_path / "d.tif", Image.new("F", (6, 4), float(GREY))), GREY)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_orientation_mark_of_a_camera_is_applied(tmp_path, orientation, turns) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    np.testing.assert_allclose(load_image(path), np.rot90(pixels, turns) / 255, atol=1e-7)


@pytest.mark.parametrize(("size", "shape"), [(4, (4, 4)), ((4, 4), (4, 4)), ((4, 2), (4, 2))])
def test_the_middle_is_cut_out(tmp_path: Path, size, shape) -> None:
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 255
    wide = saved(tmp_path / "wide.png", Image.fromarray(pixels))
    image = load_image(wide, size)
    assert image.shape == (*shape, 3)
    assert image.min() == 1
    if size == 4:
        tall = saved(tmp_path / "tall.png", Image.fromarray(pixels.swapaxes(0, 1)))
        assert load_image(tall, 4).min() == 1


def test_scaling_is_antialiased_and_keeps_the_shape_of_things(tmp_path: Path) -> None:
    board = np.uint8(np.indices((40, 80)).sum(0) % 2 * 255)
    image = load_image(saved(tmp_path / "a.png", Image.fromarray(board)), (10, 20))
    np.testing.assert_allclose(image[2:-2, 2:-2], 0.5, atol=0.02)
    ramp = np.linspace(0, 255, 80).astype(np.uint8)[None].repeat(40, 0)
    small = load_image(saved(tmp_path / "b.png", Image.fromarray(ramp)), 10)
    # The middle square of a ramp over twice its width runs from a quarter to three quarters.
    assert small[5, 0, 0] == pytest.approx(0.25 + 0.025, abs=0.02)
    assert small[5, -1, 0] == pytest.approx(0.75 - 0.025, abs=0.02)


def test_a_small_image_is_enlarged_with_a_warning(tmp_path: Path) -> None:
    path = saved(tmp_path / "dot.png", Image.new("RGB", (1, 1), RED))
    assert load_image(path).shape == (1, 1, 3)
    with pytest.warns(UserWarning, match=r"1 by 1 pixels is smaller than 7 by 5 and is enlarged"):
        image = load_image(path, (5, 7))
    np.testing.assert_allclose(image, np.broadcast_to(np.divide(RED, 255), (5, 7, 3)), atol=1e-6)


@pytest.mark.parametrize("mark", range(1, 9))
def test_the_size_is_that_of_the_image_as_it_is_read(tmp_path: Path, mark: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = mark
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (20, 12), RED).save(path, exif=exif)
    assert image_size(path) == load_image(path).shape[:2]


def test_other_shapes_are_padded_or_squashed(tmp_path: Path) -> None:
    wide = Image.new("RGB", (80, 40), RED)
    wide.paste((0, 0, 255), (0, 0, 20, 40))
    path = saved(tmp_path / "wide.png", wide)
    squashed = load_image(path, 20, "squash")
    assert squashed[:, :3, 2].min() > 0.9
    assert squashed[:, 7:, 2].max() < 0.1
    padded = load_image(path, 20, "pad")
    assert padded.shape == (20, 20, 3)
    np.testing.assert_allclose(padded[5:15, :3], squashed[5:15, :3], atol=0.05)
    around = np.concatenate([padded[:5], padded[15:]])
    mean = (3 * np.asarray(RED) + (0, 0, 255)) / 4 / 255
    np.testing.assert_allclose(around, np.broadcast_to(mean, around.shape), atol=0.01)
    # Of the right shape, nothing is lost or added.
    np.testing.assert_array_equal(load_image(path, (20, 40), "pad"), load_image(path, (20, 40)))


def png_header(width: int, height: int) -> bytes:
    """A PNG of a hundred bytes that declares a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def photograph(folder: Path) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return saved(folder / "whole.jpg", Image.fromarray(pixels)).read_bytes()


FILES = {
    "empty": lambda folder: b"",
    "text": lambda folder: b"dear diary",
    "truncated": lambda folder: photograph(folder)[:900],
    "beginning": lambda folder: photograph(folder)[:2],
    "png": lambda folder: png_header(6, 4)[:-30],
    "bomb": lambda folder: png_header(50_000, 50_000),
    "large": lambda folder: png_header(12_000, 10_000),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_image_are_refused(tmp_path, name) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(FILES[name](tmp_path))
    with refused("image") as caught:
        load_image(path)
    assert str(path) in str(caught.value)


def test_the_size_of_what_is_too_large_is_told(tmp_path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_header(12_000, 10_000))
    with refused("image") as caught:
        load_image(path)
    assert "12000 by 10000" in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with refused("image", FileNotFoundError) as caught:
        load_image(tmp_path / "none.png")
    assert "none.png" in str(caught.value)
    with refused("image"):
        load_image(tmp_path)


@pytest.mark.filterwarnings("ignore:.*is enlarged")
def test_a_sliver_is_not_enlarged_to_gigabytes(tmp_path: Path) -> None:
    path = saved(tmp_path / "sliver.png", Image.new("L", (60_000, 1)))
    with refused("image") as caught:
        load_image(path, 224)
    assert "60000 by 1" in str(caught.value)


@pytest.mark.parametrize("size", [0, (3, -1), (3, 3, 3)], ids=str)
def test_sizes_are_checked(tmp_path: Path, size) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (6, 4)))
    with refused("size"):
        load_image(path, size)


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name, level in [("b.png", 20), ("a.PNG", 10), ("c.jpg", 30), ("notes.txt", None)]:
        if level is None:
            (tmp_path / name).write_text("no image")
        else:
            Image.new("L", (6, 4), level).save(tmp_path / name)
    folder = ImageFolder(tmp_path, (2, 3))
    assert len(folder) == 3
    levels = [float(folder[index].mean()) * 255 for index in range(3)]
    assert levels == pytest.approx([10, 20, 30], abs=0.5)
    assert folder[0].shape == (2, 3, 3)
    assert len(ImageFolder(tmp_path, limit=2)) == 2
    assert len(list(folder)) == 3


def test_folders_of_classes_are_read_and_hidden_files_are_not(tmp_path: Path) -> None:
    for name in ("cat/1.JPEG", "cat/2.png", "dog/old/3.png", ".trash/4.png", "dog/._3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), 90).save(tmp_path / name)
    (tmp_path / "cat" / "._1.JPEG").write_bytes(b"Mac OS X")
    names = [path.relative_to(tmp_path).as_posix() for path in ImageFolder(tmp_path).paths]
    assert names == ["cat/1.JPEG", "cat/2.png", "dog/old/3.png"]
    few = [path.relative_to(tmp_path).as_posix() for path in ImageFolder(tmp_path, limit=2).paths]
    assert few == ["cat/1.JPEG", "dog/old/3.png"]


def test_images_from_wherever_they_are(tmp_path: Path, monkeypatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(pixels))
    monkeypatch.setenv("HOME", str(tmp_path))
    with path.open("rb") as file:
        sources = [str(path), path, io.BytesIO(path.read_bytes()), file, Image.fromarray(pixels)]
        for source in [*sources, "~/a.png"]:
            np.testing.assert_array_equal(load_image(source), np.float32(pixels) / 255)


@pytest.mark.parametrize(
    ("source", "kind", "word"),
    [
        (np.zeros((4, 6, 3), np.uint8), TypeError, "fromarray"),
        (b"\x89PNG", TypeError, "BytesIO"),
        (io.StringIO("a"), TypeError, "'rb'"),
        (None, TypeError, "path"),
        (3, TypeError, "path"),
        ("https://example.org/a.png", ValueError, "download"),
        (io.BytesIO(b"words"), ValueError, "format"),
    ],
    ids=["array", "bytes", "text", "none", "int", "address", "other"],
)
def test_other_things_are_told_what_to_do(untyped, source, kind, word) -> None:
    with refused("image", kind) as caught:
        load_image(source)
    assert word in str(caught.value)


@pytest.mark.parametrize("size", [None, 2])
def test_floats_in_pixel_space_are_taken_as_they_are(tmp_path: Path, size) -> None:
    values = np.full((4, 4), 0.123456, np.float32)
    image = load_image(saved(tmp_path / "a.tif", Image.fromarray(values)), size)
    np.testing.assert_allclose(image, 0.123456, atol=1e-7)
    assert image.shape == ((size or 4,) * 2 + (3,))
    with refused("image") as caught:
        load_image(saved(tmp_path / "b.tif", Image.fromarray(values - 1)))
    assert "bounds=None" in str(caught.value)


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    with refused("images", FileNotFoundError):
        ImageFolder(tmp_path / "none")
    with refused("images") as caught:
        ImageFolder(tmp_path)
    assert ".bmp" in str(caught.value)
    (tmp_path / "bad.png").write_text("no image")
    with refused("images"):
        ImageFolder(tmp_path / "bad.png")
    with refused("image") as caught:
        ImageFolder(tmp_path)[0]
    assert "bad.png" in str(caught.value)
