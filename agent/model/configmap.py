"""ConfigMaps, as far as configurations are made of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple


class ConfigMap(NamedTuple):
    """One ConfigMap of the API server's (core/v1).  `created` has the time zone UTC.

    `resource_version` is opaque: another one is another state.  `binary_data` is decoded.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    created: datetime
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    data: Mapping[str, str]
    binary_data: Mapping[str, bytes]

    @property
    def size(self) -> int:
        """Characters and bytes of its documents."""
        parts: tuple[Mapping[str, str | bytes], ...] = (self.data, self.binary_data)
        return sum(len(key) + len(value) for part in parts for key, value in part.items())
