"""The published networks, by name: every `Network` in a module of this package.

To add one, add one file here: copy ``vgg.py``. A file elsewhere will do as well: its `Network` can
be given to `pdjax.load_model` in place of a name.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping

from pdjax._checks import ArgumentTypeError, ArgumentValueError, nearest
from pdjax.models.network import Download, Installed, Network, Place

__all__ = ["NETWORKS", "Download", "Installed", "Network", "Place", "find_network"]


class _Networks(Mapping[str, Network]):
    """What the modules of this package hold, looked up anew when its path has changed."""

    def __getitem__(self, name: str) -> Network:
        return _found(tuple(__path__))[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_found(tuple(__path__)))

    def __len__(self) -> int:
        return len(_found(tuple(__path__)))

    def __repr__(self) -> str:
        return f"NETWORKS({', '.join(self)})"


NETWORKS: Mapping[str, Network] = _Networks()
"""The networks by name: first those whose weights are installed, then by the alphabet."""


def find_network(name: str | Network) -> Network:
    """Return the network called ``name``, or one of whose aliases that is.

    A `Network` is returned as it is, so that functions which take a name take one of your own too.

    Raises
    ------
    ValueError
        If there is none; the message suggests a near name and lists all.
    TypeError
        If ``name`` is neither.

    Examples
    --------
    >>> find_network("googlenet").name
    'bvlc_googlenet'
    """
    if isinstance(name, Network):
        return name
    if not isinstance(name, str):
        raise ArgumentTypeError(
            "name", "must be the name of a network or a pdjax.models.Network", value=name
        )
    names = _names(list(NETWORKS.values()))
    if name not in names:
        raise ArgumentValueError(
            "name",
            "is no network",
            f"{nearest(name.lower(), names)}choose from {', '.join(names)}",
            value=name,
        )
    return names[name]


@functools.cache
def _found(path: tuple[str, ...]) -> dict[str, Network]:
    """Import the modules in the folders of ``path`` and collect their networks."""
    modules = [
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(path)
    ]
    # A module may import a network from another one, which is then found twice.
    networks = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Network)
    }
    in_order = sorted(
        networks.values(), key=lambda one: (not isinstance(one.published, Installed), one.name)
    )
    _names(in_order)
    return {network.name: network for network in in_order}


def _names(networks: Iterable[Network]) -> dict[str, Network]:
    """Return networks by their names and aliases, each of which must stand for one of them."""
    names: dict[str, Network] = {}
    for network in networks:
        for name in (network.name, *network.aliases):
            if names.setdefault(name, network) is not network:
                raise ValueError(f"two networks are called {name!r}; give one another name")
    return names
