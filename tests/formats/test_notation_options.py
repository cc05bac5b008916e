"""Options of a notation verifier: which certificates stand behind which store, and what is refused."""

import json
from typing import Any, Mapping, Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.errors import Problem
from agent.formats import ParsedOptions
from agent.formats.notation import NotationFormat
from agent.model.documents import Document
from agent.trust.truststore import TrustStores
from tests.formats.support import GivenDocuments
from tests.signing import ca_profile, certificate, key, name, signer, trust_policy, usual_signer

SIGNER = usual_signer()
ROOT, INTERMEDIATE, LEAF = SIGNER.root, SIGNER.chain[1], SIGNER.chain[0]
OTHER = usual_signer("other.example.com").root
SELF_SIGNED = signer().root
PRIVATE_KEY = key("P-256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
V = "verifier"
POLICY = "trustpolicy.json"


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def der(each: x509.Certificate) -> bytes:
    """One as DER."""
    return each.public_bytes(Encoding.DER)


class Given(GivenDocuments):
    """`model.documents.Sources`: files by path, key providers by name, one tree of files."""

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        providers: Mapping[str, bytes] | None = None,
        tree: Mapping[str, bytes] | None = None,
    ) -> None:
        """Keep them; of the tree's names `__` is a slash."""
        super().__init__()
        self._files, self._providers = files or {}, providers or {}
        self.tree_files = {path.replace("__", "/"): content for path, content in (tree or {}).items()}
        self.wanted: Sequence[str] = ()

    def find(self, path: str) -> tuple[Document, ...]:
        """The file of exactly that path."""
        return (Document(path, self._files[path], path),) if path in self._files else ()

    def provided(self, provider: str) -> Document | None:
        """What a key provider holds."""
        content = self._providers.get(provider)
        return None if content is None else Document(provider, content, f"provider {provider}")

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """The tree, whatever its path."""
        self.wanted = wanted
        return tuple(Document(name, content, f"{path}/{name}") for name, content in self.tree_files.items())


def parse(given: Given, stores: Sequence[str] = ("ca:prod",), **options: Any) -> ParsedOptions:
    """Options under one statement that names `stores`."""
    if "notationDirectory" not in options:
        options.setdefault("trustPolicyDoc", trust_policy(trustStores=list(stores)))
    return NotationFormat.parse(options, given, V)


def stores_of(parsed: ParsedOptions) -> TrustStores:
    """The trust stores that a pull will see."""
    assert [str(problem) for problem in parsed.problems if problem.fatal] == []
    settings = json.loads(json.dumps(parsed.settings))
    return TrustStores.from_json(settings["trustStores"], parsed.certificates)


def errors(parsed: ParsedOptions) -> list[str]:
    """What is fatal."""
    return [str(problem) for problem in parsed.problems if problem.fatal]


def warnings(parsed: ParsedOptions) -> list[Problem]:
    """What is not."""
    return [problem for problem in parsed.problems if not problem.fatal]


def test_all_verification_certs_belong_to_the_only_store_whatever_it_is_called() -> None:
    given = Given({"certs": pem(ROOT), "more": pem(OTHER)})
    stores = stores_of(parse(given, ["ca:a"], verificationCerts=["certs", "more"]))
    assert stores.certificates(["ca:a"], "ca") == {der(ROOT), der(OTHER)}
    assert stores.certificates(["ca:b"], "ca") == frozenset()


@pytest.mark.parametrize("path", ["a", "/etc/certs/a", "certs/a/", "a.crt", "/root/.ratify/certs/a.PEM"])
def test_path_that_is_called_like_a_store_is_that_stores_alone(path: str) -> None:
    given = Given({path: pem(ROOT), "certs": pem(OTHER)})
    stores = stores_of(parse(given, ["ca:a", "signingAuthority:b"], verificationCerts=[path, "certs"]))
    assert stores.certificates(["ca:a"], "ca") == {der(ROOT)}
    assert stores.certificates(["signingAuthority:b"], "signingAuthority") == {der(OTHER)}


