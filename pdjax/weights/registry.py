"""The published files of the networks: where each one lies and how to tell that it is the one."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

__all__ = ["PUBLISHED", "PublishedFile"]


class PublishedFile(NamedTuple):
    """A file that its makers offer for download.

    Attributes
    ----------
    address : str
        Where it is.
    checksum : str
        The algorithm and the digest in hexadecimal, as ``"sha1:9116..."``.
    size : int or None
        Its bytes; None where nobody has published their number.
    """

    address: str
    checksum: str
    size: int | None = None

    @property
    def name(self) -> str:
        """The name of the file, which it keeps on this computer."""
        return self.address.rsplit("/", 1)[-1]


CAFFE = "http://dl.caffe.berkeleyvision.org"
PYTORCH = "https://download.pytorch.org/models"

PUBLISHED = MappingProxyType(
    {
        "bvlc_alexnet": PublishedFile(
            f"{CAFFE}/bvlc_alexnet.caffemodel",
            "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
            243_862_414,
        ),
        "bvlc_googlenet": PublishedFile(
            f"{CAFFE}/bvlc_googlenet.caffemodel",
            "sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204",
            53_533_754,
        ),
        "torchvision_alexnet": PublishedFile(
            f"{PYTORCH}/alexnet-owt-7be5be79.pth",
            "sha256:7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            244_408_911,
        ),
        "torchvision_googlenet": PublishedFile(
            f"{PYTORCH}/googlenet-1378be20.pth",
            "sha256:1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef",
        ),
        "vgg16": PublishedFile(
            f"{PYTORCH}/vgg16-397923af.pth",
            "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            553_433_881,
        ),
    }
)
"""The file of each network whose weights do not come with the installation."""
