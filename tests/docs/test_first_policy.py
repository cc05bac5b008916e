"""The first policy in the README: twelve lines that do what is said beside them."""

import json
import pathlib
import re

import pytest

from agent.adapters.inline import NoTrace, OneByOne, run
from agent.config.config import Config
from agent.engine import Engine
from agent.model.answer import Answer
from agent.modes import config
from tests import signing_sigstore as sigstore
from tests.engines import OnTheSpot, Unhurried, judged
from tests.formats.support import SUBJECT, Answers, request
from tests.signing_cosign import bundle, layer, payload, public_pem, statement
from tests.test_engine_cosign import Cosigned

ROOT = pathlib.Path(__file__).resolve().parents[2]


def of(document: str, heading: str) -> str:
    """The last YAML under a heading of a document."""
    section = (ROOT / document).read_text("utf-8").partition(heading)[2].partition("\n## ")[0]
    return str(re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[-1])


@pytest.fixture
def policy(tmp_path: pathlib.Path) -> Config:
    """The README's document and a key beside it, as `config check` reads them."""
    text = of("README.md", "## A first policy\n")
    assert len(text.splitlines()) == 12
    (tmp_path / "nodeseal.yaml").write_text(text)
    (tmp_path / "shop.pub").write_bytes(public_pem())
    found = config.read(str(tmp_path), str(tmp_path))
    assert found.config is not None, found.problems
    assert json.dumps([str(each) for each in found.problems]) == "[]"
    return found.config


def answer(policy: Config, registry: Cosigned, name: str) -> Answer:
    """What containerd gets."""
    engine = Engine(
        policy, registry=registry, revocation=Answers(), concurrent=OneByOne(), policies=OnTheSpot(),
        clock=Unhurried(), trace=NoTrace(),
    )  # fmt: skip
    return run(judged(request(name), engine)).answer


def test_what_the_key_signed_passes_and_nothing_else_does(policy: Config) -> None:
    signed, older, strange = Cosigned(), Cosigned(), Cosigned()
    signed.refer(bundle(statement(SUBJECT)))
    older.tag(layer(payload(SUBJECT)))
    strange.refer(bundle(statement(SUBJECT), "P-256", 1))
    name = "registry.example.com/shop/cart:1"
    codes = [answer(policy, registry, name).code.value for registry in (signed, older, strange, Cosigned())]
    assert codes == ["NS-0001", "NS-0001", "NS-2103", "NS-2001"]
    assert answer(policy, Cosigned(), name).exit == 10


def test_what_becomes_of_a_policy_controllers_policy_can_be_used_as_it_stands(tmp_path: pathlib.Path) -> None:
    (tmp_path / "nodeseal.yaml").write_text(of("docs/policy-controller.md", "# Coming from policy-controller\n"))
    (tmp_path / "shop.pub").write_bytes(public_pem())
    (tmp_path / "trusted_root.json").write_text(json.dumps(sigstore.instance().trusted_root()))
    found = config.read(str(tmp_path), str(tmp_path))
    assert (found.problems, found.config is None) == ((), False)


def test_other_images_are_only_noted(policy: Config) -> None:
    found = answer(policy, Cosigned(), "registry.example.com/team/web:1")
    assert (found.exit, found.code.value, found.would) == (0, "NS-2007", 10)
