"""Ratify's Kubernetes resources as the one `config.json` that says the same.

Ratify beside Gatekeeper is configured by custom resources of the group `config.ratify.deislabs.io`, in two versions.
Each becomes a plugin in a section of `config.json`, by the rules that Ratify itself follows when it reads them:
`parameters` are the plugin's keys, the resource's own fields go before them.  A namespace's resources stand in for the
cluster's of the same kind.  Nothing is judged here: what can't be used is told by checking what comes out.  Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.config.checking import shown
from agent.errors import Problem

GROUP = "config.ratify.deislabs.io"
VERSIONS = ("v1beta1", "v1alpha1")

_CONFIGURED = {"store", "policy", "verifier", "nodeseal"}
_POLICY_CONTROLLERS = "ClusterImagePolicy"
_NAMESPACED = "Namespaced"
_STORE, _VERIFIER, _POLICY = "Store", "Verifier", "Policy"
_PROVIDER, _CERTIFICATES = "KeyManagementProvider", "CertificateStore"
_KINDS = (_STORE, _VERIFIER, _POLICY, _PROVIDER, _CERTIFICATES)
_POLICY_NAME = "ratify-policy"
_SECTION_VERSION = "1.0.0"
_FIELDS = {
    _STORE: ("name", "version", "address", "source", "parameters"),
    _VERIFIER: ("name", "type", "version", "artifactTypes", "address", "source", "parameters"),
    _POLICY: ("type", "parameters"),
    _PROVIDER: ("type", "refreshInterval", "parameters"),
    _CERTIFICATES: ("provider", "parameters"),
}
_MAX_NESTED_LISTS = 3

Object = Mapping[str, object]


class Imported(NamedTuple):
    """A configuration as a JSON object, and what should be told.  It can't be used if a problem is fatal."""

    config: dict[str, object]
    problems: tuple[Problem, ...]


class _Resource(NamedTuple):
    """One resource.  `namespace` is empty for one of the whole cluster; `where` is its place, as people read it."""

    kind: str
    version: str
    namespace: str
    name: str
    spec: Object
    where: str

    def parameters(self) -> dict[str, object]:
        """What only its plugin understands."""
        given = self.spec.get("parameters")
        return dict(given) if isinstance(given, dict) else {}

    def text(self, field: str) -> str:
        """A field of its specification; empty if it isn't there."""
        given = self.spec.get(field)
        return given if isinstance(given, str) else ""


def convert(documents: Iterable[tuple[str, object]], namespace: str = "") -> Imported:
    """The configuration that `documents` (the file that each stands in, its value) mean for images of `namespace`.

    An empty `namespace` means the cluster's resources alone.
    """
    problems: list[Problem] = []
    resources: list[_Resource] = []
    for where, document in documents:
        resources += _resources(document, where, problems, _MAX_NESTED_LISTS)
    _refuse_twins(resources, problems)
    found = [each for each in resources if _counts(each, namespace, problems)]
    stores, verifiers, policies = (_own_or_clusters(found, kind) for kind in (_STORE, _VERIFIER, _POLICY))
    policies = [each for each in policies if _is_heeded(each, problems)]
    for kind, of_kind in ((_STORE, stores), (_VERIFIER, verifiers), (_POLICY, policies)):
        if not of_kind and not any(problem.fatal for problem in problems):
            problems.append(Problem("these files", f"no {kind}", f"a resource of the kind {kind}, of {GROUP}"))
    problems += (Problem(each.where, "a second Policy", f"one, besides {policies[0].where}") for each in policies[1:])
    config: dict[str, object] = {
        "store": _section([_store(each) for each in stores]),
        "policy": {"version": _SECTION_VERSION, "plugin": _policy(policies[0]) if policies else {}},
        "verifier": _section([_verifier(each) for each in verifiers]),
    }
    providers = [each for each in found if each.kind in (_PROVIDER, _CERTIFICATES)]
    named = _named_providers(providers, _references(verifiers))
    if named:
        config["keyManagementProvider"] = _section([_provider(name, each) for name, each in named])
    for each in providers:
        if each.text("refreshInterval"):
            got = f"refreshInterval {shown(each.text('refreshInterval'))}"
            problems.append(Problem(each.where, got, "to import again when certificates change", fatal=False))
    return Imported(config, tuple(problems))


