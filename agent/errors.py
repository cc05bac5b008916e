"""What can go wrong, what it is called, and how the process ends because of it.

This module names things and holds no logic: every other module imports it, it imports nothing of ours.

Exceptions, one root::

    NodesealError                  message: what was got, what was expected, where; optional hint: the next step
    +-- UsageError                 we were called wrongly (arguments, standard input, names)           exit 2
    +-- ConfigurationError         the configuration is wrong; carries every Problem                   exit 3
    +-- HostError                  an operation on this host failed (disk, permissions)                exit 5
    +-- Malformed                  bytes from outside are not what they must be  -> a failed outcome
    |   +-- LimitExceeded          ... because they are more than we take
    |   |   +-- NoRoom             ... in the memory that a process has for it
    |   +-- DigestMismatch         ... because they are not the bytes the digest names
    +-- PolicyFault                a policy came to no answer              -> a denial
    +-- Unavailable                the outside world did not answer; carries its Cause -> an inconclusive outcome
    +-- ApiError                   an API server did not answer as it should; in `agent.cluster.troubles`

"Deny" and "cannot tell" are values (`agent.model.verdict`), never exceptions.  An exception outside this tree is a
bug: it ends in exit code 70 and blocks.

Exit codes: see `Exit`.  Causes of "cannot tell", a closed list: see `Cause`.  Codes in reasons: see `Code`;
`docs/codes.md` has cause, check and remedy for each.
"""

from enum import Enum, IntEnum
from typing import NamedTuple


class Exit(IntEnum):
    """Exit codes of every mode.  1 is never ours: it is what a crash before our code looks like."""

    ALLOW = 0
    USAGE = 2
    CONFIGURATION = 3
    HOST = 5
    DENY = 10
    CANNOT_TELL = 11
    NOT_ENFORCING = 12
    BUG = 70


class Cause(str, Enum):
    """Why we cannot tell.  Only these are subject to a failure policy.

    Nothing that an image's name, its evidence or a registry's content can choose is on this list: such things are
    failed outcomes.  The values are configuration keys and metric labels.
    """

    REGISTRY_UNAVAILABLE = "registryUnavailable"
    UNAUTHORIZED = "unauthorized"
    CREDENTIALS_UNAVAILABLE = "credentialsUnavailable"
    THROTTLED = "throttled"
    REVOCATION_UNKNOWN = "revocationUnknown"
    DEADLINE = "deadline"
    CONFIGURATION_MISSING = "configurationMissing"
    CONFIGURATION_INVALID = "configurationInvalid"
    CONFIGURATION_STALE = "configurationStale"
    CLOCK_IMPLAUSIBLE = "clockImplausible"
    KEY_PROVIDER = "keyProvider"
    TRUST_ROOT_STALE = "trustRootStale"


