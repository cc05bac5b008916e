"""Where options find certificates: key providers in the configuration, and the CAs of registries."""

import json
from typing import Any

import pytest

from agent.config import canonical, ratify
from agent.config.config import Config
from agent.errors import ConfigurationError, Problem
from agent.model.documents import Document
from tests.config.support import put
from tests.signing import usual_signer

SIGNERS, REGISTRIES = usual_signer("signers"), usual_signer("registries")
STORE = "store.plugins[0]"
PLUGIN = "verifier.plugins[0]"


class Folder:
    """`Documents` as a folder gives them: by the last component, a folder is all of them."""

    def __init__(self, **files: bytes) -> None:
        """Names are without `.crt`."""
        self._files = {f"{name}.crt": Document(f"{name}.crt", content, name) for name, content in files.items()}

    def find(self, path: str) -> tuple[Document, ...]:
        """One, or all."""
        name = path.rpartition("/")[2]
        return (self._files[name],) if name in self._files else tuple(self._files.values()) if not name else ()

    def file(self, path: str) -> Document | None:
        """The document of that name."""
        return self._files.get(path.rpartition("/")[2])

    def own(self, name: str) -> Document | None:
        """As `file`."""
        return self.file(name)

    def tree(self, path: str, wanted: object) -> tuple[Document, ...]:
        """Nothing."""
        return ()


FILES = {"signers": SIGNERS.root_pem, "registries": REGISTRIES.root_pem}


def read(value: object, **files: bytes) -> tuple[Config | None, list[Problem]]:
    """Read a configuration with the real formats beside some certificates."""
    document = Document("config.json", json.dumps(value).encode(), "")
    try:
        config, told = ratify.read(document, Folder(**(files or FILES)))
    except ConfigurationError as error:
        return None, list(error.problems)
    return config, list(told)


def configured(**changes: Any) -> dict[str, object]:
    """A good configuration: signers are in `certs/`; `changes` go into the verifier."""
    value = put(f"{PLUGIN}.verificationCerts", ["certs/"])
    for key, each in changes.items():
        value = put(f"{PLUGIN}.{key}", each, value)
    return value


def provided(*plugins: dict[str, object], stores: object) -> dict[str, object]:
    """A configuration whose signers come from key providers."""
    value = put("keyManagementProvider", {"version": "1.0.0", "plugins": list(plugins)}, configured())
    return put(f"{PLUGIN}.verificationCertStores", stores, put(f"{PLUGIN}.verificationCerts", ..., value))


def inline(name: str, content: bytes = SIGNERS.root_pem) -> dict[str, object]:
    """A key provider."""
    return {"name": name, "type": "inline", "contentType": "certificate", "value": content.decode()}


def trusted(config: Config | None) -> set[bytes]:
    """The certificates that the only verifier trusts signers by."""
    assert config
    stores = config.verifiers[0].settings["trustStores"]
    names = {name for each in stores.values() for name in each}  # type: ignore[attr-defined]
    return {config.certificates[name] for name in names}


def cas(config: Config | None) -> set[bytes]:
    """The certificates that registries are trusted by."""
    assert config
    return {config.certificates[name] for name in config.stores[0].ca_certificates}


