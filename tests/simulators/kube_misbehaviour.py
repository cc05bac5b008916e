"""What API servers, and what stands before them, do on a bad day; for `KubeSimulator.behave`."""

import json

from tests.simulators.kube import Behaviour, Handler


def as_usual(handler: Handler) -> bool:
    """Nothing wrong this time."""
    return False


def status(code: int, message: str = "no", **headers: str) -> Behaviour:
    """A refusal, in the API's form."""
    return lambda handler: handler.refuse(code, message, **headers)


def other_content(content: bytes, code: int = 200, **headers: str) -> Behaviour:
    """A whole response that is something else."""
    return lambda handler: handler.answer(code, content, **headers)


def gone_in_the_middle(handler: Handler) -> bool:
    """A watch that tells, as an event, that it can't go on."""
    handler.stream()
    message = "too old resource version: 1 (2)"
    handler.happening("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": message})
    handler.piece(b"")
    return True


def closed_at_once(handler: Handler) -> bool:
    """A watch that ends, in good order, before it began."""
    handler.stream()
    handler.piece(b"")
    return True


def sends(*pieces: bytes, ends: bool = True) -> Behaviour:
    """A watch of these bytes, which then ends: in good order, or by its connection alone."""

    def behave(handler: Handler) -> bool:
        handler.stream()
        for piece in pieces:
            handler.piece(piece)
        if ends:
            handler.piece(b"")
        else:
            handler.close_connection = True
        return True

    return behave


def half_a_frame(handler: Handler) -> bool:
    """A chunk that is announced longer than it comes."""
    handler.stream()
    handler.wfile.write(b'ffff\r\n{"type": "ADDED", "object": {"meta')
    handler.close_connection = True
    return True


def silence(handler: Handler) -> bool:
    """A watch that is taken, and then nothing."""
    handler.stream()
    handler.simulator.stopping.wait(30)
    handler.close_connection = True
    return True


def no_answer(handler: Handler) -> bool:
    """Not even a status."""
    handler.simulator.stopping.wait(30)
    handler.close_connection = True
    return True


def drip(handler: Handler) -> bool:
    """A byte now and then, and never a whole event."""
    handler.stream()
    while not handler.simulator.stopping.wait(0.02):
        handler.piece(b" ")
    handler.close_connection = True
    return True


def endless_line(handler: Handler) -> bool:
    """An event without an end."""
    handler.stream()
    while not handler.simulator.stopping.is_set():
        handler.piece(b"x" * 65536)
    return True


def endless_answer(handler: Handler) -> bool:
    """A list without an end."""
    handler.stream()
    handler.piece(json.dumps({"kind": "ConfigMapList", "metadata": {"resourceVersion": "1"}}).encode()[:-1])
    while not handler.simulator.stopping.is_set():
        handler.piece(b" " * 65536)
    return True


def hung_up(handler: Handler) -> bool:
    """The connection is closed without a word."""
    handler.close_connection = True
    return True