@pytest.mark.parametrize(
    ("stores", "paths", "at_fault"),
    [
        (["ca:a", "ca:b"], ["certs"], [0, 1]),
        (["ca:a", "tsa:t"], ["certs", "more"], [0, 1]),
        (["ca:certs", "ca:b"], ["certs"], [1]),
        (["ca:certs", "ca:b", "ca:c"], ["certs", "more"], [1, 2]),
    ],
    ids=["one path", "two paths", "nothing left", "two nameless ones"],
)
def test_stores_whose_certificates_nothing_tells_apart_are_refused(
    stores: list[str], paths: list[str], at_fault: list[int]
) -> None:
    given = Given({"certs": pem(ROOT), "more": pem(OTHER)})
    found = errors(parse(given, stores, verificationCerts=paths))
    places = [f"{V}.trustPolicyDoc.trustPolicies[0].trustStores[{i}]: " for i in at_fault]
    assert [each[: len(place)] for each, place in zip(found, places, strict=True)] == places
    assert all("those of one store don't serve another" in each for each in found)


def test_one_file_for_two_stores_is_refused() -> None:
    found = errors(parse(Given({"a": pem(ROOT)}), ["ca:a", "signingAuthority:a"], verificationCerts=["a"]))
    assert len(found) == 1
    assert "which is ca:a's as well" in found[0]


def test_store_of_its_own_overrides_verification_certs() -> None:
    given = Given({"certs": pem(ROOT)}, {"k": pem(OTHER)})
    parsed = parse(
        given, ["ca:own", "ca:rest"], verificationCerts=["certs"], verificationCertStores={"ca": {"own": ["k"]}}
    )
    stores = stores_of(parsed)
    assert stores.certificates(["ca:own"], "ca") == {der(OTHER)}
    assert stores.certificates(["ca:rest"], "ca") == {der(ROOT)}
    assert warnings(parsed) == []


@pytest.mark.parametrize(
    ("stores", "expected"),
    [
        ({"ca": {"prod": ["one"]}}, {"ca:prod": {ROOT}}),
        ({"prod": ["one"]}, {"ca:prod": {ROOT}}),
        ({"prod": ["one", "two"]}, {"ca:prod": {ROOT, OTHER}}),
        (
            {"ca": {"prod": ["one"]}, "signingAuthority": {"prod": ["two"]}, "tsa": {"prod": ["two"]}},
            {"ca:prod": {ROOT}, "signingAuthority:prod": {OTHER}, "tsa:prod": {OTHER}},
        ),
        ({"ca": {"prod": ["one"]}, "tsa": {}}, {"ca:prod": {ROOT}}),
    ],
)
def test_stores_are_filled_by_key_providers(stores: dict[str, Any], expected: dict[str, set[x509.Certificate]]) -> None:
    given = Given(providers={"one": pem(ROOT), "two": pem(OTHER)})
    found = stores_of(parse(given, list(expected), verificationCertStores=stores))
    for store, certificates in expected.items():
        assert found.certificates([store], store.partition(":")[0]) == {der(each) for each in certificates}


