"""containerd's version, and the rules that go with it: which configuration it takes, and how it puts files together.

| containerd | verifiers on CRI pulls | newest configuration version | files |
|---|---|---|---|
| 1.x, 2.0 | never | 2; 3 | merged, then migrated |
| 2.1, 2.2 | yes | 3 | merged, then migrated once |
| 2.3 and newer | yes | 4 | each migrated, then merged |
"""

import re
from typing import NamedTuple

_VERSION = re.compile(r"\bv?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?(?:[-+~]\S{0,64})?", re.ASCII)


class Version(NamedTuple):
    """A release of containerd's; `text` is how it says it itself."""

    major: int
    minor: int
    patch: int
    text: str

    @property
    def calls_verifiers(self) -> bool:
        """Whether pulls of the kubelet can go through image verifiers at all."""
        return (self.major, self.minor) >= (2, 1)

    @property
    def migrates_each_file(self) -> bool:
        """Whether each file is brought to the newest version before files are merged."""
        return (self.major, self.minor) >= (2, 3)

    @property
    def newest_configuration(self) -> int:
        """The newest `version` that a configuration file may state."""
        if (self.major, self.minor) >= (2, 3):
            return 4
        return 3 if self.major >= 2 else 2

    @property
    def lists_config_paths(self) -> bool:
        """Whether `config_path` is a list of two folders unless it is set."""
        return (self.major, self.minor) >= (2, 2)


def parse(text: str) -> Version | None:
    """The first version in a text such as `containerd --version` prints, None if there is none."""
    for word in text[:1024].split():
        match = _VERSION.fullmatch(word)
        if match:
            return Version(int(match[1]), int(match[2]), int(match[3] or 0), match[0])
    return None
