"""The declarative forms: each is well-formed in its language, and says what it must."""

import json
import re
import tomllib
from typing import Any

import pytest
import tomlkit
import yaml

from agent.wiring import declared
from agent.wiring.declared import FORMS
from agent.wiring.distributions import OWN_FILE, Way
from agent.wiring.facts import Facts, main_of_unit
from agent.wiring.merging import IMAGES, VERIFIER
from agent.wiring.planning import Changes, Options, plan, unexpected
from tests.wiring.nodes import FIXTURES, SAMPLES, facts
from tests.wiring.test_distributions import past

TOML = ("bottlerocket", "k0s", "k3s", "rke2")
APPLIED = ("flatcar", "k0s", "k3s", "karpenter", "kind", "kubespray", "nodeadm", "rke2")
"""Those that come to files of containerd's: the others are no TOML, or are Talos' and Bottlerocket's own affair."""

OF = {"karpenter": "eks", "nodeadm": "eks"}


def applied(name: str) -> Facts:
    """A node of the distribution with what a form says, put where the form says or as the distribution does."""
    sample = next(each for each in SAMPLES if each.folder == OF.get(name, name))
    given, text = facts(sample, with_link=True), declared.form(name)
    main = given.files[sample.main].decode()
    if name in ("k0s", "k3s", "rke2"):
        where = re.match(r"# (/[^ ,;]+)", text)
        assert where is not None
        return given._replace(files={**given.files, where[1]: text.encode()})
    if name == "kubespray":
        return given._replace(files={sample.main: f"{yaml.safe_load(text)['containerd_extra_args']}{main}".encode()})
    if name == "flatcar":
        (file,) = yaml.safe_load(text)["storage"]["files"]
        files = {**given.files, file["path"]: file["contents"]["inline"].encode()}
        return given._replace(main=file["path"], files=files)
    if name == "kind":
        (patch,) = yaml.safe_load(text)["containerdConfigPatches"]
    else:
        document = yaml.safe_load(text)
        if name == "karpenter":
            document = yaml.safe_load(document["spec"]["userData"].split("--//")[1].partition("\n\n")[2])
        patch = document["spec"]["containerd"]["config"]
    merged = tomlkit.dumps(_merged(tomllib.loads(main), tomllib.loads(patch)))
    return given._replace(files={sample.main: merged.encode()})


def _merged(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """Tables in each other, as nodeadm and kind merge what they are told into their own."""
    both = {key: _merged(lower[key], value) if isinstance(value, dict) and key in lower else value
            for key, value in upper.items()}  # fmt: skip
    return {**lower, **both}


@pytest.mark.parametrize("name", APPLIED)
def test_node_with_a_form_asks_and_nothing_is_left_to_set(name: str) -> None:
    given = applied(name)
    assert past(given) == ()
    made = plan(given, Options(Changes.PULL_PATH))
    assert (made.edits, made.advice) == ((), ())


@pytest.mark.parametrize("name", ["flatcar", "kubespray"])
def test_folder_that_a_form_imports_takes_our_file(name: str) -> None:
    made = plan(applied(name), Options(bin_dir="/srv/v"))
    assert (made.placed.way, made.placed.drop_in) == (Way.DROP_IN, f"/etc/containerd/conf.d/{OWN_FILE}")
    assert unexpected(applied(name), made) == ()


def test_unit_of_flatcar_reads_what_its_form_writes() -> None:
    config = yaml.safe_load(declared.form("flatcar"))
    ((drop_in,),) = (unit["dropins"] for unit in config["systemd"]["units"])
    unit = (FIXTURES / "flatcar/usr/lib/systemd/system/containerd.service").read_bytes()
    assert main_of_unit((unit,)) == "/usr/share/containerd/config.toml"
    assert main_of_unit((unit, drop_in["contents"].encode())) == config["storage"]["files"][0]["path"]


def toml(text: str) -> dict[str, Any]:
    """TOML of containerd's, read."""
    return tomllib.loads(text)


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_well_formed_and_says_where_it_goes(name: str) -> None:
    text = declared.form(name)
    if name == "aks":
        assert json.loads(text)["artifactStreamingProfile"] == {"enabled": False}
        return
    assert text.startswith("# ")
    assert (toml(text) if name in TOML else yaml.safe_load(text)) is not None


@pytest.mark.parametrize("name", ["k3s", "rke2"])
def test_trigger_of_rancher_is_set_back(name: str) -> None:
    read = toml(declared.form(name))
    assert read["version"] == 3
    assert read["plugins"][IMAGES] == {"use_local_image_pull": False}


def test_node_config_holds_toml_that_sets_back_what_eks_sets() -> None:
    config = yaml.safe_load(declared.form("nodeadm"))
    read = toml(config["spec"]["containerd"]["config"])
    assert read["plugins"][IMAGES]["discard_unpacked_layers"] is False
    assert read["plugins"][VERIFIER]["bin_dir"] == "/opt/containerd/image-verifier/bin"


def test_user_data_of_karpenter_is_mime_with_the_same_node_config() -> None:
    data = yaml.safe_load(declared.form("karpenter"))["spec"]["userData"]
    head, _, rest = data.partition("\n\n")
    assert 'boundary="//"' in head
    part = rest.split("--//")[1]
    assert yaml.safe_load(part.partition("\n\n")[2])["kind"] == "NodeConfig"


def test_line_for_kubespray_is_an_import_that_may_match_nothing() -> None:
    extra = yaml.safe_load(declared.form("kubespray"))["containerd_extra_args"]
    (pattern,) = tomllib.loads(extra)["imports"]
    assert "*" in pattern