@pytest.mark.parametrize(
    ("stores", "place", "told"),
    [
        ({"ca": {"prod": ["one"]}, "prod": ["one"]}, "verificationCertStores", "the type ca beside 'prod'"),
        ({"ca": {"prod": ["one"]}, "tas": {"prod": ["one"]}}, "verificationCertStores", "the type ca beside 'tas'"),
        ({"ca": ["one"]}, "verificationCertStores.ca", "a list of key providers"),
        ({"prod": {"prod": ["one"]}}, "verificationCertStores.prod", "an object"),
        ({"ca": {"prod": ["missing"]}}, "verificationCertStores.ca.prod[0]", "'missing', which no key provider"),
        ({"prod": ["one", "missing"]}, "verificationCertStores.prod[1]", "'missing', which no key provider"),
        ({"ca": {"prod": ["empty"]}}, "verificationCertStores.ca.prod: provider empty", "an empty document"),
        ({"ca": {"prod": ["key"]}}, "verificationCertStores.ca.prod: provider key", "a private key"),
        ({"ca": {"prod": ["leaf"]}}, "verificationCertStores.ca.prod", "no usable certificate"),
    ],
)
def test_store_that_can_not_be_filled_is_refused_at_its_place(stores: dict[str, Any], place: str, told: str) -> None:
    given = Given(
        {"certs": pem(ROOT)}, {"one": pem(ROOT), "empty": b"", "key": PRIVATE_KEY + pem(ROOT), "leaf": pem(LEAF)}
    )
    found = errors(parse(given, verificationCerts=["certs"], verificationCertStores=stores))
    assert any(each.startswith(f"{V}.{place}: ") and told in each for each in found), found
    assert "PRIVATE" not in str(found)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "'ca:prod', behind which is no certificate"),
        ({"verificationCertStores": {}}, "'ca:prod', behind which is no certificate"),
        ({"verificationCertStores": {"tsa": {"prod": ["one"]}}}, "'ca:prod', behind which is no certificate"),
        ({"verificationCertStores": {"Prod": ["one"]}}, "'ca:prod', behind which is no certificate"),
        ({"verificationCerts": []}, "no usable certificate"),
        ({"verificationCerts": ["missing"]}, "names nothing"),
        ({"verificationCerts": ["empty"]}, "an empty document"),
        ({"verificationCerts": ["leaf"]}, "no usable certificate"),
        ({"verificationCerts": ["key"]}, "a private key, which belongs in no configuration"),
    ],
)
def test_store_without_certificates_is_refused(options: dict[str, Any], told: str) -> None:
    given = Given({"empty": b"", "leaf": pem(LEAF), "key": PRIVATE_KEY}, {"one": pem(ROOT)})
    found = errors(parse(given, **options))
    assert any(told in each for each in found), found


def test_store_that_nobody_defines_is_named_where_the_statement_names_it() -> None:
    given = Given(providers={"one": pem(ROOT)})
    parsed = parse(given, ["ca:prod", "tsa:time"], verificationCertStores={"prod": ["one"]})
    (found,) = errors(parsed)
    assert found.startswith(f"{V}.trustPolicyDoc.trustPolicies[0].trustStores[1]: got 'tsa:time'")


def test_store_that_no_statement_names_is_left_out_with_a_warning() -> None:
    given = Given(providers={"one": pem(ROOT), "two": pem(OTHER)})
    parsed = parse(given, verificationCertStores={"ca": {"prod": ["one"]}, "tsa": {"prod": ["two"]}})
    (warning,) = warnings(parsed)
    assert warning.path == f"{V}.verificationCertStores.tsa.prod"
    assert "no statement names" in warning.got
    assert list(parsed.certificates.values()) == [der(ROOT)]


def test_verification_certs_that_stand_behind_no_store_are_left_out_with_a_warning() -> None:
    given = Given({"certs": pem(OTHER)}, {"one": pem(ROOT)})
    parsed = parse(given, verificationCerts=["certs"], verificationCertStores={"prod": ["one"]})
    assert [each.path for each in warnings(parsed)] == [f"{V}.verificationCerts"]
    assert stores_of(parsed).certificates(["ca:any"], "ca") == frozenset()
    assert list(parsed.certificates.values()) == [der(ROOT)]


@pytest.mark.parametrize("how", ["verificationCerts", "verificationCertStores"])
def test_certificate_that_may_not_be_in_a_store_is_left_out_with_a_warning(how: str) -> None:
    content = pem(ROOT, LEAF, INTERMEDIATE, SELF_SIGNED)
    stores_by_provider = {"ca": {"prod": ["k"]}, "tsa": {"t": ["k"]}}
    options: dict[str, Any] = {how: ["prod", "t"] if how == "verificationCerts" else stores_by_provider}
    parsed = parse(Given({"prod": content, "t": content}, {"k": content}), ["ca:prod", "tsa:t"], **options)
    stores = stores_of(parsed)
    assert stores.certificates(["ca:prod"], "ca") == {der(ROOT), der(INTERMEDIATE), der(SELF_SIGNED)}
    assert stores.certificates(["tsa:t"], "tsa") == {der(ROOT)}
    assert f"the certificate {LEAF.subject.rfc4514_string()}" in [each.got for each in warnings(parsed)]


