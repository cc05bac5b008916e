"""What a pull can meet, one row each: what lies on the node and in the registry, and what must come of it.

A row added to `SCENARIOS` is asked at all three of the child's doors (`test_doors`).
"""

import re
from contextlib import nullcontext
from typing import NamedTuple

from agent.adapters import nodestate
from agent.model.manifest import IMAGE_INDEX
from tests.frozen import cosigned
from tests.frozen.arranging import (
    DENIED,
    Arranged,
    Before,
    answering,
    asking_for_a_token,
    bootstrap,
    break_glass,
    configured,
    credentials,
    damaged,
    denied_after_it_was_verified,
    down_after_it_was_verified,
    forgetful_while_it_goes,
    forgetful_without_staleness,
    out_of_date,
    out_of_date_after_it_was_verified,
    together,
    unsafe_program,
    with_file,
    with_old_keys,
    without_configuration,
    writable,
)
from tests.frozen.world import (
    DAEMON,
    ENDED,
    GOOD,
    PLUGIN,
    REVOKED,
    SIGNED,
    STRANGER,
    TAMPERED,
    UNKNOWN,
    UNSIGNED,
    Pull,
    World,
    pull_of,
)
from tests.simulators import misbehaviour
from tests.simulators.authentication import PASSWORD

_CONFUSED = "{"
_SECONDS = r"more than [0-9.]+ s"
"""How long an evaluation took: as long as a full machine leaves it."""

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Scenario(NamedTuple):
    """A pull of an image of its own.

    `under` is the rule or list that its repository falls under; `arranged` is how node and registry are meanwhile;
    `before` happens before each first question; `door` is who answers where there is a daemon, and `kept` is whether
    the same is answered again without asking anybody.  `varies` is what of the line may differ from one question to the
    next, where it is not times; `times` is how often it is asked in a row.
    """

    name: str
    exit: int
    code: str
    kind: str = SIGNED
    under: str = "case"
    arranged: Arranged = lambda _: nullcontext()
    before: Before = lambda _, __: None
    door: str = DAEMON
    kept: bool = True
    varies: str = _TIME
    times: int = 2

    def constant(self, text: str) -> str:
        """What of a line is the same each time."""
        return re.sub(self.varies, "...", text)

    def pull(self, world: World) -> Pull:
        """The pull; its image is pushed when this is called."""
        repository = f"{self.under}/{'-'.join(''.join(c if c.isalnum() else ' ' for c in self.name.lower()).split())}"
        if self.under == "allow":
            return pull_of(world, "allow/image", world.allowed)
        return pull_of(world, repository, world.image(repository, self.kind))


DOWN = answering(misbehaviour.status(503))
GLASS_FILE, BOOTSTRAP = nodestate.BREAK_GLASS, nodestate.BOOTSTRAP
LENIENT = bootstrap(floor={"failurePolicy": {"revocationUnknown": "Ignore", "configurationInvalid": "Ignore"}})

