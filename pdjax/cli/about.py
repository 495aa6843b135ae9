"""What there is: networks with their layers and classes, versions and devices."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Annotated, Any

import typer

from pdjax._checks import ArgumentValueError
from pdjax.cli.errors import Command

__all__ = ["add_commands", "keep_compiled", "versions"]

MOST_COMPILED = 2**28
"""Bytes of compiled programs that are kept; those not used for longest go first."""

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "matplotlib", "pillow")


def add_commands(app: typer.Typer) -> None:
    """Add the commands that tell what there is."""
    app.command(cls=Command)(models)
    app.command(cls=Command)(info)


def versions(asked: bool) -> bool:
    """Say the version and end, if asked to."""
    if asked:
        typer.echo(f"pdjax {importlib.metadata.version('pdjax')}")
        raise typer.Exit
    return asked


def keep_compiled() -> None:
    """Keep compiled programs in the cache folder, unless JAX has been told of a place already.

    Each machine has its own: what is compiled for one processor may not run on another.
    """
    import jax

    from pdjax.weights.download import cache_folder

    config: Any = jax.config
    if config.jax_compilation_cache_dir is None:
        folder = cache_folder() / "compiled" / platform.node()
        config.update("jax_compilation_cache_dir", str(folder))
        config.update("jax_compilation_cache_max_size", MOST_COMPILED)
        config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def models(
    name: Annotated[
        str | None, typer.Argument(help="One of them: its layers and their shapes.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="List the classes of NAME with this word in their names.")
    ] = None,
) -> None:
    """List the networks, the layers of one, or its classes."""
    from pdjax.models import NETWORKS

    if name is not None:
        _one(name, search)
        return
    if search is not None:
        raise ArgumentValueError(
            "search", "is for the classes of one network", "name it as well", value=search
        )
    for network in NETWORKS.values():
        also = f" (also: {', '.join(network.aliases)})" if network.aliases else ""
        size = f"{network.image_size}x{network.image_size}"
        typer.echo(f"{network.name:22} {size:9} {network.summary}{also}")


def info() -> None:
    """Say what a report of a fault needs: versions, devices, memory, folders."""
    import jax

    from pdjax import _devices
    from pdjax.weights.download import cache_folder

    memory = _devices.memory_bytes() / 2**30
    devices = ", ".join(f"{device.device_kind} ({device.platform})" for device in jax.devices())
    packages = (f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    for title, value in {
        "pdjax": importlib.metadata.version("pdjax"),
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "packages": ", ".join(packages),
        "devices": devices,
        "memory": f"{memory:.1f} GiB taken for arrays at most",
        "cache": str(cache_folder()),
    }.items():
        typer.echo(f"{title:10} {value}")


def _one(name: str, search: str | None) -> None:
    from pdjax.weights.load import load_model

    # Shapes and names are the same whatever the weights, which need not be fetched for them.
    net = load_model(name, "random")
    if search is None:
        width = max(map(len, net.layers))
        for layer in net.layers:
            shape = " x ".join(map(str, net.activation_shape(layer)))
            typer.echo(f"{layer:{width}}  {shape}")
        typer.echo(f"{len(net.labels)} classes; --search WORD lists those with it in their names")
        return
    found = [(i, label) for i, label in enumerate(net.labels) if search.lower() in label.lower()]
    if not found:
        raise ArgumentValueError(
            "search", f"is in no name of a class of {net.name}", "try a part of it", value=search
        )
    for index, label in found:
        typer.echo(f"{index:4}  {label}")
