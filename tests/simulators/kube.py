"""An API server of the tests' own: ConfigMaps, events, nodes and Leases in memory, on 127.0.0.1, by real HTTP.

Lists in pages, watches with bookmarks, resource versions that can be forgotten (410), tokens with what they may do.
Held to the same contract as the real one (tests/adapters/kube_contract.py); behind that it misbehaves as told:
`behave` puts a function in front of requests, in turn.

    with KubeSimulator() as server:
        server.put("nodeseal", "shop", {"nodeseal.dev/config": "active"}, {"config.json": "{}"})
"""

import base64
import json
import re
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

ADMIN = "token-of-the-admin"
READER = "token-of-the-reader"
"""May get, list and watch ConfigMaps in `nodeseal`, create and patch events there, and what `grant` adds."""

NAMESPACE = "nodeseal"
BOOKMARKS = 0.2
"""Seconds between bookmarks; a real server takes a minute."""

_PATH = re.compile(
    r"/(?:api/v1|apis/coordination\.k8s\.io/v1)/(?:namespaces/(?P<namespace>[^/]+)/)?(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?P<sub>/status)?\Z"
)
_READS = [("configmaps", verb) for verb in ("get", "list", "watch")]
_WRITES = [("events", verb) for verb in ("create", "patch")]

Object = dict[str, Any]
Behaviour = Callable[["Handler"], bool]


class Seen(NamedTuple):
    """One request that arrived."""

    at: float
    verb: str
    kind: str
    query: Mapping[str, str]
    token: str
    body: bytes


class Happened(NamedTuple):
    """One change of one object: as it was, as it is; None where it is not."""

    version: int
    resource: str
    before: Object | None
    after: Object | None


