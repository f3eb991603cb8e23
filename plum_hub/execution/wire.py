"""Messages between the judge and a zygote: two lengths, a JSON header, and bytes that only their reader understands."""

import json
import os
import struct
from typing import Any

LENGTHS = struct.Struct("<II")

FRAME = struct.Struct("<cI")
"""Before each result of a program: its kind, and how many bytes follow."""


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One message."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def unpack(received: bytearray) -> tuple[dict[str, Any], bytes] | None:
    """Take the first message out of what was received, or None as long as it is not all there."""
    if len(received) < LENGTHS.size:
        return None
    first, second = LENGTHS.unpack_from(received)
    end = LENGTHS.size + first + second
    if len(received) < end:
        return None
    header = json.loads(received[LENGTHS.size : LENGTHS.size + first])
    body = bytes(received[LENGTHS.size + first : end])
    del received[:end]
    return header, body


def send(socket: int, header: dict[str, Any], body: bytes = b"") -> None:
    """Write one message, however long it takes."""
    message = memoryview(pack(header, body))
    while message:
        message = message[os.write(socket, message) :]


def receive(socket: int, received: bytearray) -> tuple[dict[str, Any], bytes]:
    """Read one message, however long it takes.

    Raises:
        EOFError: the other side is gone.
    """
    while (message := unpack(received)) is None:
        chunk = os.read(socket, 1 << 16)
        if not chunk:
            raise EOFError
        received += chunk
    return message
