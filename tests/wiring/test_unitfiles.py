"""The environment of a systemd unit, from its files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wiring import unitfiles

UNIT = "containerd.service"
ETC, LIB = f"/etc/systemd/system/{UNIT}", f"/usr/lib/systemd/system/{UNIT}"
PROXY = f"{ETC}.d/http-proxy.conf"


def environment(files: dict[str, str], unit: str = UNIT) -> dict[str, str] | None:
    """What the unit's service gets, of these files."""
    found = unitfiles.environment(
        unit,
        lambda path: files[path].encode() if path in files else None,
        lambda folder: [path.rpartition("/")[2] for path in files if path.rpartition("/")[0] == folder],
    )
    return None if found is None else dict(found)


def test_drop_in_of_a_proxy_is_read() -> None:
    drop_in = '[Service]\nEnvironment="HTTP_PROXY=http://p:3128" HTTPS_PROXY=http://p:3128\nEnvironment=NO_PROXY=a,b\n'
    assert environment({LIB: "[Service]\nExecStart=/usr/bin/containerd\n", PROXY: drop_in}) == {
        "HTTP_PROXY": "http://p:3128",
        "HTTPS_PROXY": "http://p:3128",
        "NO_PROXY": "a,b",
    }


def test_unit_that_is_not_there_has_none() -> None:
    assert environment({PROXY: "[Service]\nEnvironment=A=1\n"}) is None


def test_unit_of_etc_and_later_settings_win_and_an_empty_one_begins_anew() -> None:
    files = {ETC: "[Service]\nEnvironment=A=etc B=etc\n", LIB: "[Service]\nEnvironment=A=lib C=lib\n"}
    assert environment(files) == {"A": "etc", "B": "etc"}
    files[f"{ETC}.d/10.conf"] = "[Service]\nEnvironment=A=10\n"
    files[f"{LIB}.d/20.conf"] = "[Service]\nEnvironment=A=20\n"
    assert environment(files) == {"A": "20", "B": "etc"}
    files[f"/run/systemd/system/{UNIT}.d/30.conf"] = "[Service]\nEnvironment=\nEnvironment=D=30\n"
    assert environment(files) == {"D": "30"}
    files[f"{ETC}.d/30.conf"] = ""  # goes before that of /run, by its name
    assert environment(files) == {"A": "20", "B": "etc"}


def test_files_of_variables_go_before_what_the_unit_says() -> None:
    files = {
        ETC: "[Service]\nEnvironmentFile=-/etc/default/%N\nEnvironmentFile=-/etc/absent\nEnvironment=A=unit B=100%%\n",
        "/etc/default/containerd": '# a comment\n; too\nA=file\nexport C=\'x y\'\nD="q\\"r"\nno assignment\n'
        "E=one \\\ntwo\n",
    }
    assert environment(files) == {"A": "file", "B": "100%", "C": "x y", "D": 'q"r', "E": "one two"}


def test_k3s_reads_its_variables_from_its_own_file() -> None:
    files = {
        "/etc/systemd/system/k3s.service": "[Service]\nEnvironmentFile=-/etc/default/%N\n"
        "EnvironmentFile=-/etc/sysconfig/%N\nEnvironmentFile=-/etc/systemd/system/k3s.service.env\n",
        "/etc/systemd/system/k3s.service.env": "K3S_TOKEN='t'\nHTTPS_PROXY=http://p:1\n",
    }
    assert environment(files, "k3s.service") == {"K3S_TOKEN": "t", "HTTPS_PROXY": "http://p:1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Service]\nEnvironment=A=1 \\\n  B=2\n", {"A": "1", "B": "2"}),
        ("[Service]\nEnvironment=A=1 \\\n# between\n  B=2\n", {"A": "1", "B": "2"}),
        ("[Unit]\nEnvironment=A=1\n", {}),
        ("[Service]\nEnvironment='A=1 2' \"B=3 4\"\n", {"A": "1 2", "B": "3 4"}),
        ("[Service]\nEnvironment=A=a\\sb\n", {"A": "a b"}),
        ("[Service]\nEnvironment=A=1 'B=open\n", {"A": "1"}),
        ("[Service]\nEnvironment=A-B=1 =2 C\n", {}),
        ("[Service]\nEnvironment=A=%n B=%x\n", {"A": UNIT, "B": "%x"}),
        ("[Service]\nEnvironmentFile=relative\n", {}),
    ],
)
def test_how_settings_are_written(text: str, expected: dict[str, str]) -> None:
    assert environment({LIB: text}) == expected


@given(st.text(st.sampled_from("[Service]\n=\\'\"%N AB#;-/Environment")))
def test_nothing_that_is_written_there_is_an_error(text: str) -> None:
    found = environment({LIB: "[Service]\n" + text, "/e": text, PROXY: f"[Service]\nEnvironmentFile=/e\n{text}"})
    assert found is None or all(name.isidentifier() for name in found)


def test_long_words_and_lines_that_go_on_take_no_longer_than_they_are() -> None:
    word = "a" * 200_000
    assert environment({LIB: f"[Service]\nEnvironment='A={word}'\n"}) == {"A": word}
    goes_on = "\\\n".join(["b"] * 60_000)
    assert environment({LIB: f"[Service]\nEnvironment=A=1 {goes_on} \\\n B=2\n"}) == {"A": "1", "B": "2"}
    assert unitfiles.variables(f"A={goes_on}".encode()) == {"A": "b" * 60_000}