def _resources(document: object, where: str, problems: list[Problem], depth: int) -> Iterator[_Resource]:
    """The resources in one document, which may be a list of them."""
    given = document if isinstance(document, dict) else {}
    kind, api, items = given.get("kind"), given.get("apiVersion"), given.get("items")
    if not isinstance(kind, str) or not isinstance(api, str):
        expected = "a Kubernetes resource, with apiVersion and kind"
        if _CONFIGURED & given.keys():
            expected += "; this is a configuration, which needs no import: nodeseal config check"
        problems.append(Problem(where, shown(document), expected))
        return
    if kind.endswith("List") and isinstance(items, list) and depth > 0:
        for i, item in enumerate(items):
            yield from _resources(item, f"{where}: items[{i}]", problems, depth - 1)
        return
    group, _, version = api.rpartition("/")
    metadata = given.get("metadata")
    name, namespace = (metadata.get(key) if isinstance(metadata, dict) else None for key in ("name", "namespace"))
    label = f"{where}: {kind[:64]} {name[:64]}" if isinstance(name, str) else f"{where}: {kind[:64]}"
    if not group.startswith("config.ratify."):
        got = f"{shown(kind)} of {shown(api)}"
        how = " (docs/policy-controller.md says what its words are here)" if kind == _POLICY_CONTROLLERS else ""
        problems.append(Problem(label, got, f"resources of {GROUP}; this one is left out{how}", fatal=False))
        return
    plain = kind.removeprefix(_NAMESPACED)
    if group != GROUP or version not in VERSIONS or plain not in _KINDS:
        got = f"{shown(kind)} of {shown(api)}, which this version does not support"
        problems.append(Problem(label, got, f"{', '.join(_KINDS)} of {GROUP}, {' or '.join(VERSIONS)}"))
        return
    spec = given.get("spec")
    if not isinstance(name, str) or not name or not isinstance(spec, dict):
        problems.append(Problem(label, "no metadata.name or no spec", "a complete resource"))
        return
    if kind.startswith(_NAMESPACED) or plain == _CERTIFICATES:
        namespace = namespace if isinstance(namespace, str) and namespace else "default"
    else:
        namespace = ""
    problems += (
        Problem(f"{label}: spec.{key[:40]}", "an unknown field", "no such field: it is left out", fatal=False)
        for key in spec
        if key not in _FIELDS[plain]
    )
    yield _Resource(plain, version, namespace, name, spec, label)


def _refuse_twins(resources: Sequence[_Resource], problems: list[Problem]) -> None:
    """In a cluster the last one that was applied would count; which one that is, files don't say."""
    seen: dict[tuple[str, str, str], _Resource] = {}
    for each in resources:
        first = seen.setdefault((each.kind, each.namespace, each.name), each)
        if first is not each:
            problems.append(Problem(each.where, f"a resource that stands in {first.where} too", "each resource once"))


def _counts(resource: _Resource, namespace: str, problems: list[Problem]) -> bool:
    """Whether a resource is for images of `namespace`; CertificateStores serve whoever names them."""
    if resource.namespace in ("", namespace) or resource.kind == _CERTIFICATES:
        return True
    namespace = resource.namespace[:64]
    expected = f"--namespace {namespace} for what holds there; this one is left out"
    problems.append(Problem(resource.where, f"a resource of namespace {namespace}", expected, fatal=False))
    return False


def _own_or_clusters(resources: Sequence[_Resource], kind: str) -> list[_Resource]:
    of_kind = [each for each in resources if each.kind == kind]
    return [each for each in of_kind if each.namespace] or of_kind


def _is_heeded(policy: _Resource, problems: list[Problem]) -> bool:
    """Whether Ratify heeds a policy: in the newer version only one of a certain name."""
    if policy.version == "v1alpha1" or policy.name == _POLICY_NAME:
        return True
    expected = f"{_POLICY_NAME}, the only name that Ratify heeds; this one is left out"
    problems.append(Problem(policy.where, f"the name {shown(policy.name)}", expected, fatal=False))
    return False


def _section(plugins: Sequence[Object]) -> dict[str, object]:
    return {"version": _SECTION_VERSION, "plugins": list(plugins)}


def _store(resource: _Resource) -> Object:
    own: dict[str, object] = {"name": resource.text("name")}
    return own | resource.parameters() | _external(resource) | own


def _verifier(resource: _Resource) -> Object:
    """`spec.name` is the old word for `spec.type`; what a verifier is called is the resource's name."""
    own: dict[str, object] = {
        "name": resource.name,
        "type": resource.text("type") or resource.text("name"),
        "artifactTypes": resource.text("artifactTypes"),
    }
    return own | resource.parameters() | _external(resource) | own


def _policy(resource: _Resource) -> Object:
    """In the older version the resource's name is its type."""
    own: dict[str, object] = {"name": resource.name if resource.version == "v1alpha1" else resource.text("type")}
    return own | resource.parameters() | own


def _provider(name: str, resource: _Resource) -> Object:
    own: dict[str, object] = {"name": name, "type": resource.text("type")}
    if resource.kind == _CERTIFICATES:
        own |= {"type": resource.text("provider"), "contentType": "certificate"}
    return own | resource.parameters() | own


def _external(resource: _Resource) -> dict[str, object]:
    """Where a plugin comes from that is no part of the program, as far as it is said."""
    return {key: resource.spec[key] for key in ("version", "address", "source") if resource.spec.get(key)}


def _references(verifiers: Sequence[_Resource]) -> list[str]:
    """The names of key providers that verifiers use."""
    found: list[str] = []

    def texts(value: object) -> None:
        if isinstance(value, str):
            found.append(value)
        for each in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            texts(each)

    for verifier in verifiers:
        texts(verifier.parameters().get("verificationCertStores"))
        texts(verifier.parameters().get("trustPolicies"))
    return found


def _named_providers(providers: Sequence[_Resource], references: Sequence[str]) -> list[tuple[str, _Resource]]:
    """Each provider under the name by which it is referred to: `NAMESPACE/NAME`, or `NAME` where that is clear."""
    plain = {each.name for each in providers if not each.namespace}
    found: list[tuple[str, _Resource]] = []
    for each in providers:
        full = f"{each.namespace}/{each.name}" if each.namespace else each.name
        alone = sum(other.name == each.name and bool(other.namespace) for other in providers) == 1
        names = [full] if full in references or each.name not in references else []
        if each.namespace and alone and each.name not in plain and each.name in references:
            names.append(each.name)
        found += ((name, each) for name in names or [full])
    return found
