"""A long way to the node's registry: `python delay.py MILLISECONDS`, in the node's network, to the end of its input.

Makes a network interface whose far end is this process.  A packet to `FAR` waits, and comes back as one from `FAR` to
`NEAR`: addresses swapped, which leaves every checksum right, so both ends are the kernel's own TCP, and whatever
listens on all addresses is reached.  Each direction takes MILLISECONDS, the handshake's too, as on a real network;
nothing is lost, nothing is slow but the way.  Prints "ready".  Standard library only.
"""

import fcntl
import os
import select
import socket
import struct
import sys
import time
from collections import deque

NEAR, FAR = "10.90.0.1", "10.90.0.2"
"""Addresses of the two ends."""

_NAME = b"delay0"
_MTU = 65535
_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFDSTADDR, _SIOCSIFMTU = 0x8914, 0x8916, 0x8918, 0x8922
_UP_AND_RUNNING = 0x1 | 0x40


def interface() -> int:
    """Make the interface and give it its addresses; its far end."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH14x", _NAME, _TUN_WITHOUT_HEADER))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, address in ((_SIOCSIFADDR, NEAR), (_SIOCSIFDSTADDR, FAR)):
            packed = struct.pack("16sH2x4s8x", _NAME, socket.AF_INET, socket.inet_aton(address))
            fcntl.ioctl(control, request, packed)
        fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si12x", _NAME, 1500))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", _NAME, _UP_AND_RUNNING))
    return device


def carry(device: int, seconds: float) -> None:
    """Send each packet back, `seconds` after it came, until standard input ends."""
    waiting: deque[tuple[float, bytes]] = deque()
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable = select.select([device, 0], [], [], left)[0]
        if 0 in readable and not os.read(0, 1):
            return
        if device in readable:
            packet = os.read(device, _MTU)
            if packet[0] >> 4 == 4:  # the kernel talks IPv6 to any new interface
                waiting.append((time.monotonic() + seconds, packet[:12] + packet[16:20] + packet[12:16] + packet[20:]))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(device, waiting.popleft()[1])


if __name__ == "__main__":
    end = interface()
    print("ready", flush=True)
    carry(end, float(sys.argv[1]) / 1000)