class KubeSimulator:
    """A server that runs between `with` and its end."""

    def __init__(self, *, port: int = 0) -> None:
        """Empty; `port` 0 is any that is free."""
        self.condition = threading.Condition()
        self.version = 100
        self.forgotten = 0
        """Resource versions up to here are too old."""
        self.objects: dict[tuple[str, str, str], Object] = {}
        """By kind, namespace and name."""
        self.states: dict[int, dict[tuple[str, str, str], Object]] = {}
        """Objects as they were when a list in pages began, by resource version."""
        self.history: list[Happened] = []
        self.seen: list[Seen] = []
        self.tokens = {ADMIN, READER}
        self.granted: set[tuple[str, str]] = set()
        """What the reader may do besides: resource and name, which is empty for all of the cluster."""
        self.bookmarks = BOOKMARKS
        self.stopping = threading.Event()
        self.unexpected: list[BaseException] = []
        self._behaviours: dict[str, deque[Behaviour]] = {}
        self._server = _Server(self, port)

    def __enter__(self) -> "KubeSimulator":
        """Start."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and raise what went wrong in the simulator itself."""
        self.stopping.set()
        with self.condition:
            self.condition.notify_all()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        if self.unexpected:
            raise self.unexpected[0]

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def counts(self) -> Counter[str]:
        """How many requests of each verb arrived."""
        return Counter(each.verb for each in self.seen)

    def hang_up(self) -> None:
        """End every connection."""
        self._server.hang_up()

    def behave(self, verb: str, *behaviours: Behaviour) -> None:
        """Let these answer the next requests of `verb`, one each; what returns False goes on as usual."""
        self._behaviours.setdefault(verb, deque()).extend(behaviours)

    def behaviour(self, verb: str) -> Behaviour | None:
        """What answers this request first."""
        waiting = self._behaviours.get(verb)
        return waiting.popleft() if waiting else None

    def put(
        self,
        namespace: str,
        name: str,
        labels: Mapping[str, str],
        data: Mapping[str, str],
        binary: Mapping[str, bytes] | None = None,
    ) -> Object:
        """Create or replace a ConfigMap."""
        with self.condition:
            before = self.objects.get(("configmaps", namespace, name))
            value: Object = {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": before["metadata"]["uid"] if before else f"uid-{self.version}",
                    "creationTimestamp": "2026-11-27T20:00:00Z",
                    "labels": dict(labels),
                },
                "data": dict(data),
            }
            if binary:
                value["binaryData"] = {key: base64.b64encode(each).decode() for key, each in binary.items()}
            self._happened(namespace, name, before, value)
            return value

    def put_object(self, kind: str, resource: str, namespace: str, value: Object) -> None:
        """Create or replace any other object; `value` has its metadata."""
        with self.condition:
            name = value["metadata"]["name"]
            before = self.objects.get((resource, namespace, name))
            uid = before["metadata"]["uid"] if before else f"uid-{self.version}"
            value = {"kind": kind, "apiVersion": "v1", **value}
            value["metadata"] = {"namespace": namespace, "uid": uid, **value["metadata"]}
            self._happened(namespace, name, before, value, resource)

    def put_secret(
        self, name: str, content: bytes, *, labels: Mapping[str, str], kind: str = "kubernetes.io/dockerconfigjson"
    ) -> None:
        """Create or replace a Secret in `nodeseal` with credentials for registries."""
        key = ".dockercfg" if kind.endswith("dockercfg") else ".dockerconfigjson"
        value = {"metadata": {"name": name, "labels": dict(labels)}, "type": kind}
        data = {key: base64.b64encode(content).decode()}
        self.put_object("Secret", "secrets", NAMESPACE, {**value, "data": data})

    def grant(self, resource: str, name: str = "") -> None:
        """Let the reader get, list and watch what has that name in `nodeseal`; without one, all of the cluster's."""
        self.granted.add((resource, name))

    def delete(self, namespace: str, name: str, resource: str = "configmaps") -> None:
        """Delete a ConfigMap, or an object of another resource."""
        with self.condition:
            self._happened(namespace, name, self.objects.get((resource, namespace, name)), None, resource)

    def forget(self) -> None:
        """Make every resource version until now one that is too old."""
        with self.condition:
            self.forgotten = self.version
            self.history.clear()
            self.version += 1

    def _happened(
        self, namespace: str, name: str, before: Object | None, after: Object | None, resource: str = "configmaps"
    ) -> None:
        self.version += 1
        if after is None:
            self.objects.pop((resource, namespace, name), None)
        else:
            after["metadata"]["resourceVersion"] = str(self.version)
            self.objects[resource, namespace, name] = after
        self.history.append(Happened(self.version, resource, before, after))
        self.condition.notify_all()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests.  Behaviours use `answer`, `stream` and `piece`, or write to `wfile`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    @property
    def simulator(self) -> KubeSimulator:
        """Whose connection this is."""
        return self.server.simulator

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""

    def answer(self, status: int, body: bytes, **headers: str) -> bool:
        """Send a whole response; underscores in header names stand for hyphens."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        return True

    def refuse(self, status: int, message: str, **headers: str) -> bool:
        """Send a status as the API does."""
        value = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
        return self.answer(status, json.dumps(value).encode(), **headers)

    def stream(self) -> None:
        """Begin a watch."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def piece(self, content: bytes) -> None:
        """Send a part of a watch; nothing ends it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def happening(self, kind: str, value: Object) -> None:
        """Send an event."""
        self.piece(json.dumps({"type": kind, "object": value}).encode() + b"\n")

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        match = _PATH.match(parts.path)
        kind, namespace, name = (
            (match["kind"] + (match["sub"] or ""), match["namespace"] or "", match["name"] or "")
            if match
            else ("", "", "")
        )
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        verb = {"POST": "create", "PATCH": "patch", "PUT": "update"}.get(self.command, "get" if name else "list")
        if query.get("watch") == "true":
            verb = "watch"
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.simulator.seen.append(Seen(time.monotonic(), verb, kind, query, token, body))
        behaviour = self.simulator.behaviour(verb)
        if behaviour is not None and behaviour(self):
            return
        if token not in self.simulator.tokens:
            self.refuse(401, "Unauthorized")
        elif token == READER and not self._may(verb, kind, namespace, name, query):
            self.refuse(403, f'{kind} is forbidden: User "reader" cannot {verb} resource "{kind}"')
        else:
            getattr(self, f"_{verb}")(kind, namespace, name, query, body)

    def _may(self, verb: str, kind: str, namespace: str, name: str, query: Mapping[str, str]) -> bool:
        """Whether the reader may.  A list or watch has the name that its field selector has, as for RBAC."""
        if namespace == NAMESPACE and (kind, verb) in [*_READS, *_WRITES]:
            return True
        selected = query.get("fieldSelector", "")
        named = name or (selected.removeprefix("metadata.name=") if selected.startswith("metadata.name=") else "")
        granted = self.simulator.granted
        of_one = named != "" and namespace == NAMESPACE and (kind, named) in granted
        leases = kind == "leases" and namespace == NAMESPACE and ("leases", "") in granted
        return (leases and verb in ("get", "create", "update")) or (
            verb in ("get", "list", "watch") and (of_one or (kind, "") in granted)
        )

    do_GET = do_POST = do_PATCH = do_PUT = _handle

    def _get(self, kind: str, namespace: str, name: str, query: Mapping[str, str], body: bytes) -> None:
        found = self.simulator.objects.get((kind, namespace, name))
        if found is None:
            self.refuse(404, f'{kind} "{name}" not found')
        else:
            self.answer(200, json.dumps(found).encode())

    def _list(self, kind: str, namespace: str, name: str, query: Mapping[str, str], body: bytes) -> None:
        with self.simulator.condition:
            version, after, state = self.simulator.version, "", self.simulator.objects
            if query.get("continue"):
                version, after = json.loads(base64.b64decode(query["continue"]))
                if version <= self.simulator.forgotten:
                    self.refuse(410, "The provided continue parameter is too old")
                    return
                state = self.simulator.states[version]
            elif query.get("limit"):
                self.simulator.states[version] = dict(state)  # ConfigMaps are replaced, never changed
            found = [
                value
                for (each_kind, where, named), value in sorted(state.items())
                if each_kind == kind and namespace in ("", where) and named > after and selects(query, value)
            ]
        limit = int(query.get("limit", 0)) or len(found)
        metadata = {"resourceVersion": str(version)}
        if len(found) > limit:
            place = json.dumps([version, found[limit - 1]["metadata"]["name"]])
            metadata["continue"] = base64.b64encode(place.encode()).decode()
        content = {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": found[:limit]}
        self.answer(200, json.dumps(content).encode())

    def _watch(self, kind: str, namespace: str, name: str, query: Mapping[str, str], body: bytes) -> None:
        simulator, since = self.simulator, int(query["resourceVersion"])
        end = time.monotonic() + int(query.get("timeoutSeconds", "300"))
        if since <= simulator.forgotten:  # as the real one, by an event
            self.stream()
            message = f"too old resource version: {since} ({simulator.forgotten})"
            self.happening("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": message})
            self.piece(b"")
            return
        self.stream()
        marked = time.monotonic()
        while not simulator.stopping.is_set() and time.monotonic() < end:
            with simulator.condition:
                if not simulator.history or simulator.history[-1].version <= since:
                    simulator.condition.wait(0.02)
                news = [each for each in simulator.history if each.version > since]
                since = max([since, *(each.version for each in news)])
                version = simulator.version
            for each in news:
                if each.resource == kind:
                    self._tell(each, namespace, query)
            if time.monotonic() - marked >= simulator.bookmarks:
                marked = time.monotonic()
                self.happening("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": str(version)}})
        self.piece(b"")

    def _tell(self, each: Happened, namespace: str, query: Mapping[str, str]) -> None:
        """One change, as whoever sees only what is selected has it."""
        was = each.before is not None and selects(query, each.before)
        now = each.after is not None and selects(query, each.after)
        value = each.after or each.before
        if value is None or namespace not in ("", value["metadata"]["namespace"]) or not (was or now):
            return
        if was and not now and each.before is not None:  # as it was, with the version of what happened
            metadata = {**each.before["metadata"], "resourceVersion": str(each.version)}
            self.happening("DELETED", {**each.before, "metadata": metadata})
        else:
            self.happening("MODIFIED" if was else "ADDED", value)

    def _create(self, kind: str, namespace: str, name: str, query: Mapping[str, str], body: bytes) -> None:
        value = json.loads(body)
        place = (kind, namespace, value["metadata"]["name"])
        with self.simulator.condition:
            if place in self.simulator.objects:
                self.refuse(409, f'{kind} "{place[2]}" already exists')
                return
            if kind == "leases":
                self.simulator.put_object("Lease", kind, namespace, value)
            else:
                self.simulator.objects[place] = value
            found = self.simulator.objects[place]
        self.answer(201, json.dumps(found).encode())

    def _update(self, kind: str, namespace: str, name: str, query: Mapping[str, str], body: bytes) -> None:
        value = json.loads(body)
        with self.simulator.condition:
            found = self.simulator.objects.get((kind, namespace, name))
            if found is None:
                self.refuse(404, f'{kind} "{name}" not found')
                return
            wanted, there = value["metadata"].get("resourceVersion", ""), found["metadata"]["resourceVersion"]
            if not wanted:
                self.refuse(422, "metadata.resourceVersion: must be specified for an update")
                return
            if wanted != there:
                self.refuse(409, f'Operation cannot be fulfilled on {kind} "{name}": the object has been modified')
                return
            if value["spec"] != found["spec"]:  # an update that changes nothing has no new version
                self.simulator.put_object("Lease", kind, namespace, value)
            found = self.simulator.objects[kind, namespace, name]
        self.answer(200, json.dumps(found).encode())

    def _patch(self, kind: str, namespace: str, name: str, query: Mapping[str, str], body: bytes) -> None:
        how = self.headers.get("Content-Type", "")
        with self.simulator.condition:
            found = self.simulator.objects.get((kind.removesuffix("/status"), namespace, name))
            if found is not None and how == "application/json-patch+json":
                if not patched(found, json.loads(body)):
                    self.refuse(422, "the server rejected our request due to an error in our request")
                    return
            elif found is not None and how == "application/strategic-merge-patch+json":
                merge_conditions(found, json.loads(body))
            elif found is not None:
                found.update(json.loads(body))
        if found is None:
            self.refuse(404, f'{kind} "{name}" not found')
        else:
            self.answer(200, json.dumps(found).encode())


def patched(value: Object, operations: list[Object]) -> bool:
    """Apply a JSON patch of `test` and `remove` on the taints of a node; False, and nothing, if a test fails."""
    taints = list(value["spec"]["taints"])
    for each in operations:
        index = int(each["path"].removeprefix("/spec/taints/"))
        if each["op"] == "test" and (index >= len(taints) or taints[index] != each["value"]):
            return False
        if each["op"] == "remove":
            del taints[index]
    value["spec"]["taints"] = taints
    return True


def merge_conditions(value: Object, patch: Object) -> None:
    """Merge conditions of a node by their type."""
    conditions = value.setdefault("status", {}).setdefault("conditions", [])
    for each in patch["status"]["conditions"]:
        same = next((known for known in conditions if known["type"] == each["type"]), None)
        if same is None:
            conditions.append(each)
        else:
            same.update(each)


def selects(query: Mapping[str, str], value: Object) -> bool:
    """Whether a query's label selector, `key=value` or `key`, and its field selector name an object."""
    key, equals, wanted = query.get("labelSelector", "").partition("=")
    labels = value["metadata"].get("labels") or {}
    by_label = not key or (labels.get(key) == wanted if equals else key in labels)
    fields = filter(None, query.get("fieldSelector", "").split(","))
    return by_label and all(_holds(each, value) for each in fields)


def _holds(requirement: str, value: Object) -> bool:
    """One requirement of a field selector: `metadata.name=pull`, `status.phase!=Failed`."""
    path, _, wanted = requirement.partition("=")
    found: Any = value
    for step in path.removesuffix("!").split("."):
        found = found.get(step, {}) if isinstance(found, dict) else {}
    return (found == wanted) is not path.endswith("!")


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True  # after `hang_up` no thread has anything to wait for
    request_queue_size = 128

    def __init__(self, simulator: KubeSimulator, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.simulator = simulator
        self._connections: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget and close a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, whatever its thread is doing."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is none of our errors; anything else is told at the end."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.simulator.unexpected.append(error)
