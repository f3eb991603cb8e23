"""Decode LiveCodeBench's private tests: JSON, pickled as one string, compressed, in base64.

A pickle is a program, and it is never executed here: its opcodes are read, and a pickle that does more than define
a string is rejected. No function call, object or memo can result, whoever made the file.
"""

import base64
import pickletools
import zlib

from plum_hub.errors import BenchmarkError

_MAX_BYTES = 1 << 30
"""Limit of one problem's decompressed tests: above the largest published ones, and harmless."""
_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_HARMLESS = _STRINGS | {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}


def decode_tests(text: str, where: str, max_bytes: int = _MAX_BYTES) -> str:
    """Decode the private tests of one problem.

    Args:
        text: The content of the column.
        where: File and line, for messages.
        max_bytes: Limit of the decompressed size.

    Returns:
        The JSON text.

    Raises:
        BenchmarkError: The text is not encoded like this, or its pickle contains more than a string.
    """
    try:
        unpacker = zlib.decompressobj()
        pickled = unpacker.decompress(base64.b64decode(text, validate=True), max_bytes)
    except (ValueError, zlib.error) as error:
        raise BenchmarkError(f"{where}: private tests are neither JSON nor compressed ({error}): {_FIX}") from error
    if not unpacker.eof:
        reason = f"are more than {max_bytes} bytes" if len(pickled) == max_bytes else "are truncated"
        raise BenchmarkError(f"{where}: private tests {reason}: {_FIX}")
    return _string(pickled, where)


_FIX = "fetch the file again, from livecodebench/code_generation_lite"


def _string(pickled: bytes, where: str) -> str:
    """Return the only string of a pickle that contains nothing else."""
    strings: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(pickled):
            if code.name not in _HARMLESS:
                raise BenchmarkError(
                    f"{where}: private tests contain a pickle that is not a string ({code.name}); it was not executed: "
                    f"do not use files from its author, {_FIX}"
                )
            if code.name in _STRINGS:
                strings.append(str(argument))
    except ValueError as error:  # pickletools reports damage so
        raise BenchmarkError(f"{where}: private tests contain a damaged pickle ({error}): {_FIX}") from error
    if len(strings) != 1:
        raise BenchmarkError(f"{where}: private tests contain {len(strings)} strings, expected one: {_FIX}")
    return strings[0]
