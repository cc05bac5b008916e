"""What is measured on: a node with images that the real tools signed, and the program under roots of its own."""

import json
import pathlib
import sys
from typing import Mapping, NamedTuple, Sequence

from tests.bench.measure import ROUNDS_BEYOND, Call, Command, Samples
from tests.frozen.program import Program, descriptor, plugin_words
from tests.signing import trust_policy, write_config
from tests.simulators.publisher import Publisher
from tests.testbed.inside import Inside
from tests.testbed.node import FAR_REGISTRY, REGISTRY, Node
from tests.testbed.signatures import Signer

NEAR, FAR = REGISTRY, FAR_REGISTRY
CACHES, ANSWERS = "var/cache/nodeseal", "var/cache/nodeseal/answers"
"""Folders under a root: all that was learnt, and what the fast path says again."""

MILLISECONDS = 50
"""What a round trip to the far registry takes."""


class Image(NamedTuple):
    """An image in the registry."""

    repository: str
    digest: str
    size: int


class Stage:
    """A node on which measurements are made."""

    def __init__(self, node: Node) -> None:
        """Makes a signer that `notation verify` trusts on this node, and who trusts it below too."""
        self.node = node
        self.signer = Signer(node, "signer")
        policy = json.dumps(trust_policy(trustStores=["ca:signer"]))
        (node.work / "notation" / "trustpolicy.json").write_text(policy)
        self._publisher = Publisher(REGISTRY)
        self._roots = 0

    def images(self, repository: str, count: int, *, signed: bool = True, together: bool = False) -> list[Image]:
        """New small images, each signed by the real `notation`: in one repository, or `repository`-NUMBER for each."""
        found = []
        with Inside(self.node.pid) as inside:
            for number in range(count):
                name, tag = (repository, str(number)) if together else (f"{repository}-{number}", "1")
                pushed = inside.do(
                    lambda name=name, tag=tag: self._publisher.push_image(name, tag, salt=f"{name} {tag}")  # type: ignore[misc]
                )
                found.append(Image(name, str(pushed.digest), pushed.size))
        for image in found if signed else []:
            self.signer.sign(image.repository, image.digest)
        return found

    def program(self, policy: Mapping[str, object] | None = None) -> Program:
        """The program under a root of its own, with a configuration that trusts the signer."""
        self._roots += 1
        program = Program(self.node.work / f"root-{self._roots}")
        folder = self.node.work / f"config-{self._roots}"
        program.apply(write_config(folder, self.signer.certificate, policy=policy))
        return program

    def notation(self, image: Image, registry: str = NEAR) -> Command:
        """`notation verify` of an image."""
        name = f"{registry}/{image.repository}@{image.digest}"
        return self.other([self.node.tools.program("notation"), "verify", "--insecure-registry", name])

    def copy_for_cosign(self, image: Image) -> Image:
        """The same image under another name, where only `cosign` has signed it: with a new key pair, and in no log.

        So each tool finds its own signature and nothing else, and none is slowed down by the others'.
        """
        copy = image._replace(repository=f"{image.repository}-cosigned")
        names = [f"{REGISTRY}/{each.repository}:1" for each in (image, copy)]
        self.node.must(["oras", "cp", "--from-plain-http", "--to-plain-http", *names])
        self._sign_with_cosign([copy])
        return copy

    def cosigned(self, repository: str, count: int) -> list[Image]:
        """New small images of one repository, each signed by the real `cosign` alone, with a key and in no log."""
        images = self.images(repository, count, signed=False, together=True)
        self._sign_with_cosign(images)
        return images

    def _sign_with_cosign(self, images: Sequence[Image]) -> None:
        folder = str(self.node.work)
        without_services = f"{folder}/no-services.json"
        if not (self.node.work / "cosign.pub").exists():
            self._cosign("generate-key-pair", "--output-key-prefix", f"{folder}/cosign")
            self._cosign("signing-config", "create", "--out", without_services)
        for image in images:
            self._cosign(
                "sign", "--yes", "--key", f"{folder}/cosign.key", "--signing-config", without_services,
                "--allow-http-registry", f"{REGISTRY}/{image.repository}@{image.digest}",
            )  # fmt: skip

    def _cosign(self, *words: str) -> None:
        done = self.node.run([self.node.tools.program("cosign"), *words], environment={"COSIGN_PASSWORD": ""})
        if done.code:
            raise AssertionError(f"cosign {words[0]}: {done.code}: {done.err}")

    def program_for_cosign(self) -> Program:
        """The program under a root of its own, with a configuration that trusts the key of `cosigned`."""
        self._roots += 1
        program = Program(self.node.work / f"root-{self._roots}")
        folder = self.node.work / f"config-{self._roots}"
        folder.mkdir()
        (folder / "cosign.pub").write_bytes((self.node.work / "cosign.pub").read_bytes())
        rule = {"name": "all", "match": ["**"], "verifiers": ["cosign"], "policy": {"any": ["cosign"]}}
        section = {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "verifiers": [{"name": "cosign", "type": "cosign", "keys": ["cosign.pub"]}],
            "rules": [rule],
        }
        store = {"plugins": [{"name": "oras", "useHttp": True}]}
        (folder / "nodeseal.json").write_text(json.dumps({"store": store, "nodeseal": section}))
        program.apply(folder)
        return program

    def cosign(self, image: Image, registry: str = NEAR) -> Command:
        """`cosign verify` of an image with the key that `copy_for_cosign` made."""
        name = f"{registry}/{image.repository}@{image.digest}"
        words = ["verify", "--key", str(self.node.work / "cosign.pub"), "--insecure-ignore-tlog=true",
                 "--allow-http-registry", name]  # fmt: skip
        return self.other([self.node.tools.program("cosign"), *words])

    def other(self, argv: list[str]) -> Command:
        """Any command that must succeed."""
        environment = {"XDG_CONFIG_HOME": str(self.node.work), "HOME": str(self.node.work)}
        return {"calls": [{"argv": argv, "stdin": ""}], "env": environment, "exit": 0}

    def measure(self, commands: dict[str, Command], rounds: int) -> dict[str, Samples]:
        """Run the commands in alternating rounds.  Raises `AssertionError` if one ends otherwise than it must."""
        request = {"rounds": rounds, "commands": commands, "timer": self.node.tools.program("busybox")}
        script = pathlib.Path(__file__).with_name("measure.py")
        argv = [sys.executable, "-I", "-S", str(script)]
        done = self.node.run(argv, stdin=json.dumps(request).encode(), seconds=900)
        if done.code:
            raise AssertionError(done.err)
        samples: dict[str, Samples] = json.loads(done.out)
        return samples

    def requests(self, command: Command) -> int:
        """How many requests the registry gets from the first call of a command."""
        before = len(self.node.registry_requests())
        call = command["calls"][0]
        done = self.node.run(call["argv"], stdin=call["stdin"].encode(), environment=command.get("env"))
        if done.code != command["exit"]:
            raise AssertionError(f"{call['argv']}: {done.code}: {done.out}{done.err}")
        return len(self.node.registry_requests()) - before


def call(path: pathlib.Path, image: Image, registry: str = NEAR) -> Call:
    """containerd's words to the program at `path`."""
    words = plugin_words(f"{registry}/{image.repository}:1", image.digest)
    return {"argv": [str(path), *words], "stdin": descriptor(image.digest, image.size).decode()}


def asked(path: pathlib.Path, images: Sequence[Image], *, registry: str = NEAR, code: int = 0) -> Command:
    """The program, asked as containerd asks it about each of the images in turn."""
    return {"calls": [call(path, image, registry) for image in images], "exit": code}


def forgetting(program: Program, command: Command, what: str = CACHES) -> Command:
    """The command, where the program has just forgotten `what` it had learnt: a folder under its root."""
    return {**command, "forgets": str(program.root / what)}


def enough(rounds: int) -> int:
    """How many images it takes to never ask twice about one in so many rounds."""
    return rounds + ROUNDS_BEYOND
