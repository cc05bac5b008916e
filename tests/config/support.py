"""A configuration that is right, ways to spoil it, and a format that believes everything."""

import copy
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import cast

from agent.config import ratify
from agent.errors import ConfigurationError, Problem
from agent.formats import Format, ParsedOptions
from agent.model.documents import Document, Documents

CERTIFICATE = b"not really DER"
NAME = sha256(CERTIFICATE).hexdigest()

GOOD: dict[str, object] = {
    "store": {"version": "1.0.0", "plugins": [{"name": "oras"}]},
    "policy": {
        "version": "1.0.0",
        "plugin": {
            "name": "configPolicy",
            "artifactVerificationPolicies": {"default": "any", "application/vnd.cncf.notary.signature": "all"},
        },
    },
    "verifier": {
        "version": "1.0.0",
        "plugins": [
            {
                "name": "notation",
                "artifactTypes": "application/vnd.cncf.notary.signature",
                "verificationCerts": ["/etc/certs"],
                "trustPolicyDoc": {
                    "version": "1.0",
                    "trustPolicies": [
                        {
                            "name": "everything",
                            "registryScopes": ["*"],
                            "signatureVerification": {"level": "strict", "override": {"expiry": "enforce"}},
                            "trustStores": ["ca:certs"],
                            "trustedIdentities": ["*"],
                        }
                    ],
                },
            }
        ],
    },
}

STATEMENT = "verifier.plugins[0].trustPolicyDoc.trustPolicies[0]"


class FakeFormat:
    """Takes every option into its settings, with one certificate; an option `trustPolicyDoc.spoil` is a problem."""

    artifact_types = ("application/vnd.example.fake",)
    calls: list[Mapping[str, object]] = []

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Documents, where: str) -> ParsedOptions:
        """Remember the call."""
        cls.calls.append(options)
        found = [
            document
            for path in cast("list[str]", options.get("verificationCerts", []))
            for document in documents.find(path)
        ]
        problems = tuple(
            Problem(f"{where}.verificationCerts", document.name, "a better one", fatal=False) for document in found
        )
        return ParsedOptions({"options": options, "pair": (1, 2)}, {NAME: CERTIFICATE}, problems)


FORMATS = {"notation": cast("type[Format]", FakeFormat), "other": cast("type[Format]", FakeFormat)}


class NoDocuments:
    """A set without documents."""

    def find(self, path: str) -> tuple[Document, ...]:
        """Nothing."""
        return ()

    def file(self, path: str) -> Document | None:
        """Nothing."""
        return None

    def own(self, name: str) -> Document | None:
        """As `file`."""
        return self.file(name)

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """Nothing."""
        return ()


def put(path: str, value: object, base: dict[str, object] | None = None) -> dict[str, object]:
    """A copy of the good configuration with `value` at a dotted path; `...` takes the key away."""
    root = copy.deepcopy(base or GOOD)
    *steps, last = path.replace("[", ".[").split(".")
    place: object = root
    for step in steps:
        place = place[int(step[1:-1])] if isinstance(place, list) else cast("dict[str, object]", place)[step]
    if isinstance(place, list):
        place[int(last[1:-1])] = value
    elif value is ...:
        del cast("dict[str, object]", place)[last]
    else:
        cast("dict[str, object]", place)[last] = value
    return root


def read(value: object) -> ratify.Checked:
    """Read `value` as `config.json`."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return ratify.read(Document("config.json", content, "test"), NoDocuments(), formats=FORMATS)


def problems(value: object) -> list[Problem]:
    """Everything told about `value`, warnings of a usable configuration included."""
    try:
        return list(read(value).warnings)
    except ConfigurationError as error:
        return list(error.problems)


def errors(value: object) -> dict[str, str]:
    """Place -> got and expected, of what is fatal."""
    return {_place(each): f"got {each.got}; expected {each.expected}" for each in problems(value) if each.fatal}


def warnings(value: object) -> dict[str, str]:
    """Place -> got and expected, of what is not fatal."""
    return {_place(each): f"got {each.got}; expected {each.expected}" for each in problems(value) if not each.fatal}


def _place(problem: Problem) -> str:
    return problem.path.removeprefix("config.json: ")
