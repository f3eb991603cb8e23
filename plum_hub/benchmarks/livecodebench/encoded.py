"""LiveCodeBench's private tests as they are published: JSON, pickled as one string, compressed, in base64.

A pickle is a program, and here it is never run: its instructions are read, and one that does more than name a string is
refused. So no function, class or memo of any size can come of one, whoever made the file.
"""

import base64
import pickletools
import zlib

from plum_hub.errors import BenchmarkError

_MAX_BYTES = 1 << 30
"""Of one problem's tests, decompressed: more than the largest has, and less than harms."""
_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_HARMLESS = _STRINGS | {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}


def decode_tests(text: str, where: str, max_bytes: int = _MAX_BYTES) -> str:
    """The JSON text of one problem's private tests.

    Args:
        text: the column's content.
        where: file and line, for errors.
        max_bytes: what it may decompress to.

    Raises:
        BenchmarkError: this is not the encoding, or does more than hold a string.
    """
    try:
        unpacker = zlib.decompressobj()
        pickled = unpacker.decompress(base64.b64decode(text, validate=True), max_bytes)
    except (ValueError, zlib.error) as error:
        raise BenchmarkError(f"{where}: private tests are neither JSON nor compressed ({error}): {_FIX}") from error
    if not unpacker.eof:
        reason = f"are more than {max_bytes} bytes" if len(pickled) == max_bytes else "end in the middle"
        raise BenchmarkError(f"{where}: private tests {reason}: {_FIX}")
    return _string(pickled, where)


_FIX = "fetch the file again, from livecodebench/code_generation_lite"


def _string(pickled: bytes, where: str) -> str:
    """The only string of a pickle that holds nothing else."""
    strings: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(pickled):
            if code.name not in _HARMLESS:
                raise BenchmarkError(
                    f"{where}: private tests hold a pickle that is no string ({code.name}); nothing of it was run: "
                    f"use no file from whoever made this, {_FIX}"
                )
            if code.name in _STRINGS:
                strings.append(str(argument))
    except ValueError as error:  # what pickletools says of damage
        raise BenchmarkError(f"{where}: private tests hold a damaged pickle ({error}): {_FIX}") from error
    if len(strings) != 1:
        raise BenchmarkError(f"{where}: private tests hold {len(strings)} strings, expected is one: {_FIX}")
    return strings[0]
