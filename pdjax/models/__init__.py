"""Classifiers and the published networks, by name."""

from __future__ import annotations

import difflib
from types import MappingProxyType

from pdjax.classifier import Classifier
from pdjax.models.alexnet import BVLC_ALEXNET, TORCHVISION_ALEXNET
from pdjax.models.efficientnet_lite0 import EFFICIENTNET_LITE0
from pdjax.models.googlenet import BVLC_GOOGLENET
from pdjax.models.network import Network
from pdjax.models.torchvision_googlenet import TORCHVISION_GOOGLENET
from pdjax.models.vgg import VGG16

__all__ = ["ALIASES", "NETWORKS", "Classifier", "Network", "find_network"]

NETWORKS = MappingProxyType(
    {
        network.name: network
        for network in (
            EFFICIENTNET_LITE0,
            BVLC_GOOGLENET,
            BVLC_ALEXNET,
            VGG16,
            TORCHVISION_GOOGLENET,
            TORCHVISION_ALEXNET,
        )
    }
)
"""The networks by the names that `find_network` and the weights know them by."""

ALIASES = MappingProxyType({"alexnet": "bvlc_alexnet", "googlenet": "bvlc_googlenet"})
"""Short names: the form that was published with Caffe, which the method's paper used."""


def find_network(name: str) -> Network:
    """Return the network called ``name``, or of which that is a short name.

    Raises
    ------
    ValueError
        If there is none; the message suggests near names and lists all.

    Examples
    --------
    >>> find_network("googlenet").name
    'bvlc_googlenet'
    """
    network = NETWORKS.get(ALIASES.get(name, name))
    if network is None:
        names = [*ALIASES, *NETWORKS]
        near = difflib.get_close_matches(name.lower(), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"name: there is no network {name!r}; {hint}Networks: {', '.join(names)}")
    return network
