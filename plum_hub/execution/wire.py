"""Messages between the judge and a zygote: two lengths, a header, and a body.

The header is JSON during startup and after a fatal error. Requests and reports of runs are packed structures, because
what a zygote touches for each program costs more than what it does.
"""

import json
import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

LENGTHS = struct.Struct("<II")

FRAME = struct.Struct("<cI")
"""Header of each result of a program and of each program to compile: its kind, and the number of bytes that follow."""

COMPILED, LOADED, NOT_LOADED, VALUE, UNSUPPORTED, TOO_LARGE, NO_ROOM, RAISED, OUT_OF_MEMORY, TOKEN, DONE, KINDS = (
    bytes([byte]) for byte in b"CLNVUBFRMTSK"
)
"""Kinds of results. `TOO_LARGE` stands for a value that is too long by itself, `NO_ROOM` for one that is too long with
those before it. A token validates the `DONE` of the statement that follows it; `KINDS` holds the names and the message
of the exception of which the `RAISED` that follows tells in short.
"""

MODULE, SCRIPT, PROBE, COMPILE = b"m", b"s", b"p", b"c"
"""Kinds of requests: run a module and its cases, run a program with standard input, or probe a new jail; or, in a jail
that runs no programs, compile some.
"""

PART, STOP = b"r", b"x"
"""Headers of one byte. A zygote's `PART` carries further results of the current run; a judge's `STOP` ends the run with
the number in its body (`stop`).
"""

TOKEN_BYTES = 8
"""Size of the random token that proves a statement's success."""


class RunRequest(NamedTuple):
    """One run: times in seconds, sizes in bytes.

    The body is code, cases, entry point and standard input, concatenated.

    Attributes:
        kind: `MODULE`, `SCRIPT`, `PROBE` or `COMPILE`.
        compiled: Whether the code is what `compiler.answer` gave; otherwise it is source.
        watched: Whether results are sent during the run too.
        statements: Number of statements in the cases.
        cpu: Limit of CPU time.
        wall: Limit of wall time.
        memory: Limit of the address space.
        output: Limit of a script's output.
        code: Size of the code.
        cases: Size of the cases; 0 to use those of the last run.
        entry_point: Size of the entry point.
        grace: Factor on the limits of single cases.
    """

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
    """How a run ended.

    The body is the tokens of its statements, the results, what a script printed, and the end of what else was printed,
    concatenated.

    Attributes:
        stopped: The limit that was exceeded: `c` CPU time, `w` wall time, `o` output; `d` if the judge stopped the run;
            else `-`.
        exit: Exit status; negative for the signal that killed the process.
        clean: Whether the jail can be reused.
        cpu: CPU seconds.
        wall: Wall seconds.
        peak_kb: Peak resident memory.
        tokens: Size of the tokens.
        results: Size of the results.
        output: Size of a script's output.
    """

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
    """Build a frame.

    Args:
        kind: One of the kinds above.
        content: The content.

    Returns:
        The frame.
    """
    return FRAME.pack(kind, len(content)) + content


def stop(number: int) -> bytes:
    """Build the message that stops a run.

    Args:
        number: The run; counted from 1.

    Returns:
        The message.
    """
    return pack(STOP, number.to_bytes(8, "little"))


def frames(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Parse frames.

    Args:
        text: Concatenated frames; an incomplete last one is ignored.

    Yields:
        Kind and content of each.
    """
    place = 0
    while place + FRAME.size <= len(text):
        kind, length = FRAME.unpack_from(text, place)
        content = place + FRAME.size
        place = content + length
        if place <= len(text):
            yield kind, text[content:place]


def pack(header: bytes | dict[str, Any], body: bytes = b"") -> bytes:
    """Build a message.

    Args:
        header: A dictionary is encoded as JSON.
        body: The body.

    Returns:
        The message.
    """
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":")).encode()
    return LENGTHS.pack(len(header), len(body)) + header + body


def unpack(received: bytearray) -> tuple[bytes, bytes] | None:
    """Remove the first message from what was received.

    Args:
        received: Changed in place.

    Returns:
        Header and body, or None if the message is incomplete.
    """
    if not holds_message(received):
        return None
    first, second = LENGTHS.unpack_from(received)
    end = LENGTHS.size + first + second
    header, body = bytes(received[LENGTHS.size : LENGTHS.size + first]), bytes(received[LENGTHS.size + first : end])
    del received[:end]
    return header, body


def holds_message(received: bytearray) -> bool:
    """Check whether `unpack` would return a message.

    Args:
        received: What was received.

    Returns:
        Whether it starts with a complete message.
    """
    return len(received) >= LENGTHS.size and len(received) >= LENGTHS.size + sum(LENGTHS.unpack_from(received))


def send(socket: int, header: bytes | dict[str, Any], body: bytes = b"") -> None:
    """Write one message, however long it takes.

    Args:
        socket: File descriptor.
        header: As for `pack`.
        body: The body.
    """
    message = pack(header, body)
    while sent := os.write(socket, message):
        if sent == len(message):
            return
        message = message[sent:]


def receive(socket: int) -> tuple[bytes, bytes]:
    """Read exactly one message, however long it takes.

    Args:
        socket: File descriptor.

    Returns:
        Header and body.

    Raises:
        EOFError: The other side is gone.
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