class Code(str, Enum):
    """Stable codes of reasons: 0 allow, 1 request, 2 denial (21 signature), 3 cannot tell, 9 bug."""

    VERIFIED = "NS-0001"
    NOT_VERIFIED = "NS-0002"
    EXEMPT = "NS-0003"
    ALLOWED_BY_DIGEST = "NS-0004"
    BREAK_GLASS = "NS-0005"

    CANARY = "NS-1001"
    BAD_REQUEST = "NS-1002"

    NO_EVIDENCE = "NS-2001"
    EVIDENCE_MALFORMED = "NS-2002"
    EVIDENCE_DIGEST = "NS-2003"
    EVIDENCE_LIMIT = "NS-2004"
    EVIDENCE_UNSUPPORTED = "NS-2005"
    POLICY_NOT_SATISFIED = "NS-2006"
    NO_RULE = "NS-2007"
    POLICY_FAILED = "NS-2008"
    ON_DENY_LIST = "NS-2009"
    SIGNATURE_INVALID = "NS-2101"
    SIGNATURE_OF_ANOTHER_IMAGE = "NS-2102"
    SIGNER_NOT_TRUSTED = "NS-2103"
    IDENTITY_NOT_TRUSTED = "NS-2104"
    SIGNATURE_EXPIRED = "NS-2105"
    CERTIFICATE_NOT_VALID_NOW = "NS-2106"
    CERTIFICATE_CHAIN_INVALID = "NS-2107"
    NO_TRUST_POLICY = "NS-2108"
    PLUGIN_DEMANDED = "NS-2109"
    TIMESTAMP_INVALID = "NS-2110"
    CERTIFICATE_REVOKED = "NS-2111"
    NO_SIGNATURE = "NS-2112"
    ANNOTATIONS_DIFFER = "NS-2113"
    NOT_LOGGED = "NS-2114"
    PREDICATE_TYPE_DIFFERS = "NS-2115"
    ATTESTATION_TOO_OLD = "NS-2116"
    SIGNER_DENIED = "NS-2117"
    EVIDENCE_UNSIGNED = "NS-2118"
    CONTENT_REFUSED = "NS-2119"

    REGISTRY_UNAVAILABLE = "NS-3001"
    UNAUTHORIZED = "NS-3002"
    THROTTLED = "NS-3003"
    REVOCATION_UNKNOWN = "NS-3004"
    DEADLINE = "NS-3005"
    CONFIGURATION_MISSING = "NS-3006"
    CONFIGURATION_INVALID = "NS-3007"
    CLOCK_IMPLAUSIBLE = "NS-3008"
    CREDENTIALS_UNAVAILABLE = "NS-3009"
    CONFIGURATION_STALE = "NS-3010"
    KEY_PROVIDER = "NS-3011"
    TRUST_ROOT_STALE = "NS-3012"

    BUG = "NS-9001"

    @classmethod
    def of(cls, cause: Cause) -> "Code":
        """The code under which `cause` is reported: the two lists carry the same names."""
        return cls[cause.name]


class NodesealError(Exception):
    """Root of everything we raise on purpose.

    `message` says what was got, what was expected and where; `hint`, if any, is the next step for a person.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep both."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(NodesealError):
    """The caller's arguments, standard input or names are not what the contract says."""


class Problem(NamedTuple):
    """One thing wrong with a configuration.

    `path` is where (document and JSON path), `got` and `expected` are short texts.  A problem whose `fatal` is false
    is a warning.
    """

    path: str
    got: str
    expected: str
    fatal: bool = True

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.path}: got {self.got}; expected {self.expected}"


class ConfigurationError(NodesealError):
    """A configuration that cannot be used.  `problems` holds everything found, not only the first."""

    def __init__(self, message: str, *, problems: tuple[Problem, ...] = (), hint: str = "") -> None:
        """Keep the problems."""
        super().__init__(message, hint=hint)
        self.problems = problems


class HostError(NodesealError):
    """This host refused an operation: a file could not be written, a folder has the wrong owner."""


class Malformed(NodesealError):
    """Bytes from outside are not what they must be.  Becomes a failed outcome, never "cannot tell"."""

    code = Code.EVIDENCE_MALFORMED


class LimitExceeded(Malformed):
    """Bytes from outside are more, longer or deeper than the limit that the message names."""

    code = Code.EVIDENCE_LIMIT


class NoRoom(LimitExceeded):
    """Bytes from outside are more than a process that verifies many images has memory for, even one thing alone.

    Content's own limit like any other, wherever it is met.
    """


class DigestMismatch(Malformed):
    """Content is not what its digest says."""

    code = Code.EVIDENCE_DIGEST


class PolicyFault(NodesealError):
    """A policy that came to no answer: a function in it failed, or it took too long.  A denial, never "cannot tell".

    What it stumbled over, or took so long with, is what it was given: content that others chose.
    """


class Unavailable(NodesealError):
    """Something outside did not answer.  `cause` decides what the failure policy may do about it."""

    def __init__(self, message: str, *, cause: Cause, hint: str = "") -> None:
        """Keep the cause."""
        super().__init__(message, hint=hint)
        self.cause = cause