@pytest.mark.parametrize("each", [INTERMEDIATE, SELF_SIGNED], ids=["intermediate", "self-signed, no CA"])
def test_timestamps_need_a_root_among_verification_certs(each: x509.Certificate) -> None:
    given = Given({"prod": pem(ROOT), "t": pem(each)})
    (found,) = errors(parse(given, ["ca:prod", "tsa:t"], verificationCerts=["prod", "t"]))
    assert found.startswith(f"{V}.trustPolicyDoc.trustPolicies[0].trustStores[1]: got 'tsa:t'")
    assert "a root" in found


def test_statements_that_skip_need_no_certificates() -> None:
    policy = {"name": "a", "registryScopes": ["r.example/a"], "signatureVerification": {"level": "skip"}}
    parsed = parse(Given(), trustPolicyDoc={"version": "1.0", "trustPolicies": [policy]})
    assert not any(problem.fatal for problem in parsed.problems)
    assert parsed.certificates == {}
    assert stores_of(parsed) == TrustStores({})


def test_one_store_of_two_statements_is_read_once() -> None:
    document = trust_policy(registryScopes=["r.example/a"], trustStores=["ca:prod"])
    document["trustPolicies"].append({**document["trustPolicies"][0], "name": "b", "registryScopes": ["r.example/b"]})
    parsed = parse(
        Given(providers={"k": pem(ROOT, LEAF)}), trustPolicyDoc=document, verificationCertStores={"prod": ["k"]}
    )
    assert len(parsed.problems) == 1


def tree(policy: object = None, **files: bytes) -> Given:
    """A folder of notation with a policy that names `ca:prod`; its root is in the store."""
    content = policy if isinstance(policy, bytes) else json.dumps(policy or trust_policy(trustStores=["ca:prod"]))
    given = Given(tree={"truststore__x509__ca__prod__root.crt": pem(ROOT), **files})
    given.tree_files[POLICY] = content if isinstance(content, bytes) else content.encode()
    return given


def in_store(store: str, *certificates: x509.Certificate) -> dict[str, bytes]:
    """A file of one store in a tree."""
    return {f"truststore__x509__{store}__x.pem": pem(*certificates)}


def test_folder_of_notation_gives_the_policy_and_its_stores() -> None:
    policy = trust_policy(trustStores=["ca:prod", "tsa:time", "signingAuthority:sa"])
    files = in_store("tsa__time", OTHER) | in_store("signingAuthority__sa", SELF_SIGNED) | in_store("ca__prod", OTHER)
    parsed = parse(tree(policy, **files), notationDirectory="~/notation")
    stores = stores_of(parsed)
    assert parsed.problems[1:] == ()  # the first would be
    assert stores.certificates(["ca:prod"], "ca") == {der(ROOT), der(OTHER)}
    assert stores.certificates(["tsa:time"], "tsa") == {der(OTHER)}
    assert stores.certificates(["signingAuthority:sa"], "signingAuthority") == {der(SELF_SIGNED)}
    assert stores.named.keys() == {"ca:prod", "tsa:time", "signingAuthority:sa"}


def test_of_a_folder_of_notation_only_policies_and_stores_are_asked_for() -> None:
    given = tree()
    parse(given, notationDirectory="x")
    assert set(given.wanted) == {
        "trustpolicy.oci.json", "trustpolicy.json",
        "truststore/x509/ca/*/*", "truststore/x509/signingAuthority/*/*", "truststore/x509/tsa/*/*",
    }  # fmt: skip


def test_policy_for_oci_stands_before_the_old_one() -> None:
    given = tree(b"rubbish")
    given.tree_files["trustpolicy.oci.json"] = json.dumps(trust_policy(name="oci", trustStores=["ca:prod"])).encode()
    parsed = parse(given, notationDirectory="x")
    stores_of(parsed)
    assert parsed.settings["trustPolicies"][0]["name"] == "oci"  # type: ignore[index]


