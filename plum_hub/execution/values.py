"""How a value leaves the jail: JSON, in which every builtin type that JSON lacks is an object with one key.

    i  an int beyond 64 bits, as hexadecimal        f  nan, inf, -inf          c  complex: real, imaginary
    b  bytes, as hexadecimal                        t  tuple                   r  range: start, stop, step
    s  set                                          z  frozenset               d  dict: pairs, in order

Only exact builtin types have an encoding: no subclass and no class of the program's own. What comes out of `decode`
is plain builtins again, and nothing in the text can name anything else. This module also runs inside the jail, so it
imports the standard library only.
"""

import json
import math
from typing import Any

MAX_BYTES = 4_000_000
"""The longest encoded value that is carried."""

_MAX_DEPTH = 100
_WORD = 1 << 63
_NAME_SLOT = vars(type)["__name__"]
_TAGS: dict[type, str] = {tuple: "t", set: "s", frozenset: "z"}


class UnsupportedValueError(ValueError):
    """The value has no encoding; the message is its type's name, or what is too large about it."""


def name_of(kind: type) -> str:
    """The class's name, even if its metaclass says otherwise."""
    return str(_NAME_SLOT.__get__(kind))


def encode(value: object) -> bytes:
    """The value's encoding.

    Raises:
        UnsupportedValueError: it is not made of plain builtins, or is deeper or longer than is carried.
    """
    text = json.dumps(_to_json(value, 0), separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MAX_BYTES:
        raise UnsupportedValueError(f"a value of more than {MAX_BYTES} bytes")
    return text


def _to_json(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -_WORD <= value < _WORD else {"i": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"f": repr(value)}
    if depth >= _MAX_DEPTH:
        raise UnsupportedValueError(f"a value more than {_MAX_DEPTH} levels deep")
    if kind is list:
        return [_to_json(item, depth + 1) for item in value]
    if kind is dict:
        return {"d": [[_to_json(key, depth + 1), _to_json(item, depth + 1)] for key, item in value.items()]}
    if kind is bytes:
        return {"b": value.hex()}
    if kind is complex:
        return {"c": [_to_json(value.real, depth), _to_json(value.imag, depth)]}
    if kind is range:
        return {"r": [_to_json(item, depth) for item in (value.start, value.stop, value.step)]}
    tag = _TAGS.get(kind)
    if tag is None:
        raise UnsupportedValueError(name_of(kind))
    return {tag: [_to_json(item, depth + 1) for item in value]}


def decode(text: bytes, max_hashed: int) -> Any:
    """The value that `encode` was given.

    Args:
        text: what came out of a jail; anything may have written it.
        max_hashed: the largest set or dictionary that is built, because keys that were chosen to collide take
            quadratic time. The length of the expected value's source is enough for every right answer.

    Raises:
        ValueError: this is not an encoding, or a set or dictionary in it is larger than `max_hashed`.
    """
    try:
        return _from_json(json.loads(text), max_hashed)
    except (TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise ValueError(f"not an encoded value: {error}") from error


def _from_json(item: Any, max_hashed: int) -> Any:
    if type(item) is list:
        return [_from_json(element, max_hashed) for element in item]
    if type(item) is not dict:
        return item
    ((tag, content),) = item.items()
    if tag == "i":
        return int(content, 16)
    if tag == "f":
        return float(content)
    if tag == "b":
        return bytes.fromhex(content)
    if tag == "t":
        return tuple(_from_json(element, max_hashed) for element in content)
    if tag == "c":
        return complex(*(_from_json(element, max_hashed) for element in content))
    if tag == "r":
        return range(*(_from_json(element, max_hashed) for element in content))
    if len(content) > max_hashed:
        raise ValueError(f"a set or dictionary of {len(content)} elements, more than the expected value can have")
    if tag == "d":
        return {_from_json(key, max_hashed): _from_json(value, max_hashed) for key, value in content}
    return {"s": set, "z": frozenset}[tag](_from_json(element, max_hashed) for element in content)
