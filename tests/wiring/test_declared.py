"""The declarative forms: each is well-formed in its language, and says what it must."""

import json
import tomllib
from typing import Any

import pytest
import yaml

from agent.wiring import declared
from agent.wiring.declared import FORMS
from agent.wiring.merging import IMAGES, VERIFIER

TOML = ("bottlerocket", "k0s", "k3s", "rke2")


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
