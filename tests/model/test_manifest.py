"""Manifests of referrers: what an artifact is, in the three forms in which signatures are stored."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.codec import strictjson
from agent.errors import LimitExceeded, Malformed
from agent.model.digest import Digest
from agent.model.manifest import ARTIFACT_MANIFEST, EMPTY_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST, MAX_BLOBS, Manifest

NOTATION = "application/vnd.cncf.notary.signature"
OTHER = "application/spdx+json"
BLOB = {"mediaType": "application/jose+json", "digest": str(Digest.of(b"envelope")), "size": 8}
SUBJECT = {"mediaType": IMAGE_MANIFEST, "digest": str(Digest.of(b"image")), "size": 5}


def config(media_type: str) -> dict[str, Any]:
    """A config of a media type."""
    return BLOB | {"mediaType": media_type}


@pytest.mark.parametrize(
    ("value", "artifact_type"),
    [
        ({"config": config(NOTATION)}, NOTATION),
        ({"config": config(EMPTY_CONFIG), "artifactType": NOTATION}, NOTATION),
        ({"config": config(OTHER), "artifactType": NOTATION}, OTHER),
        ({"artifactType": NOTATION}, NOTATION),
    ],
    ids=["from before OCI 1.1", "of OCI 1.1", "says two things", "no config"],
)
def test_image_manifest_is_what_its_config_is_unless_that_is_empty(value: dict[str, Any], artifact_type: str) -> None:
    assert Manifest.from_json(value, IMAGE_MANIFEST).artifact_type == artifact_type


def test_layers_and_subject_are_read() -> None:
    value = {"mediaType": IMAGE_MANIFEST, "config": config(NOTATION), "layers": [BLOB], "subject": SUBJECT}
    read = Manifest.from_json(value, IMAGE_MANIFEST)
    assert [str(blob.digest) for blob in read.blobs] == [BLOB["digest"]]
    assert read.subject is not None
    assert str(read.subject.digest) == SUBJECT["digest"]


def test_retired_artifact_manifest_is_read() -> None:
    value = {"artifactType": NOTATION, "blobs": [BLOB], "subject": SUBJECT, "layers": "not looked at"}
    read = Manifest.from_json(value, ARTIFACT_MANIFEST)
    assert (read.artifact_type, len(read.blobs)) == (NOTATION, 1)


def test_no_blobs_and_no_subject_are_for_others_to_judge() -> None:
    read = Manifest.from_json({"config": config(NOTATION), "layers": None}, IMAGE_MANIFEST)
    assert (read.blobs, read.subject) == ((), None)


GOOD = {"config": config(NOTATION), "layers": [BLOB], "subject": SUBJECT}


@pytest.mark.parametrize(
    ("value", "media_type"),
    [
        (None, IMAGE_MANIFEST),
        ([], IMAGE_MANIFEST),
        ("", IMAGE_MANIFEST),
        (GOOD | {"mediaType": ARTIFACT_MANIFEST}, IMAGE_MANIFEST),
        (GOOD | {"mediaType": None}, IMAGE_MANIFEST),
        (GOOD, IMAGE_INDEX),
        (GOOD, "text/html"),
        ({}, IMAGE_MANIFEST),
        ({"config": config(EMPTY_CONFIG)}, IMAGE_MANIFEST),
        ({"config": {"mediaType": 1}}, IMAGE_MANIFEST),
        ({"config": config(EMPTY_CONFIG), "artifactType": ""}, IMAGE_MANIFEST),
        ({"config": config(EMPTY_CONFIG), "artifactType": [NOTATION]}, IMAGE_MANIFEST),
        ({"config": config(NOTATION)}, ARTIFACT_MANIFEST),
        (GOOD | {"layers": {}}, IMAGE_MANIFEST),
        (GOOD | {"layers": BLOB}, IMAGE_MANIFEST),
        (GOOD | {"layers": [None]}, IMAGE_MANIFEST),
        (GOOD | {"subject": []}, IMAGE_MANIFEST),
        (GOOD | {"subject": str(SUBJECT["digest"])}, IMAGE_MANIFEST),
    ],
    ids=[
        "null", "list", "text", "another media type inside", "null for a media type", "an index", "a web page",
        "empty", "empty config alone", "config's type a number", "artifact type empty", "artifact type a list",
        "artifact manifest without a type", "layers an object", "layers a descriptor", "layer null", "subject a list",
        "subject a digest",
    ],
)  # fmt: skip
def test_what_is_no_manifest_of_an_artifact_is_malformed(value: object, media_type: str) -> None:
    with pytest.raises(Malformed, match="^manifest"):
        Manifest.from_json(value, media_type)


@pytest.mark.parametrize("count", [MAX_BLOBS, MAX_BLOBS + 1])
def test_layers_have_a_limit(count: int) -> None:
    value = GOOD | {"layers": [BLOB] * count}
    if count <= MAX_BLOBS:
        assert len(Manifest.from_json(value, IMAGE_MANIFEST).blobs) == count
        return
    with pytest.raises(LimitExceeded, match=f"got {count}"):
        Manifest.from_json(value, IMAGE_MANIFEST)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from([NOTATION, BLOB["digest"]]),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.sampled_from(["mediaType", "digest", "size", "artifactType", "x"]), each, max_size=4)
    ),
    max_leaves=8,
)
MEMBERS = st.sampled_from(["mediaType", "config", "layers", "blobs", "subject", "artifactType", "schemaVersion"])


@given(st.dictionaries(MEMBERS, VALUES) | VALUES, st.sampled_from([IMAGE_MANIFEST, ARTIFACT_MANIFEST, "x"]))
def test_no_value_makes_anything_but_malformed(value: object, media_type: str) -> None:
    try:
        read = Manifest.from_json(value, media_type)
    except Malformed as error:
        assert error.message.isprintable()
    else:
        assert read.artifact_type


@given(st.binary(max_size=100))
def test_no_bytes_make_anything_but_malformed(content: bytes) -> None:
    try:
        Manifest.from_json(strictjson.decode(content, "manifest", limit=1000), IMAGE_MANIFEST)
    except Malformed as error:
        assert error.message
