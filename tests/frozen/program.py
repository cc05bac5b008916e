"""The built program, placed under a root of its own and called as containerd calls it."""

import json
import os
import pathlib
import shutil

from agent import __version__
from tests.commands import Done, run

BUILT = pathlib.Path(
    os.environ.get("NODESEAL_PROGRAM") or pathlib.Path(__file__).parents[2] / "out" / "nodeseal"
).resolve()
"""The program that is tested: what `make build` made, or another build of it."""

STDIN_MEDIA_TYPE = "application/vnd.oci.descriptor.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Program:
    """The program under `root`: `root`/opt/nodeseal/VERSION/nodeseal, with the state that belongs to that root."""

    def __init__(self, root: pathlib.Path, built: pathlib.Path = BUILT, version: str = __version__) -> None:
        """Place the program (hard links, where the file system allows them); another `version` may lie beside it."""
        if not (built / "nodeseal").is_file():
            raise AssertionError(f"no program in {built}; run: make build")
        self.root = root
        folder = root / "opt" / "nodeseal" / version
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(built, folder, copy_function=_link, symlinks=True)
        self.path = folder / "nodeseal"

    def person(self, *words: str, environment: dict[str, str] | None = None) -> Done:
        """Run it as a person would."""
        return run([str(self.path), *words], environment=environment)

    def apply(self, configuration: pathlib.Path) -> None:
        """Put a configuration in force under this root."""
        done = self.person("config", "apply", str(configuration), "--root", str(self.root))
        if done.code != 0:
            raise AssertionError(f"config apply: {done.code}: {done.out}{done.err}")

    def forget(self) -> None:
        """Forget what was answered here before: otherwise it is answered again."""
        shutil.rmtree(self.root / "var/cache/nodeseal", ignore_errors=True)
        shutil.rmtree(self.root / "run/nodeseal/secrets", ignore_errors=True)

    def pull(
        self,
        name: str,
        digest: str,
        size: int = 500,
        *,
        media_type: str = MANIFEST,
        environment: dict[str, str] | None = None,
    ) -> Done:
        """Ask as containerd does before a pull; its environment is empty unless one is given."""
        return run(
            [str(self.path), *plugin_words(name, digest)],
            stdin=descriptor(digest, size, media_type),
            environment=environment,
        )


def plugin_words(name: str, digest: str) -> list[str]:
    """containerd's arguments, in containerd's order."""
    return ["-name", name, "-digest", digest, "-stdin-media-type", STDIN_MEDIA_TYPE]


def descriptor(digest: str, size: int, media_type: str = MANIFEST) -> bytes:
    """What containerd writes to standard input."""
    return json.dumps({"mediaType": media_type, "digest": digest, "size": size}).encode() + b"\n"


def _link(source: str, target: str) -> None:
    if os.path.basename(source) == "nodeseal":  # another link to it would be a change of the program
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
