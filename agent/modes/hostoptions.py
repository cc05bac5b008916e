"""Options of the commands that look at a host: what its containerd is."""

import argparse


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
