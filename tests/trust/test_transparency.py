"""Inclusion proofs, against a tree that is built whole."""

import hashlib

import pytest

from agent.codec.sigstorebundle import Proof
from agent.trust.transparency import NotLogged, root_of

LEAVES = [b"entry %d" % i for i in range(20)]


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it stands there."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = split(len(leaves))
    return hashlib.sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()


def path(at: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if at < half:
        return [*path(at, leaves[:half]), root(leaves[half:])]
    return [*path(at - half, leaves[half:]), root(leaves[:half])]


def split(size: int) -> int:
    """The largest power of two that is smaller."""
    return int(1 << ((size - 1).bit_length() - 1))


@pytest.mark.parametrize("size", range(1, len(LEAVES) + 1))
def test_every_entry_of_every_tree_leads_to_its_root(size: int) -> None:
    leaves = LEAVES[:size]
    for at in range(size):
        hashes = tuple(path(at, leaves))
        proof = Proof(at, size, root(leaves), hashes, "")
        assert root_of(leaves[at], proof) == root(leaves)
        assert root_of(b"another", proof) != root(leaves)
        for wrong in ((*hashes, b"x" * 32), hashes[:-1] if hashes else (b"x",)):
            with pytest.raises(NotLogged, match="too"):
                root_of(leaves[at], proof._replace(hashes=wrong))
        for other in range(size):
            if other != at:
                try:
                    assert root_of(leaves[at], proof._replace(log_index=other)) != root(leaves)
                except NotLogged:
                    pass


@pytest.mark.parametrize(("at", "size"), [(0, 0), (1, 1), (5, 5), (2**63 - 1, 1)])
def test_entry_has_to_be_inside_of_its_tree(at: int, size: int) -> None:
    with pytest.raises(NotLogged, match=f"index is {at}, in a tree of {size}"):
        root_of(b"x", Proof(at, size, b"", (), ""))