SCENARIOS = (
    # What verification comes to.
    Scenario("signed", 0, "NS-0001"),
    Scenario("unsigned", 10, "NS-2001", UNSIGNED),
    Scenario("signed by somebody else", 10, "NS-2103", STRANGER),
    Scenario("signature of another image", 10, "NS-2102", TAMPERED),
    Scenario("signature that has ended", 10, "NS-2105", ENDED),
    Scenario("signed by cosign", 0, "NS-0001", cosigned.COSIGNED, "cosign"),
    Scenario("signed by cosign under a tag", 0, "NS-0001", cosigned.COSIGNED_TAG, "cosign"),
    Scenario("signed by cosign and a stranger", 10, "NS-2103", cosigned.COSIGNED_BY_STRANGER, "cosign"),
    Scenario("signed by cosign and denied since", 10, "NS-2117", cosigned.COSIGNED, "cosign",
             configured(denySigners=DENIED), denied_after_it_was_verified),
    Scenario("attested by cosign", 10, "NS-2112", cosigned.ATTESTED, "cosign"),
    Scenario("unsigned where cosign must sign", 10, "NS-2001", UNSIGNED, "cosign"),
    Scenario("signed by cosign alone where both must sign", 10, "NS-2006", cosigned.COSIGNED, "both"),
    Scenario("signed by one where two must sign", 10, "NS-2006", cosigned.COSIGNED, "two"),
    Scenario("signed by both who must sign", 0, "NS-0001", cosigned.COSIGNED_BY_TWO, "two"),
    Scenario("signed by an identity", 0, "NS-0001", cosigned.BY_IDENTITY, "release"),
    Scenario("signed by another identity", 10, "NS-2104", cosigned.BY_ANOTHER, "release"),
    Scenario("signed before the trusted root ended", 0, "NS-0001", cosigned.LONG_AGO, "aged"),
    Scenario("logged where an ended trusted root knows nothing", 11, "NS-3012", cosigned.IN_A_NEWER_LOG, "aged",
             door=PLUGIN),
    Scenario("logged where it knows nothing, and ignored", 11, "NS-3012", cosigned.IN_A_NEWER_LOG, "aged-ignore",
             door=PLUGIN),
    Scenario("logged where a trusted root of today knows nothing", 10, "NS-2114", cosigned.IN_A_NEWER_LOG, "release"),
    Scenario("tag that nobody answers for", 11, "NS-3001", UNSIGNED, "cosign",
             answering(misbehaviour.status(503), "tag"), door=PLUGIN),
    Scenario("certificate that is not revoked", 0, "NS-0001", GOOD),
    Scenario("certificate that is revoked", 10, "NS-2111", REVOKED, kept=False),  # what was said before it is in doubt
    Scenario("responder that does not know", 11, "NS-3004", UNKNOWN, door=PLUGIN),
    Scenario("registry that asks for a token", 0, "NS-0001", arranged=asking_for_a_token),
    Scenario("manifest that is not its digest", 10, "NS-2003",
             arranged=answering(misbehaviour.other_content(b"{}"), "manifest")),
    Scenario("listing that is no JSON", 10, "NS-2002",
             arranged=answering(misbehaviour.other_content(b"{", IMAGE_INDEX), "referrers")),
    # Rules.
    Scenario("audited", 0, "NS-2001", UNSIGNED, "audit"),
    Scenario("disabled", 0, "NS-0002", UNSIGNED, "disabled"),
    Scenario("without evidence where that is enough", 0, "NS-0002", UNSIGNED, "without"),
    Scenario("Rego that is content", 0, "NS-0001", SIGNED, "rego"),
    Scenario("Rego that is not", 10, "NS-2001", UNSIGNED, "rego"),
    Scenario("Rego without end", 10, "NS-2008", SIGNED, "endless", varies=_SECONDS),
    Scenario("no rule", 10, "NS-2007", under="elsewhere"),
    # Lists.
    Scenario("on the deny list", 10, "NS-2009", under="deny"),
    Scenario("on the allow list", 0, "NS-0004", under="allow"),
    Scenario("exempt", 0, "NS-0003", UNSIGNED, "exempt"),
    Scenario("on a deny list that grew", 10, "NS-2009", arranged=lambda world: configured(
             deny=[f"{world.registry.host}/case/**"])(world)),
    # Break-glass.
    Scenario("break-glass of the configuration", 0, "NS-0005", UNSIGNED, "glass", kept=False),
    Scenario("break-glass of the node", 0, "NS-0005", UNSIGNED, arranged=break_glass("case/**"), kept=False),
    Scenario("break-glass that is no JSON", 10, "NS-2001", UNSIGNED, arranged=with_file(GLASS_FILE, _CONFUSED)),
    Scenario("break-glass and the deny list", 10, "NS-2009", under="deny", arranged=break_glass("case/**")),
    # What does not answer.
    Scenario("registry away", 11, "NS-3001", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and audited", 0, "NS-3001", under="audit", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and ignored", 0, "NS-3001", under="ignore", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and never verified", 11, "NS-3001", under="before", arranged=DOWN, door=PLUGIN),
    Scenario("registry away and stale", 0, "NS-3001", arranged=forgetful_while_it_goes,
             before=down_after_it_was_verified, door=PLUGIN, kept=False),
    Scenario("registry away and verified before", 0, "NS-3001", under="before", arranged=forgetful_without_staleness,
             before=down_after_it_was_verified, door=PLUGIN, kept=False),
    Scenario("registry that throttles", 11, "NS-3003", arranged=answering(misbehaviour.status(429))),
    Scenario("registry that knows nobody", 11, "NS-3002", arranged=answering(misbehaviour.status(401)), door=PLUGIN),
    Scenario("registry that is closed", 0, "NS-0001", arranged=credentials(PASSWORD)),
    Scenario("registry that is closed to us", 11, "NS-3002", arranged=credentials("wrong"), door=PLUGIN),
    Scenario("registry that says nothing", 11, "NS-3005", arranged=answering(misbehaviour.silence, "referrers"),
             kept=False, varies="deadline: .*; see", times=1),  # who waits gives up before who asks
    # What the node has.
    Scenario("no configuration", 11, "NS-3006", arranged=without_configuration, door=PLUGIN, kept=False),
    Scenario("no configuration, and a lenient start", 0, "NS-3006", door=PLUGIN, kept=False,
             arranged=together(without_configuration, bootstrap(untilFirstSnapshot="Audit"))),
    Scenario("damaged snapshot", 11, "NS-3006", arranged=damaged, door=PLUGIN, kept=False),
    Scenario("damaged snapshot and ignored", 0, "NS-3006", under="ignore", arranged=damaged, door=PLUGIN, kept=False),
    Scenario("damaged snapshot and the deny list", 10, "NS-2009", under="deny", arranged=damaged),
    Scenario("configuration out of date", 11, "NS-3010", arranged=out_of_date(0), kept=False),
    Scenario("configuration out of date soon", 0, "NS-0001", arranged=out_of_date(1000)),
    Scenario("configuration out of date and ignored", 11, "NS-3010", under="ignore", arranged=out_of_date(0),
             kept=False),
    Scenario("configuration out of date and audited", 0, "NS-3010", under="audit", arranged=out_of_date(0), kept=False),
    Scenario("configuration out of date and verified before", 0, "NS-3010", under="before", arranged=out_of_date(0),
             before=out_of_date_after_it_was_verified, kept=False),
    Scenario("configuration out of date and verified before, all the same", 11, "NS-3010", arranged=out_of_date(0),
             before=out_of_date_after_it_was_verified, kept=False),
    Scenario("configuration out of date and disabled", 0, "NS-0002", UNSIGNED, "disabled", out_of_date(0)),
    Scenario("configuration out of date and no rule", 10, "NS-2007", under="elsewhere", arranged=out_of_date(0)),
    Scenario("configuration out of date and the deny list", 10, "NS-2009", under="deny", arranged=out_of_date(0)),
    Scenario("keys that were not fetched for long", 11, "NS-3011", arranged=with_old_keys, kept=False),
    Scenario("keys that were not fetched for long, ignored", 11, "NS-3011", under="ignore", arranged=with_old_keys,
             kept=False),
    Scenario("snapshots that others may write", 11, "NS-3007", arranged=writable, door=PLUGIN, kept=False),
    Scenario("program that others may write", 11, "NS-3007", arranged=unsafe_program, door="", kept=False),
    Scenario("floor that enforces", 10, "NS-2001", UNSIGNED, "audit", bootstrap(floor={"enforcement": "Enforce"})),
    Scenario("floor that lets be ignored", 0, "NS-3004", UNKNOWN, "ignore", door=PLUGIN, arranged=together(LENIENT,
             configured())),
    Scenario("bootstrap that is no JSON", 10, "NS-2001", UNSIGNED, "disabled", with_file(BOOTSTRAP, _CONFUSED)),
    Scenario("bootstrap that others may write", 10, "NS-2001", UNSIGNED, "disabled",
             with_file(BOOTSTRAP, '{"apiVersion": "nodeseal.dev/v1alpha1"}', 0o666)),
)  # fmt: skip
