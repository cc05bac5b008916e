"""`make bench`: what a verification costs, as ratios within one run, written into docs/performance.md.

On a real registry with an image that the real `notation` signed: our program, cold and asked again, as containerd calls
it; `notation verify` of the same image; and a bare interpreter, the floor of everything written in Python.
"""

import json
import pathlib
import platform
import statistics
import sys
from typing import NamedTuple

from tests.bench.measure import Command, Samples
from tests.documents import put_between
from tests.frozen.program import Program, descriptor, plugin_words
from tests.frozen.test_policies import INSTALLED
from tests.signing import write_config
from tests.testbed.node import REGISTRY, Node
from tests.testbed.signatures import Signer
from tests.testbed.tools import Tools, fetch, unavailable

ROUNDS = 40
_OURS, _UNSIGNED, _CANARY = "nodeseal, signed image", "nodeseal, unsigned image", "nodeseal, canary"
_REGO = "nodeseal, signed image, Rego policy"
_AGAIN, _DENIED_AGAIN = "nodeseal, signed image, asked again", "nodeseal, unsigned image, asked again"
_NOTATION, _PYTHON, _TRUE = "notation verify, signed image", "python3 -S -I -c pass", "/bin/true"
_TRUST_POLICY = {
    "version": "1.0",
    "trustPolicies": [
        {
            "name": "bench",
            "registryScopes": ["*"],
            "signatureVerification": {"level": "strict"},
            "trustStores": ["ca:signer"],
            "trustedIdentities": ["*"],
        }
    ],
}


class Row(NamedTuple):
    """One command's figures: medians, and how it compares with others of the same round."""

    name: str
    milliseconds: float
    to_notation: float
    to_python: float
    peak_mib: float


def main() -> int:
    """Measure, print, write."""
    reason = unavailable()
    if reason:
        print(f"bench: needs the real tools: {reason}")
        return 1
    tools = fetch()
    with Node(tools) as node:
        commands, requests = prepare(node)
        print(f"bench: {ROUNDS} rounds of {len(commands)} commands ...", flush=True)
        asked = json.dumps({"rounds": ROUNDS, "commands": commands}).encode()
        script = pathlib.Path(__file__).with_name("measure.py")
        output = node.run([sys.executable, "-I", "-S", str(script)], stdin=asked, seconds=600)
    if output.code:
        print(output.err)
        return 1
    text = render(rows(json.loads(output.out)), requests, tools)
    print(text)
    put_between("bench", text)
    return 0


def prepare(node: Node) -> tuple[dict[str, Command], int]:
    """Two images, one signed; the commands to be measured; and how many requests one verification costs."""
    signer = Signer(node, "signer")
    signed, unsigned = node.push_image("bench/signed"), node.push_image("bench/unsigned")
    signer.sign("bench/signed", signed)
    (node.work / "notation" / "trustpolicy.json").write_text(json.dumps(_TRUST_POLICY))
    program, under_rego, again = Program(node.root), Program(node.work / "rego"), Program(node.work / "again")
    program.apply(write_config(node.work / "config", signer.certificate, remembers=False))
    rego = {"name": "regoPolicy", "policy": INSTALLED}
    under_rego.apply(write_config(node.work / "rego-config", signer.certificate, policy=rego, remembers=False))
    again.apply(write_config(node.work / "again-config", signer.certificate))

    def pull(repository: str, digest: str, exit_code: int, asked: Program = program) -> Command:
        raw, _ = node.get_manifest(repository, digest) if repository != "nodeseal-canary" else (b"", None)
        words = plugin_words(f"{REGISTRY}/{repository}:1", digest)
        stdin = descriptor(digest, len(raw)).decode()
        return {"argv": [str(asked.path), *words], "stdin": stdin, "env": {}, "exit": exit_code}

    environment = {"XDG_CONFIG_HOME": str(node.work), "HOME": str(node.work)}

    def other(*argv: str) -> Command:
        return {"argv": list(argv), "stdin": "", "env": environment, "exit": 0}

    notation = [node.tools.program("notation"), "verify", "--insecure-registry", f"{REGISTRY}/bench/signed@{signed}"]
    commands = {
        _TRUE: other("/bin/true"),
        _PYTHON: other(sys.executable, "-S", "-I", "-c", "pass"),
        _CANARY: pull("nodeseal-canary", signed, 10),
        _OURS: pull("bench/signed", signed, 0),
        _REGO: pull("bench/signed", signed, 0, under_rego),
        _UNSIGNED: pull("bench/unsigned", unsigned, 10),
        _AGAIN: pull("bench/signed", signed, 0, again),
        _DENIED_AGAIN: pull("bench/unsigned", unsigned, 10, again),
        _NOTATION: other(*notation),
    }
    before = len(node.registry_requests())
    node.must(commands[_OURS]["argv"], stdin=commands[_OURS]["stdin"].encode())
    return commands, len(node.registry_requests()) - before


def rows(samples: dict[str, Samples]) -> list[Row]:
    """Medians; the ratios are medians of the rounds' own ratios, so that the machine's moods cancel out."""

    def ratio(name: str, base: str) -> float:
        pairs = zip(samples[name]["wall_ms"], samples[base]["wall_ms"], strict=True)
        return statistics.median(mine / other for mine, other in pairs)

    return [
        Row(
            name,
            statistics.median(each["wall_ms"]),
            ratio(name, _NOTATION),
            ratio(name, _PYTHON),
            max(each["rss_kib"]) / 1024,
        )
        for name, each in samples.items()
    ]


def render(found: list[Row], requests: int, tools: Tools) -> str:
    """The figures as Markdown."""
    lines = [
        f"{ROUNDS} alternating rounds, medians; CPython {platform.python_version()}, {', '.join(tools.versions)}.",
        "",
        "| command | ms | against `notation verify` | against a bare Python | peak memory, MiB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.milliseconds:.1f} | {row.to_notation:.2f} | {row.to_python:.2f} | {row.peak_mib:.1f} |"
        for row in found
    ]
    lines += [
        "",
        f"Requests for one signature on a registry without the referrers API: {requests} "
        "(3 where the registry has it; each further signature costs 2).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
