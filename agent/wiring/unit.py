"""The daemon's systemd unit, for hosts without Kubernetes: what is written, where, and what it may do.

uid 0, because containerd's child believes a socket of its own user alone, and of that user's powers none: every
directive of systemd.exec(5) with which the daemon still does its work.  Not among them, and why: `PrivateUsers`, for
hosts that allow no user namespaces; `PrivateNetwork` and `IPAddressDeny`, since registries are anywhere;
`ProcSubset=pid`, since `/proc/sys/kernel/random/boot_id` tells one boot from another.

It is ordered before containerd, so that it is warm when the first pull comes, and containerd neither wants nor requires
it: whether it starts, fails, or is not there, containerd starts.  It waits for no network, or containerd would too.

https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
"""

from typing import NamedTuple

from agent.errors import UsageError

NAME = "nodeseal.service"
FOLDER = "/etc/systemd/system"
PATH = f"{FOLDER}/{NAME}"
WANTED = f"{FOLDER}/multi-user.target.wants/{NAME}"
"""The link that has it started at boot: what `systemctl enable` would make."""

OTHER_PLACES = tuple(
    f"{folder}/{NAME}"
    for folder in (
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    )
)
"""Where systemd looks for it, too: one there would be somebody else's, and ours would hide it."""

MEMORY = "256M"
"""As for its pod: what the daemon divides among all that images bring (docs/performance.md, "Memory")."""

DESCRIPTORS = 4096
_TASKS = 256  # 32 writes beside the loop, 40 threads of its own, and processes of policies
_LONGEST = 4096  # bytes of a path, PATH_MAX of Linux

_HIDDEN = ("/dev", "/proc", "/sys", "/tmp", "/var/tmp")  # noqa: S108 - what a unit has of its own, or can't see
_SPECIAL = frozenset(" \"'\\%;#")
_HOMES = ("/home", "/root", "/run/user")


class Daemon(NamedTuple):
    """What the unit runs.

    `program` is the executable; `configuration` the folder or file that it keeps in force, empty for none; `socket` the
    container runtime's, empty for the first of the usual ones that is there; `before` the unit that runs containerd,
    empty if nobody knows; `root` what the daemon's own folders are under; `port` the canary's, 0 for any.
    """

    program: str
    configuration: str = ""
    socket: str = ""
    before: str = ""
    root: str = "/"
    port: int = 0


def refuse_hidden(configuration: str) -> None:
    """Raises `UsageError` for a configuration that the unit would not see, or whose path can't stand in one."""
    if not configuration.startswith("/") or not configuration.isprintable() or len(configuration) > _LONGEST:
        raise UsageError(f"--config: got {ascii(configuration)[:200]}; expected an absolute path, printable")
    if any(_is_below(configuration, folder) for folder in _HIDDEN):
        raise UsageError(
            f"--config: got {configuration}, which the daemon does not see: it has a /tmp and a /dev of its own; "
            "expected a folder elsewhere, such as /etc/nodeseal/config"
        )


def content(daemon: Daemon) -> bytes:
    """The unit file."""
    words = [daemon.program, "watch", *(["--root", daemon.root] if daemon.root != "/" else [])]
    words += ["--config", daemon.configuration] if daemon.configuration else []
    words += ["--prove", *(["--cri-socket", daemon.socket] if daemon.socket else [])]
    words += ["--canary-port", str(daemon.port)] if daemon.port else []
    root = daemon.root.rstrip("/")
    kept = [f"{root}/{folder}" for folder in ("var/lib/nodeseal", "var/cache/nodeseal", "var/log/nodeseal")]
    homes = any(_is_below(path, home) for path in (daemon.program, daemon.configuration, root) for home in _HOMES)
    lines = [
        "# Written by nodeseal install --systemd, and again by the next one: changes belong into a drop-in,",
        f"# systemctl edit {NAME}. nodeseal uninstall removes it.",
        "[Unit]",
        "Description=Nodeseal, which verifies images before containerd pulls them",
        *([f"Before={daemon.before}"] if daemon.before else []),
        "# However often it fails: pulls do without it meanwhile.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(_quoted(word).replace('$', '$$') for word in words)}",
        "Restart=always",
        "RestartSec=5",
        "# What the command line says will be as wrong next time.",
        "RestartPreventExitStatus=2",
        "TimeoutStopSec=30",
        "Nice=-5",
        f"LimitNOFILE={DESCRIPTORS}",
        f"MemoryMax={MEMORY}",
        "# Of what takes too much, that process ends: a policy that is evaluated, and not the daemon with it.",
        "OOMPolicy=continue",
        f"TasksMax={_TASKS}",
        "",
        "# Its folders, made where they are missing, and the only ones that it writes.",
        *_folders(root, kept),
        "UMask=0077",
        "",
        *_HARDENING,
        f"ProtectHome={'read-only' if homes else 'yes'}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return ("\n".join(lines) + "\n").encode()


_HARDENING = (
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "# systemd 252 leaves it writable otherwise, with the folder of its own units in it.",
    "ReadOnlyPaths=/run",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "DevicePolicy=closed",
    "PrivateIPC=yes",
    "PrivateMounts=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "KeyringMode=private",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "# Registries, the runtime's socket, and netlink, by which the C library sorts addresses.",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
    "# Whoever speaks to the service manager as root may do anything; the daemon has nothing to say to it.",
    "InaccessiblePaths=-/run/systemd/private -/run/dbus",
)


def _folders(root: str, kept: list[str]) -> list[str]:
    """systemd makes its own kinds of folders below "/" alone; elsewhere they were made by who chose that root."""
    if root:
        return [f"ReadWritePaths={' '.join(map(_quoted, [*kept, f'{root}/run/nodeseal']))}"]
    made = []
    for kind in ("StateDirectory", "CacheDirectory", "LogsDirectory", "RuntimeDirectory"):
        made += [f"{kind}=nodeseal", f"{kind}Mode=0700"]
    return [*made, "RuntimeDirectoryPreserve=yes", f"ReadWritePaths={' '.join([*kept, '/run/nodeseal'])}"]


def _quoted(word: str) -> str:
    """One word of a list, whatever is in it: quotes and `%` are systemd's (systemd.syntax(7))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if set(word) & _SPECIAL else word


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
