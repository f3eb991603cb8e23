"""Messages between the judge and a zygote: two lengths, a header, and bytes that only their reader understands.

The header is JSON while a jail starts and when it can go on no more; runs and reports are packed structures, because
what a zygote touches for each program costs more than what it does.
"""

import json
import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

LENGTHS = struct.Struct("<II")

FRAME = struct.Struct("<cI")
"""Before each result of a program, and each program to be compiled: its kind, and how many bytes follow."""

COMPILED, LOADED, NOT_LOADED, VALUE, UNSUPPORTED, TOO_LARGE, RAISED, OUT_OF_MEMORY, TOKEN, DONE = (
    bytes([byte]) for byte in b"CLNVUBRMTS"
)
"""Kinds of results. A token makes the `DONE` of the statement behind it good."""

MODULE, SCRIPT, PROBE, COMPILE = b"m", b"s", b"p", b"c"
"""What is asked: to run a module and its cases, a program with standard input, or the look around a new jail; or, in a
jail that runs no programs, to compile some."""

PART, STOP = b"r", b"x"
"""Headers of their own. A zygote's `PART` holds further results of the run that it is at; a judge's `STOP`, that no
more of the run with this number is wanted (`stop`)."""

TOKEN_BYTES = 8


class RunRequest(NamedTuple):
    """One run. Times in seconds, sizes in bytes; the body is code (`compiled` says whether marshalled or as source),
    cases (none: those of the last run), entry point and standard input, one behind the other. `watched`: whether
    results are sent while it goes on, too. `grace`: what the limits that cases name for themselves are multiplied
    by."""

    kind: bytes
    compiled: bool = False
    watched: bool = False
    statements: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    memory: int = 0
    output: int = 0
    code: int = 0
    cases: int = 0
    entry_point: int = 0
    grace: float = 1.0


class RunReport(NamedTuple):
    """How a run ended. `stopped` names the limit that it was over: `c` CPU time, `w` wall time, `o` output; `d` where
    the judge had it ended; else `-`. The body is the tokens of its statements, the results, what a script printed, and
    the end of what else was printed, one behind the other."""

    stopped: bytes
    exit: int
    clean: bool
    cpu: float
    wall: float
    peak_kb: int
    tokens: int
    results: int
    output: int


ASKED = struct.Struct("<c??IddQQIIId")
TOLD = struct.Struct("<ci?ddQIII")


def framed(kind: bytes, content: bytes) -> bytes:
    """One frame."""
    return FRAME.pack(kind, len(content)) + content


def stop(number: int) -> bytes:
    """The message that ends a run; they are counted from 1."""
    return pack(STOP, number.to_bytes(8, "little"))


def frames(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each frame, as far as they are whole."""
    place = 0
    while place + FRAME.size <= len(text):
        kind, length = FRAME.unpack_from(text, place)
        content = place + FRAME.size
        place = content + length
        if place <= len(text):
            yield kind, text[content:place]


def pack(header: bytes | dict[str, Any], body: bytes = b"") -> bytes:
    """One message; a dictionary becomes JSON."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":")).encode()
    return LENGTHS.pack(len(header), len(body)) + header + body


def unpack(received: bytearray) -> tuple[bytes, bytes] | None:
    """Take the first message out of what was received, or None as long as it is not all there."""
    if not holds_message(received):
        return None
    first, second = LENGTHS.unpack_from(received)
    end = LENGTHS.size + first + second
    header, body = bytes(received[LENGTHS.size : LENGTHS.size + first]), bytes(received[LENGTHS.size + first : end])
    del received[:end]
    return header, body


def holds_message(received: bytearray) -> bool:
    """Whether `unpack` would take one out."""
    return len(received) >= LENGTHS.size and len(received) >= LENGTHS.size + sum(LENGTHS.unpack_from(received))


def send(socket: int, header: bytes | dict[str, Any], body: bytes = b"") -> None:
    """Write one message, however long it takes."""
    message = pack(header, body)
    while sent := os.write(socket, message):
        if sent == len(message):
            return
        message = message[sent:]


def receive(socket: int) -> tuple[bytes, bytes]:
    """Read one message and not a byte more, however long it takes.

    Raises:
        EOFError: the other side is gone.
    """
    first, second = LENGTHS.unpack(_read(socket, LENGTHS.size))
    return _read(socket, first), _read(socket, second)


def _read(socket: int, size: int) -> bytes:
    read = os.read(socket, size) if size else b""
    while len(read) < size:
        more = os.read(socket, size - len(read))
        if not more:
            raise EOFError
        read += more
    return read
