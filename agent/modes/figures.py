"""The daemon's metrics: what each is called, what it says, and how it is read off what the daemon knows.

Pure: what was seen comes in, families go out.  docs/metrics.md has the same table, and a test holds the two together.
No label is an image; labels that a configuration names (rules, verifiers) are bounded where they are counted.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from agent import __version__
from agent.adapters.reconciled import Attempt, Reconciled
from agent.adapters.reconciled import State as Wiring
from agent.cluster.troubles import Trouble
from agent.config.config import Config
from agent.errors import Cause, Unavailable
from agent.model.answer import printable, shortened
from agent.model.counters import OTHER, Labels, cause_of
from agent.model.metrics import Family, Kind, Seen
from agent.modes.survey import Found, Store
from agent.modes.warm import DOOR
from agent.modes.warmstate import State
from agent.rules import age, breakglass
from agent.rules.age import Stage
from agent.rules.breakglass import Moment
from agent.rules.precedence import Standing
from agent.wiring.proof import State as Enforcement

if TYPE_CHECKING:
    from agent.adapters.kube_follow import Progress
    from agent.modes.proofs import Proved

MOST_PROVIDERS = 200
"""Key providers that are told apart; the others are told under `OTHER`."""

_MOST_TEXT = 64
_SHORT = 12  # characters of a generation, as `nodeseal status` shows it
_CONFIGURATION = tuple(each for each in Cause if each.value.startswith("configuration"))
_COUNTER, _GAUGE, _INFO = Kind.COUNTER, Kind.GAUGE, Kind.INFO


class Answered(NamedTuple):
    """What `agent.model.counters.Counters` counts, at a moment."""

    answers: Mapping[Labels, int]
    decisions: Mapping[str, int]
    causes: Mapping[str, int]
    stale: int
    would_deny: int
    gaps: int
    losses: int


class Working(NamedTuple):
    """What the daemon does, at a moment; `refused` are connections to its own socket."""

    pulls: Mapping[str, int]
    latency: Seen
    running: int
    waiting: int
    refused: int
    cut_off: int
    ahead_waiting: int
    ahead_done: int
    ahead_dropped: int
    lines_dropped: int
    bugs: Mapping[str, int]
    is_ready: bool


class Following(NamedTuple):
    """How an API server is followed; `progress` is None before that has begun.

    `secrets` is how many of those that the configuration names are in which state; `pods` is how the node's are
    followed, None before that has begun, and `wants_pods` whether they are to be.
    """

    progress: "Progress | None"
    accepted: int
    quarantined: int
    events_dropped: int
    secrets: Mapping[str, int]
    wants_pods: bool
    pods: "Progress | None"


class Proving(NamedTuple):
    """What canaries proved, and how often what."""

    proved: "Proved"
    counts: Mapping[Enforcement, int]


class Sight(NamedTuple):
    """All that was seen: `state` is None if it can't be read now, `since` when what is in force was put there.

    `standing` is what holds now.  `is_refused` is whether the folder's newest configuration can't be used, None if no
    folder is followed; `proving` is None where no canary is pulled, `wiring` where nobody keeps the node wired up.
    """

    now: Moment
    answered: Answered
    working: Working
    found: Found
    state: State | None
    since: datetime | None
    is_refused: bool | None
    following: Following | None
    standing: Standing | None = None
    proving: Proving | None = None
    wiring: Reconciled | None = None


def families(sight: Sight) -> Iterator[Family]:
    """All metrics, also those that have no sample now."""
    yield Family("nodeseal_build", _INFO, "The program's version.", ("version",), {(__version__,): 1})
    yield from _of_enforcement(sight.proving)
    yield from _of_wiring(sight.wiring, sight.now)
    yield from _of_answers(sight.answered)
    yield from _of_work(sight.working)
    yield from _of_configuration(sight)
    yield from _of_age(sight.standing)
    yield from _of_break_glass(sight)
    yield from _of_survey(sight.found)
    yield from _of_cluster(sight.following)


def _one(name: str, kind: Kind, text: str, value: float | None) -> Family:
    return Family(name, kind, text, (), {} if value is None else {(): value})


def _by(name: str, kind: Kind, text: str, label: str, values: Mapping[str, float]) -> Family:
    return Family(name, kind, text, (label,), {(key,): value for key, value in values.items()})


def _of_enforcement(seen: Proving | None) -> Iterator[Family]:
    proved = seen.proved if seen else None
    states = {each.value: float(each is proved.proof.state) for each in Enforcement} if proved else {}
    text = "Whether containerd asks us before it pulls, as the last canary proved: 1 for the state that it is."
    yield _by("nodeseal_enforcing", _GAUGE, text, "state", states)
    text = "When a canary last proved that images are verified."
    success = proved.success if proved else None
    yield _one("nodeseal_enforcing_last_success_timestamp_seconds", _GAUGE, text, success)
    text = "When a canary was last pulled, whatever it proved."
    yield _one("nodeseal_enforcing_last_proof_timestamp_seconds", _GAUGE, text, proved.last if proved else None)
    counts = {each.value: float(seen.counts.get(each, 0)) for each in Enforcement} if seen else {}
    yield _by("nodeseal_canaries", _COUNTER, "Canaries, by what they proved.", "state", counts)


def _of_wiring(told: Reconciled | None, now: Moment) -> Iterator[Family]:
    """What is out of date has no sample, but for when it was last looked."""
    recent = told if told is not None and told.is_recent(now.wall.timestamp()) else None
    states = {each.value: float(each.value == recent.state) for each in Wiring} if recent else {}
    text = "How containerd's wiring stands, as install --reconcile says: 1 for the state that it is."
    yield _by("nodeseal_wiring", _GAUGE, text, "state", states)
    text = "When install --reconcile last looked at the node."
    yield _one("nodeseal_wiring_last_look_timestamp_seconds", _GAUGE, text, told.looked if told else None)
    text = "Files that somebody else writes again and again, and install --reconcile mends."
    yield _one("nodeseal_wiring_contested_files", _GAUGE, text, len(recent.contested) if recent else None)
    counts = {each.value: float(recent.attempts.get(each.value, 0)) for each in Attempt} if recent else {}
    text = "Attempts of install --reconcile to mend the node, by what they came to."
    yield _by("nodeseal_wiring_attempts", _COUNTER, text, "outcome", counts)


def _of_answers(seen: Answered) -> Iterator[Family]:
    yield Family(
        "nodeseal_answers",
        _COUNTER,
        "Answers to containerd, by door, decision, ground (empty if blocked), code, cause of cannot tell, and rule.",
        ("door", "decision", "ground", "code", "cause", "rule"),
        {
            (each.door, each.decision, each.ground, each.code, cause_of(each.code), each.rule): count
            for each, count in sorted(seen.answers.items())
        },
    )
    yield _by("nodeseal_decisions", _COUNTER, "Answers to containerd, by decision alone.", "decision", seen.decisions)
    yield _by(
        "nodeseal_cannot_tell_answers",
        _COUNTER,
        "Answers that rest on cannot tell, blocked or not, by cause.",
        "cause",
        seen.causes,
    )
    stale = "Answers that let an image pass because it was verified before, while nobody could tell."
    yield _one("nodeseal_stale_answers", _COUNTER, stale, seen.stale)
    audit = "Answers that let an image pass because its rule only audits."
    yield _one("nodeseal_would_deny_answers", _COUNTER, audit, seen.would_deny)
    gaps = "Lines of the spool that could not be read."
    yield _one("nodeseal_spool_unreadable_lines", _COUNTER, gaps, seen.gaps)
    losses = "Times at which lines of the spool were gone before they were read."
    yield _one("nodeseal_spool_losses", _COUNTER, losses, seen.losses)


def _of_work(seen: Working) -> Iterator[Family]:
    yield Family(
        "nodeseal_pull_duration_seconds",
        Kind.HISTOGRAM,
        "Time from a pull's question to its answer, by door.",
        ("door",),
        seen={(DOOR,): seen.latency},
    )
    how = "Pulls that the daemon was asked about, by how it came to its answer."
    yield _by("nodeseal_daemon_pulls", _COUNTER, how, "how", seen.pulls)
    running = "Verifications under way."
    yield _one("nodeseal_verifications_running", _GAUGE, running, seen.running)
    yield _one("nodeseal_verifications_waiting", _GAUGE, "Pulls that wait for their turn to be verified.", seen.waiting)
    refused = "Connections to the daemon's socket that were sent away."
    yield _one("nodeseal_connections_refused", _COUNTER, refused, seen.refused)
    cut = "Connections to the metrics' own port that were closed before their end, because they were slow or too many."
    yield _one("nodeseal_metrics_connections_cut_off", _COUNTER, cut, seen.cut_off)
    yield _one("nodeseal_ahead_waiting", _GAUGE, "Images that wait to be verified ahead of pulls.", seen.ahead_waiting)
    yield _one("nodeseal_ahead_done", _COUNTER, "Images that were looked at ahead of pulls.", seen.ahead_done)
    dropped = "Images that were not verified ahead of pulls because too many waited."
    yield _one("nodeseal_ahead_dropped", _COUNTER, dropped, seen.ahead_dropped)
    lines = "Lines that the daemon's log could not be told."
    yield _one("nodeseal_log_lines_dropped", _COUNTER, lines, seen.lines_dropped)
    bugs = {"Exception": 0, **seen.bugs}  # of something, so that a sum is there before the first one
    yield _by("nodeseal_bugs", _COUNTER, "Exceptions that nobody foresaw, by kind.", "kind", bugs)
    ready = "Whether a configuration is loaded and the daemon's socket answers."
    yield _one("nodeseal_ready", _GAUGE, ready, seen.is_ready)


def _of_configuration(sight: Sight) -> Iterator[Family]:
    found = sight.state.node.config if sight.state else None
    config = found if isinstance(found, Config) else None
    generation: dict[tuple[str, ...], float] = {} if config is None else {(config.generation[:_SHORT],): 1}
    text = "The configuration in force, by the beginning of its generation."
    yield Family("nodeseal_configuration", _INFO, text, ("generation",), generation)
    since = None if sight.since is None or config is None else sight.since.timestamp()
    text = "When the configuration in force was put there."
    yield _one("nodeseal_configuration_in_force_timestamp_seconds", _GAUGE, text, since)
    age = None if since is None else max(sight.now.wall.timestamp() - since, 0.0)
    text = "For how long the configuration in force has been that."
    yield _one("nodeseal_configuration_age_seconds", _GAUGE, text, age)
    text = "How old a complete list of the cluster's ConfigMaps may become: maxSnapshotAge."
    greatest = None if config is None else config.ruleset.greatest_age
    yield _one("nodeseal_configuration_max_age_seconds", _GAUGE, text, greatest)
    cause = found.cause if isinstance(found, Unavailable) else None
    text = "Whether there is no configuration to verify with, by cause."
    troubles = {each.value: float(each is cause) for each in _CONFIGURATION} if found else {}
    yield _by("nodeseal_configuration_trouble", _GAUGE, text, "cause", troubles)
    text = "Whether the newest configuration of the folder that is followed can't be used."
    yield _one("nodeseal_configuration_refused", _GAUGE, text, sight.is_refused)
    rules = None if config is None else len(config.rules)
    yield _one("nodeseal_configuration_rules", _GAUGE, "Rules of the configuration in force.", rules)


def _of_age(standing: Standing | None) -> Iterator[Family]:
    left = age.left(standing) if standing else None
    stages = {}
    if standing and left is not None:
        stages = {each.name.lower(): float(each is age.stage(standing)) for each in Stage}
    text = "How far the cluster's configuration is on its way to being too old: 1 for where it is."
    yield _by("nodeseal_configuration_stage", _GAUGE, text, "stage", stages)
    text = "For how long the cluster's configuration still counts, unless the API server confirms it."
    yield _one("nodeseal_configuration_left_seconds", _GAUGE, text, None if left is None else max(left, 0.0))
    kept, keys_left = dict[str, float](), dict[str, float]()
    for used in sorted({used for rule in standing.ruleset.rules for used in rule.keys}) if standing else ():
        name = shortened(printable(used.name), _MOST_TEXT)
        name = name if name in kept or len(kept) < MOST_PROVIDERS else OTHER
        seconds = max(age.keys_left(used, standing), 0.0) if standing else 0.0
        if seconds <= keys_left.get(name, seconds):
            keys_left[name], kept[name] = seconds, used.keep_for
    text = "For how long fetched keys still count, unless they are fetched again, by key provider."
    yield _by("nodeseal_fetched_keys_left_seconds", _GAUGE, text, "provider", keys_left)
    text = "For how long fetched keys count after they were fetched, by key provider."
    yield _by("nodeseal_fetched_keys_kept_seconds", _GAUGE, text, "provider", kept)


def _of_break_glass(sight: Sight) -> Iterator[Family]:
    live = []
    if sight.state is not None:
        standing = sight.state.node.standing
        live = [each for each in standing.all_break_glass() if not breakglass.ended(each, sight.now, standing.floor)]
    yield _one("nodeseal_break_glass_live", _GAUGE, "Break-glass entries that let images pass now.", len(live))
    begin = min((each.since.wall.timestamp() for each in live), default=None)
    text = "When the oldest break-glass began that lets images pass now."
    yield _one("nodeseal_break_glass_begin_timestamp_seconds", _GAUGE, text, begin)
    end = max((each.until.timestamp() for each in live), default=None)
    text = "When the last break-glass ends that lets images pass now."
    yield _one("nodeseal_break_glass_end_timestamp_seconds", _GAUGE, text, end)


def _of_survey(found: Found) -> Iterator[Family]:
    text = "Certificates and public keys that the configuration in force trusts."
    yield _one("nodeseal_trusted_certificates", _GAUGE, text, found.certificates)
    yield Family(
        "nodeseal_trusted_certificate_end_timestamp_seconds",
        _GAUGE,
        "When the first certificate ends that is trusted, by what for, document, verifier or store, and trust store.",
        Store._fields,
        {tuple(store): end for store, end in found.ends.items()},
    )
    fetched, trouble = dict[str, float](), dict[str, float]()
    for each in found.roots:  # of several with one name, the worst
        name = shortened(printable(each.name), _MOST_TEXT)
        name = name if name in fetched or len(fetched) < MOST_PROVIDERS else OTHER
        at = each.fetched or 0.0
        fetched[name] = min(at, fetched.get(name, at))
        trouble[name] = max(float(bool(each.trouble)), trouble.get(name, 0.0))
    text = "When a trusted root that is fetched was last found to be the newest, by its name; 0 for never."
    yield _by("nodeseal_trusted_root_fetched_timestamp_seconds", _GAUGE, text, "trusted_root", fetched)
    text = "Whether a trusted root could not be fetched when it was last tried, by its name."
    yield _by("nodeseal_trusted_root_trouble", _GAUGE, text, "trusted_root", trouble)
    text = "When the caches were last looked at: once a minute."
    yield _one("nodeseal_cache_survey_timestamp_seconds", _GAUGE, text, found.at)
    files = {store: float(size.files) for store, size in found.sizes.items()}
    yield _by("nodeseal_cache_files", _GAUGE, "Files of a store.", "store", files)
    sizes = {store: float(size.bytes) for store, size in found.sizes.items()}
    yield _by("nodeseal_cache_bytes", _GAUGE, "Bytes of a store.", "store", sizes)
    yield Family(
        "nodeseal_cache_misses",
        _GAUGE,
        "Entries of a store that were there and not believed, by reason, as far back as they are noted.",
        ("store", "reason"),
        {(store, reason): n for store, reasons in found.misses.items() for reason, n in reasons.items()},
    )


def _of_cluster(following: Following | None) -> Iterator[Family]:
    progress = following.progress if following else None
    text = "Whether ConfigMaps of a cluster are followed."
    yield _one("nodeseal_cluster_followed", _GAUGE, text, following is not None)
    complete = None
    if progress and progress.last_complete:
        complete = progress.last_complete.wall.astimezone(timezone.utc).timestamp()
    text = "When the ConfigMaps of the cluster were last known completely."
    yield _one("nodeseal_cluster_last_complete_timestamp_seconds", _GAUGE, text, complete)
    objects = progress.objects if progress else None
    yield _one("nodeseal_cluster_objects", _GAUGE, "ConfigMaps that are followed.", objects)
    lists = progress.lists if progress else None
    yield _one("nodeseal_cluster_lists", _COUNTER, "Complete lists of the API server.", lists)
    watches = progress.watches if progress else None
    yield _one("nodeseal_cluster_watches", _COUNTER, "Watches that the API server was asked for.", watches)
    failures = {each.value: float(progress.failures.get(each.value, 0)) for each in Trouble} if progress else {}
    text = "Requests to the API server that failed, by trouble."
    yield _by("nodeseal_cluster_failures", _COUNTER, text, "trouble", failures)
    trouble = float(bool(progress.trouble)) if progress else None
    text = "Whether the last request to the API server failed."
    yield _one("nodeseal_cluster_trouble", _GAUGE, text, trouble)
    documents: dict[str, float] = {}
    if following:
        documents = {"accepted": following.accepted, "quarantined": following.quarantined}
    text = "Documents of the cluster: in force in their newest version, or quarantined."
    yield _by("nodeseal_cluster_documents", _GAUGE, text, "state", documents)
    dropped = following.events_dropped if following else None
    text = "Events on ConfigMaps that were too many to be written."
    yield _one("nodeseal_cluster_events_dropped", _COUNTER, text, dropped)
    text = "Secrets that the configuration names: in use, not heard of yet, or of no use."
    yield _by("nodeseal_secrets", _GAUGE, text, "state", following.secrets if following else {})
    wanted = following.wants_pods if following else None
    yield _one("nodeseal_pods_followed", _GAUGE, "Whether this node's pods are followed.", wanted)
    pods = following.pods if following else None
    yield _one("nodeseal_pods", _GAUGE, "Pods of this node that are followed.", pods.objects if pods else None)
    text = "Whether this node's pods can't be followed: their images are verified when they are pulled."
    yield _one("nodeseal_pods_trouble", _GAUGE, text, float(bool(pods.trouble)) if pods else None)
