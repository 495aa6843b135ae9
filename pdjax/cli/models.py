"""What ``--model`` stands for: a published network, an ONNX file, or a name in a Python module."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pdjax
from pdjax._checks import UNIT, ArgumentError, ArgumentTypeError, ArgumentValueError
from pdjax._files import existing_file
from pdjax._functions import in_short
from pdjax.classifier import Classifier

__all__ = ["ModelOptions", "load_classifier", "read_labels"]

MAX_LABEL_BYTES = 2**24
ID_TO_LABEL = "id2label"
ONNX = ".onnx"
NUMBERED = re.compile(r"(\d{1,9})\s*[,;:\s]\s*(\S.*)")


class ModelOptions(NamedTuple):
    """The options of the command line about a network, as they are typed."""

    model: str
    weights: Path | None = None
    labels: Path | None = None
    outputs: str | None = None
    mean: str | None = None
    std: str | None = None


def load_classifier(options: ModelOptions, *, progress: bool) -> Classifier:
    """Return the classifier that the options stand for.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If there is no such model, or an option does not go with its kind.
    """
    labels = None if options.labels is None else read_labels(options.labels)
    if Path(options.model).suffix.lower() == ONNX:
        _refuse(options, ("weights",), "an ONNX file, which holds them")
        wrapped = pdjax.wrap(
            options.model,
            labels=labels,
            outputs=options.outputs,
            mean=parse_numbers(options.mean, "mean"),
            std=parse_numbers(options.std, "std"),
        )
        return _of_photographs(wrapped, options.model)
    if ":" in options.model:
        _refuse(
            options, ("weights", "labels", "outputs", "mean", "std"), "a classifier of your own"
        )
        return _of_photographs(_named(options.model), options.model)
    _refuse(options, ("outputs", "mean", "std"), "a published network, which knows its own")
    return pdjax.load_model(options.model, options.weights, labels=labels, progress=progress)


def read_labels(path: Path) -> Any:
    """Read names of classes: one a line, also with its index in front (``0,cat``), or JSON.

    JSON may hold a list, names by index (``id2label``, also within a ``config.json`` of Hugging
    Face; ``{"0": ["n01440764", "tench"]}`` as Keras' ``imagenet_class_index.json``), or indices by
    name (``class_indices``).
    """
    path = existing_file(path, "labels")
    if path.stat().st_size > MAX_LABEL_BYTES:
        raise ArgumentValueError(
            "labels", "is too large for names of classes", "give one name a line", value=path
        )
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix.lower() != ".json" and not text.lstrip().startswith(("[", "{")):
            return _by_line(text)
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentValueError(
            "labels",
            f"cannot be read as names of classes ({type(error).__name__})",
            "give a text file in UTF-8 with one name a line, or JSON",
            value=path,
        ) from error
    if isinstance(found, dict):
        found = found.get(ID_TO_LABEL, found)
    if isinstance(found, dict) and all(name.isdecimal() for name in found):
        # Keys of JSON are texts; of an id and a name, the name is last.
        pairs = all(isinstance(name, list) and name for name in found.values())
        return {int(index): name[-1] if pairs else name for index, name in found.items()}
    return found


def _by_line(text: str) -> Any:
    """Read a name a line; where each has an index in front, by that."""
    lines = [line.strip() for line in text.strip("\r\n").rstrip().splitlines()]
    numbered = [NUMBERED.fullmatch(line) for line in lines]
    pairs = [(int(found[1]), found[2]) for found in numbered if found is not None]
    # Names may begin with a number; where they are not 0, 1, 2, ... in any order, they do.
    if len(pairs) == len(lines) and sorted(dict(pairs)) == list(range(len(lines))):
        return dict(pairs)
    return lines


def parse_numbers(text: str | None, argument: str) -> float | tuple[float, ...] | None:
    """Read ``0.5``, or a number for each channel: ``0.485,0.456,0.406``.

    Examples
    --------
    >>> parse_numbers("0.5", "mean"), parse_numbers("0.485, 0.456, 0.406", "mean")
    (0.5, (0.485, 0.456, 0.406))
    """
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentValueError(
            argument, "must be a number, or one for each channel with commas between", value=text
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def _named(model: str) -> Classifier:
    """Return what ``package.module:name`` or ``file.py:name`` stands for."""
    place, _, name = model.rpartition(":")
    found: Any = _module(place, model)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ArgumentValueError(
                "model",
                f"names {name!r}, which {place!r} does not have",
                "write package.module:name, with the name of a Classifier or of a function",
                value=model,
            )
        found = getattr(found, part)
    # Models of frameworks are callable too, but have no name as what is written with def has.
    maker = hasattr(found, "__name__") or isinstance(found, functools.partial)
    if not isinstance(found, Classifier) and callable(found) and maker:
        found = _called(found, model)
    if not isinstance(found, Classifier):
        raise ArgumentTypeError(
            "model",
            f"stands for a {type(found).__name__}, which is no Classifier",
            "make one with pdjax.wrap or pdjax.Classifier.from_function",
            value=model,
        )
    return found


def _of_photographs(net: Classifier, model: str) -> Classifier:
    """Return a network if it takes what the command line loads, or raise."""
    *spatial, channels = net.image_shape
    if len(spatial) != 2 or channels != 3:
        raise ArgumentValueError(
            "model",
            f"takes images {net.image_shape}, and photographs are (height, width, 3)",
            "explain it in Python, with pdjax.explain",
            value=model,
        )
    if net.bounds is not None and net.bounds != UNIT:
        low, high = net.bounds
        raise ArgumentValueError(
            "model",
            f"takes values in [{low:g}, {high:g}], and photographs are in [0, 1]",
            "put the scaling into the network, e.g. with preprocess= of pdjax.wrap",
            value=model,
        )
    return net


def _called(maker: Callable[[], Any], model: str) -> Any:
    try:
        inspect.signature(maker).bind()
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            "model",
            f"stands for a function that cannot be called without arguments ({error})",
            "give one that makes a Classifier by itself",
            value=model,
        ) from error
    try:
        return maker()
    except ArgumentError:
        raise
    except Exception as error:
        # It is somebody's own code, which can fail with anything.
        raise ArgumentValueError(
            "model",
            f"stands for a function that fails ({in_short(error)})",
            "call it in Python to see where",
            value=model,
        ) from error


def _module(place: str, model: str) -> ModuleType:
    # As `python -m` does: modules of the folder that the command is typed in are found.
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = existing_file(Path(place), "model")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError("it is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except ArgumentError:
        raise
    except Exception as error:
        # What a module does when it is imported can fail with anything.
        raise ArgumentValueError(
            "model",
            f"names {place!r}, which cannot be imported ({in_short(error)})",
            "write package.module:name or file.py:name, as seen from this folder",
            value=model,
        ) from error


def _refuse(options: ModelOptions, names: tuple[str, ...], kind: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise ArgumentValueError(name, f"does not go with {kind}", "leave it out")
