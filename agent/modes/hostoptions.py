"""Options of the commands that look at a host: what its containerd is."""

import argparse

from agent.errors import UsageError


def add_containerd_options(parser: argparse.ArgumentParser) -> None:
    """Where containerd's configuration and socket are, if they can't be found."""
    parser.add_argument(
        "--containerd-config",
        metavar="FILE",
        default="",
        help="containerd's main configuration file, as a path of the host (default: what the running one was told)",
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default="",
        help="socket that the kubelet asks, as a path of the host (default: the usual ones, in turn)",
    )


def add_canary_port(parser: argparse.ArgumentParser) -> None:
    """Where the canary is pulled from, for hosts whose hosts.toml files send all pulls elsewhere."""
    parser.add_argument(
        "--canary-port",
        metavar="PORT",
        type=int,
        default=0,
        help="where on 127.0.0.1 the canary is pulled from (default: any port that is free)",
    )


def canary_port(options: argparse.Namespace) -> int:
    """The port that was asked for, 0 for any.  Raises `UsageError`."""
    port: int = options.canary_port
    if not 0 <= port < 65536:
        raise UsageError(f"--canary-port: got {port}; expected a number below 65536")
    return port
