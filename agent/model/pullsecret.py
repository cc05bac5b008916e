"""Secrets of a cluster with credentials for registries, as far as they are of use.  Their content is shown nowhere."""

from typing import NoReturn


class PullSecret:
    """One Secret of the API server's (core/v1).

    `complaint` says why it is of no use, empty if it is; then `docker_config` is what it holds, in the form of Docker's
    `config.json`.  Two are equal if they are the same version of the same one.  It has no text form that shows the
    content, and can't be pickled.
    """

    __slots__ = ("_docker_config", "complaint", "name", "resource_version", "uid")

    def __init__(self, name: str, uid: str, resource_version: str, *, docker_config: bytes, complaint: str) -> None:
        """`resource_version` is opaque: another one is another state."""
        self.name = name
        self.uid = uid
        self.resource_version = resource_version
        self.complaint = complaint
        self._docker_config = docker_config

    def reveal(self) -> bytes:
        """The content.  For the one place that keeps it."""
        return self._docker_config

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self._docker_config)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same version of the same one."""
        if not isinstance(other, PullSecret):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        """Fits to `==`."""
        return hash(self._identity)

    def __repr__(self) -> str:
        """Its name, no more."""
        return f"PullSecret({self.name!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be written anywhere."""
        raise TypeError("a secret is written nowhere")

    @property
    def _identity(self) -> tuple[str, str, str]:
        return self.name, self.uid, self.resource_version