@pytest.mark.parametrize("key_", ["verificationCerts", "verificationCertStores", "trustPolicyDoc"])
def test_folder_of_notation_excludes_the_other_options(key_: str) -> None:
    value: Any = {"verificationCerts": [], "verificationCertStores": {}, "trustPolicyDoc": trust_policy()}[key_]
    (found,) = errors(parse(tree(), notationDirectory="x", **{key_: value}))
    assert found.startswith(f"{V}.notationDirectory: got this beside {key_}")


@pytest.mark.parametrize(
    ("policy", "place", "told"),
    [
        (b"{", "", "no valid JSON"),
        (b"\xff", "", "not UTF-8"),
        (b'{"version": "1.0", "version": "1.0"}', "", "stands twice"),
        (b"[]", ": $", "a list of 0"),
        ({"version": "1.0"}, ": $.trustPolicies", "nothing"),
        (trust_policy(trustStores=["ca:prod"]) | {"version": "2.0"}, ": $.version", "'2.0'"),
        ({"version": "1.0", "trustPolicies": []}, ": $.trustPolicies", "a list of 0"),
        (trust_policy(trustStore=["ca:prod"]), ": $.trustPolicies[0].trustStore", "an unknown key"),
        (trust_policy(trustStores=["prod"]), ": $.trustPolicies[0].trustStores[0]", "'prod'"),
        (
            trust_policy(signatureVerification={"level": "lax"}, trustStores=["ca:prod"]),
            ": $.trustPolicies[0].signatureVerification.level",
            "'lax'",
        ),
        (trust_policy(trustStores=["ca:missing"]), ": $.trustPolicies[0].trustStores[0]", "not there or empty"),
        (trust_policy(trustStores=["tsa:prod"]), ": $.trustPolicies[0].trustStores[0]", "not there or empty"),
    ],
)
def test_policy_in_a_folder_is_checked_as_any_other(policy: object, place: str, told: str) -> None:
    found = errors(parse(tree(policy), notationDirectory="x"))
    assert len(found) == 1
    assert found[0].startswith(f"{V}.notationDirectory: x/{POLICY}{place}: got ")
    assert told in found[0]


def test_folder_without_a_policy_is_refused() -> None:
    given = tree()
    del given.tree_files[POLICY]
    (found,) = errors(parse(given, notationDirectory="x"))
    assert found.startswith(f"{V}.notationDirectory: got 'x', which has no trust policy")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (in_store("ca__prod", LEAF), f"the certificate {LEAF.subject.rfc4514_string()}"),
        (in_store("ca__prod", ROOT, LEAF), f"the certificate {LEAF.subject.rfc4514_string()}"),
        ({"truststore__x509__ca__prod__x.crt": b""}, "an empty document"),
        ({"truststore__x509__ca__prod__README": b"hello"}, "no certificate"),
        ({"truststore__x509__ca__prod__x.key": PRIVATE_KEY}, "a private key"),
        (in_store("tsa__time", INTERMEDIATE), "the certificate"),
        (in_store("tsa__time", SELF_SIGNED), "the certificate"),
    ],
)
def test_store_of_notation_takes_nothing_but_what_notation_takes(files: dict[str, bytes], told: str) -> None:
    stores = ["ca:prod", "tsa:time"] if "tsa" in str(files) else ["ca:prod"]
    found = errors(parse(tree(trust_policy(trustStores=stores), **files), notationDirectory="x"))
    assert any(told in each for each in found), found


def test_store_of_notation_that_no_statement_names_is_not_read() -> None:
    parsed = parse(tree(**{"truststore__x509__ca__old__x": b"rubbish"}), notationDirectory="x")
    stores_of(parsed)
    assert [(each.got, each.fatal) for each in parsed.problems] == [
        ("the store 'ca:old', which no statement names", False)
    ]


def test_root_that_is_no_certificate_authority_for_sure_vouches_for_no_time() -> None:
    profile = ca_profile("root")
    child = certificate(ca_profile("root", subject=name("sub"), key_number=7), profile)
    found = errors(parse(tree(trust_policy(trustStores=["tsa:t"]), **in_store("tsa__t", child)), notationDirectory="x"))
    assert any("a root" in each for each in found)
