"""Pods of a node, as far as images are about to be pulled for them."""

from typing import NamedTuple


class PodImages(NamedTuple):
    """One pod: `name` is `NAMESPACE/NAME`, `images` are the names of those that its containers still wait for.

    `resource_version` is opaque: another one is another state.
    """

    name: str
    resource_version: str
    images: tuple[str, ...]

    @property
    def size(self) -> int:
        """Characters of the names."""
        return len(self.name) + sum(map(len, self.images))