def der(each: Any) -> bytes:
    """The root of a signer as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    found: bytes = each.root.public_bytes(Encoding.DER)
    return found


@pytest.mark.parametrize("stores", [{"ca": {"certs": ["k"]}}, {"certs": ["k"]}])
def test_certificates_of_a_key_provider_are_trusted(stores: object) -> None:
    config, told = read(provided(inline("k"), stores=stores))
    assert told == []
    assert trusted(config) == {der(SIGNERS)}


def test_key_provider_that_nothing_refers_to_is_told() -> None:
    config, (told,) = read(provided(inline("k"), inline("spare"), stores={"certs": ["k"]}))
    assert config
    assert told.path == "config.json: keyManagementProvider.plugins[1].value"
    assert "'spare', which nothing refers to" in told.got


@pytest.mark.parametrize(
    ("plugin", "place"),
    [
        ({"name": "k", "type": "azurekeyvault", "vaultURI": "https://v.example"}, "type"),
        (inline("k") | {"contentType": "key"}, "contentType"),
        ({"name": "k", "type": "inline", "contentType": "certificate"}, "value"),
        ({"name": "k", "type": "inline", "value": "x"}, "contentType"),
        (inline("k") | {"value": 7}, "value"),
        ({"name": "k", "type": "url"}, "url"),
        ({"name": "k", "type": "url", "url": "https://pki.example/", "refreshInterval": "often"}, "refreshInterval"),
        ({"name": "k", "type": "url", "url": "https://pki.example/", "sha256": "x"}, "sha256"),
    ],
)
def test_key_provider_that_can_not_be_used_is_told_once_and_at_its_place(plugin: dict[str, object], place: str) -> None:
    config, told = read(provided(plugin, stores={"certs": ["k"]}))
    assert config is None
    fatal = [each.path for each in told if each.fatal]
    assert fatal == [f"config.json: keyManagementProvider.plugins[0].{place}"]


def test_private_key_in_a_key_provider_is_refused_and_not_shown() -> None:
    secret = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    config, told = read(provided(inline("k", secret), stores={"certs": ["k"]}))
    assert config is None
    assert "a private key, which belongs in no configuration" in str(told)
    assert "c2VjcmV0" not in str(told)
    place = "verificationCertStores.certs: config.json: keyManagementProvider.plugins[0].value"
    assert [each.path for each in told if each.path.endswith(place)]


def test_two_key_providers_of_one_name_are_refused() -> None:
    config, (told,) = read(provided(inline("k"), inline("k", REGISTRIES.root_pem), stores={"certs": ["k"]}))
    assert config is None
    assert told.path == "config.json: keyManagementProvider.plugins[1].name"


def test_certificates_of_registries_are_apart_from_those_of_signers() -> None:
    config, told = read(put(f"{STORE}.caCertificates", ["registries.crt"], configured()))
    assert told == []
    assert cas(config) == {der(REGISTRIES)}
    assert trusted(config) == {der(SIGNERS)}


def test_certificates_of_registries_answer_what_is_told_of_loopback() -> None:
    scopes = f"{PLUGIN}.trustPolicyDoc.trustPolicies[0].registryScopes"
    value = put(scopes, ["localhost:5000/a"], configured())
    assert [each.path for each in read(value)[1]] == [f"config.json: {scopes}[0]"]
    assert read(put(f"{STORE}.caCertificates", ["registries.crt"], value))[1] == []


def test_without_certificates_of_registries_there_are_none() -> None:
    config, _ = read(configured())
    assert cas(config) == set()
    assert trusted(config) == {der(SIGNERS), der(REGISTRIES)}


@pytest.mark.parametrize(
    ("paths", "certs"), [(["certs/"], ["certs/"]), (["signers.crt"], ["x/signers.crt"]), (["certs/"], ["signers.crt"])]
)
def test_certificate_for_registries_and_signers_is_taken_and_told(paths: list[str], certs: list[str]) -> None:
    config, told = read(put(f"{STORE}.caCertificates", paths, configured(verificationCerts=certs)))
    assert der(SIGNERS) in cas(config) & trusted(config)
    assert [(each.path, each.fatal) for each in told] == [(f"config.json: {STORE}.caCertificates", False)]
    assert "could sign images" in told[0].expected


def test_folder_that_holds_certificates_of_registries_alone_holds_none_of_signers() -> None:
    config, told = read(put(f"{STORE}.caCertificates", ["ca.crt"], configured()), ca=REGISTRIES.root_pem)
    assert config is None
    assert any("which names nothing" in each.got for each in told)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"])
def test_what_is_no_certificate_of_a_registry_is_refused(content: bytes) -> None:
    value = put(f"{STORE}.caCertificates", ["ca.crt"], configured(verificationCerts=["signers.crt"]))
    config, told = read(value, signers=SIGNERS.root_pem, ca=content)
    assert config is None
    assert f"config.json: {STORE}.caCertificates[0]: ca" in [each.path for each in told]


def test_all_of_it_survives_the_canonical_form() -> None:
    value = put(f"{STORE}.caCertificates", ["registries.crt"], provided(inline("k"), stores={"tsa": {"t": ["k"]}}))
    value = put(f"{PLUGIN}.verificationCerts", ["certs/"], value)
    statement = f"{PLUGIN}.trustPolicyDoc.trustPolicies[0]"
    value = put(f"{statement}.trustStores", ["ca:certs", "tsa:t"], value)
    value = put(f"{statement}.signatureVerification.verifyTimestamp", "afterCertExpiry", value)
    config, told = read(value)
    assert config
    assert told == []
    assert canonical.decode(canonical.encode(config), config.certificates.__getitem__) == config
    assert '"verify_timestamp":"afterCertExpiry"' in canonical.encode(config).decode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signatureVerification": {"level": "audit"}}, "any signature will do"),
        (
            {"signatureVerification": {"level": "skip"}, "trustStores": ..., "trustedIdentities": ...},
            "nothing is verified",
        ),
    ],
)
def test_weak_level_for_everything_is_told_when_a_configuration_is_checked(changes: dict[str, Any], said: str) -> None:
    value = configured()
    for key, each in changes.items():
        value = put(f"{PLUGIN}.trustPolicyDoc.trustPolicies[0].{key}", each, value)
    config, told = read(value)
    assert config
    assert any(said in each.got and not each.fatal for each in told)
