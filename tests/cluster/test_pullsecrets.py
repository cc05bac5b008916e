"""Secrets as the API server writes them: which of them count, and that what they hold is seen nowhere."""

import base64
import json
import pickle
from typing import Any

import pytest

from agent.cluster import messages, pullsecrets
from agent.cluster.pullsecrets import MAX_CONTENT
from agent.cluster.selections import pull_secret
from agent.cluster.troubles import ApiError, Trouble
from agent.config import discovery
from agent.model.pullsecret import PullSecret
from tests.cluster.objects import NAMESPACE, event

PLANTED = "planted-password"
AUTHS = {"r.example": {"username": "u", "password": PLANTED}}
WHOLE = json.dumps({"auths": AUTHS}).encode()
SELECTED = pull_secret(NAMESPACE, "pull")


def secret(content: bytes = WHOLE, *, old: bool = False, **changes: Any) -> dict[str, Any]:
    """A Secret with the label."""
    key = ".dockercfg" if old else ".dockerconfigjson"
    metadata = {
        "name": "pull",
        "namespace": NAMESPACE,
        "uid": "u1",
        "resourceVersion": "7",
        "labels": {"nodeseal.dev/config": "active"},
    }
    return {
        "metadata": {**metadata, **changes.pop("metadata", {})},
        "type": "kubernetes.io/dockercfg" if old else "kubernetes.io/dockerconfigjson",
        "data": {key: base64.b64encode(content).decode()},
        **changes,
    }


def read(value: object) -> PullSecret:
    """It, as a list tells it."""
    content = json.dumps({"metadata": {"resourceVersion": "1"}, "items": [value]}).encode()
    (found,) = messages.page(content, SELECTED.read).items
    return found


def test_it_is_asked_for_by_its_name_alone() -> None:
    assert SELECTED.path == f"/api/v1/namespaces/{NAMESPACE}/secrets"
    assert SELECTED.query == {"fieldSelector": "metadata.name=pull"}
    assert (pullsecrets.LABEL, pullsecrets.ACTIVE) == (discovery.LABEL, discovery.ACTIVE)


def test_both_types_come_to_the_same() -> None:
    assert json.loads(read(secret()).reveal()) == {"auths": AUTHS}
    assert json.loads(read(secret(json.dumps(AUTHS).encode(), old=True)).reveal()) == {"auths": AUTHS}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (secret(metadata={"labels": None}), "no label"),
        (secret(metadata={"labels": {"nodeseal.dev/config": "preview"}}), "no label"),
        (secret(type="Opaque"), "another type"),
        (secret(type=None), "another type"),
        (secret(type=["kubernetes.io/dockerconfigjson"]), "another type"),
        (secret(data=None), "nothing under .dockerconfigjson"),
        (secret(data={".dockerconfigjson": "no base64!"}), "nothing under .dockerconfigjson"),
        (secret(data={".dockercfg": "e30="}), "nothing under .dockerconfigjson"),
        (secret(b" " * (MAX_CONTENT + 1)), "more than"),
        (secret(f'{{"a": "{PLANTED}'.encode(), old=True), "is no JSON"),
    ],
)
def test_what_does_not_count_says_why_and_holds_nothing(value: object, complaint: str) -> None:
    found = read(value)
    assert complaint in found.complaint
    assert PLANTED not in found.complaint
    assert (found.reveal(), found.size) == (b"", 0)


@pytest.mark.parametrize(
    "value",
    [
        secret(metadata={"name": "other"}),
        secret(metadata={"namespace": "kube-system"}),
        secret(metadata={"uid": None}),
        secret(metadata={"resourceVersion": 7}),
        secret(metadata={"labels": [PLANTED]}),
        secret(data={".dockerconfigjson": {PLANTED: 1}}),
        secret(data=[PLANTED]),
        None,
    ],
)
def test_what_is_no_secret_of_that_name_is_malformed_and_shows_nothing(value: object) -> None:
    with pytest.raises(ApiError) as caught:
        read(value)
    assert caught.value.trouble is Trouble.MALFORMED
    assert PLANTED not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_an_answer_that_is_cut_shows_nothing_of_what_it_held() -> None:
    for line in (event("ADDED", secret())[:-2], json.dumps({PLANTED: 1}).encode() + b'{"a":'):
        with pytest.raises(ApiError) as caught:
            messages.change(line, SELECTED.read)
        assert caught.value.__context__ is None
        assert PLANTED not in repr(caught.value)


def test_it_is_shown_and_written_nowhere() -> None:
    found = read(secret())
    for text in (repr(found), str(found), f"{found}", repr({"pull": found})):
        assert "planted" not in text
        assert base64.b64encode(PLANTED.encode()).decode()[:12] not in text
    with pytest.raises(TypeError):
        pickle.dumps(found)
    assert found == read(secret(b"{}"))
    assert found != read(secret(metadata={"resourceVersion": "8"}))
    assert found != "pull"
    assert len({found, read(secret())}) == 1
