"""Encoding of values that leave the jail: JSON, with one-key objects for builtin types that JSON lacks.

    i  an int beyond 64 bits, as hexadecimal        f  nan, inf, -inf          c  complex: real, imaginary
    b  bytes, as hexadecimal                        t  tuple                   r  range: start, stop, step
    s  set                                          z  frozenset               d  dict: pairs, in order
    a  a numpy array, as nested lists               g  a numpy scalar: its item
    h  a float32 or float16 of numpy: its code in `struct` and its item
    q  a Fraction: numerator, denominator           m  a Decimal, as text
    p  a value of pandas (`frames`)

Only builtin types and these exact numbers have an encoding; a subclass is encoded as the builtin that it holds. What
Python considers equal to a builtin is encoded as that builtin: a view of a dictionary's keys or items is a set,
`bytearray` and `memoryview` of bytes are bytes, a mapping proxy is a dictionary, and the wrappers of `collections` and
their views are what they wrap. `decode` returns plain builtins, and nothing in the text can name anything else. This
module also runs inside the jail, so it imports the standard library and `frames` only.
"""

import json.encoder
import operator
import sys
import types
from collections import ChainMap, UserDict, UserList, UserString
from collections.abc import Callable, ItemsView, Iterator, KeysView
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from plum_hub.execution import frames

MAX_BYTES = 16_000_000
"""The longest encoded value that is transferred: a list of a million numbers takes half of it."""
MAX_ALL_BYTES = 60 << 20
"""Limit of all values of a run together."""
_TOO_LONG = f"a value of more than {MAX_BYTES} bytes"

_MAX_DEPTH = 200
"""Python's own limit of nested brackets in source: no expected value is deeper, and none holds itself."""
_SHARED_DEPTH = 3
"""Levels from which on a container is written once, however often a value holds it: `a = [a, a]` doubles each time."""
_SHARED: dict[int, tuple[object, str]] = {}
"""These containers with their texts, "" while they are written. The objects are kept, so that no id is used again."""
_CHUNK = 1000
_MAX_EXACT = 1 << 14
"""Bits of a Fraction's integers, and characters of a Decimal: longer ones take quadratic time to reduce and compare."""
_WORD = 1 << 63
_quoted, _decimal, _of_float = json.encoder.encode_basestring_ascii, int.__repr__, float.__repr__
_NAME_SLOT = vars(type)["__name__"]
_BASES = vars(type)["__mro__"]
_text = str.__str__
_CONSTANTS = {None: "null", True: "true", False: "false"}
_PLAIN = frozenset({str, int, float, list, dict, bytes, complex, range, tuple, set, frozenset})
_OTHERS: dict[type, Callable[[Any, int], str]] = {}
_CONTAINERS = frozenset({list, dict, tuple})
_TAGS: dict[type, str] = {tuple: "t", set: "s", frozenset: "z"}


@dataclass(frozen=True)
class Array:
    """A numpy array outside a jail, where there is no numpy: its elements, as nested lists."""

    items: Any


class UnsupportedValueError(ValueError):
    """The value has no encoding: Python considers it equal to no literal. The message is its type's name, or why."""


class TooLargeValueError(ValueError):
    """The value may be correct, but is too long to transfer."""


class TooManyElementsError(ValueError):
    """A set or dictionary has more elements than are built outside a jail."""


def name_of(kind: type) -> str:
    """Read a class's name, even if its metaclass lies about it.

    Args:
        kind: The class.

    Returns:
        Its name.
    """
    return str(_NAME_SLOT.__get__(kind))


def encode(value: object) -> bytes:
    """Encode a value.

    Args:
        value: Anything that a program returned.

    Returns:
        ASCII JSON of at most `MAX_BYTES` bytes.

    Raises:
        UnsupportedValueError: It is not made of plain builtins, or deeper than any literal.
        TooLargeValueError: It is too long.
    """
    _SHARED.clear()
    text = _written(value, 0).encode()
    _SHARED.clear()
    if len(text) > MAX_BYTES:
        raise TooLargeValueError(_TOO_LONG)
    return text


def _written(value: Any, depth: int) -> str:
    """Return the JSON text.

    `json.dumps` would need a tree of tagged values first, and touch ten times as many objects.
    """
    kind = type(value)
    if value is None or kind is bool:
        return _CONSTANTS[value]
    if kind not in _PLAIN:
        kind = _plain(kind)
    if kind is str:
        return _quoted(_text(value))
    if kind is int:
        return _decimal(value) if -_WORD <= (value := int.__add__(value, 0)) < _WORD else f'{{"i":"{value:#x}"}}'
    if kind is float:
        text = _of_float(value)
        return f'{{"f":"{text}"}}' if text[-1] in "nf" else text
    if depth >= _MAX_DEPTH:
        raise UnsupportedValueError(f"a value more than {_MAX_DEPTH} levels deep")
    if depth < _SHARED_DEPTH or kind not in _CONTAINERS:
        return _contained(value, kind, depth)
    known = _SHARED.get(id(value))
    if known is None:
        _SHARED[id(value)] = (value, "")
        text = _contained(value, kind, depth)
        _SHARED[id(value)] = (value, text)
        return text
    if not known[1]:
        raise UnsupportedValueError("a value that holds itself")
    return known[1]


def _contained(value: Any, kind: Any, depth: int) -> str:
    """Write what is no text, number or constant."""
    if kind in _OTHERS:
        return _OTHERS[kind](value, depth)
    if kind is list:
        return f"[{_all_written(list.__iter__(value), depth)}]"
    if kind is dict:
        pairs = [f"[{_written(key, depth + 1)},{_written(item, depth + 1)}]" for key, item in dict.items(value)]
        return f'{{"d":[{_within(",".join(pairs))}]}}'
    if kind is bytes:
        return f'{{"b":"{bytes.hex(value)}"}}'
    if kind is complex:
        value = complex.__add__(value, 0)
        return f'{{"c":[{_all_written(iter((value.real, value.imag)), depth)}]}}'
    if kind is range:
        return f'{{"r":[{_all_written(iter((value.start, value.stop, value.step)), depth)}]}}'
    return f'{{"{_TAGS[kind]}":[{_all_written(kind.__iter__(value), depth)}]}}'


def _viewed(value: memoryview) -> object:
    """Return the bytes that a `memoryview` is equal to; a view of anything else equals no builtin."""
    if value.format == "B" and value.ndim == 1:
        return memoryview.tobytes(value)
    raise UnsupportedValueError("memoryview")


def _as_builtin(kind: type, read: Callable[[Any], object]) -> None:
    """Encode a type as the builtin that `read` returns for a value of it."""
    _OTHERS[kind] = lambda value, depth: _written(read(value), depth + 1)


def _as_set(kind: Any) -> None:
    """Encode a type as the set of what its own iterator yields."""
    _OTHERS[kind] = lambda value, depth: f'{{"s":[{_all_written(kind.__iter__(value), depth)}]}}'


def _know_likenesses() -> None:
    """Register types that are not builtins but equal to one."""
    held = object.__getattribute__
    _as_builtin(bytearray, lambda value: bytes(bytearray.__add__(value, b"")))
    _as_builtin(memoryview, _viewed)
    _as_builtin(types.MappingProxyType, lambda value: types.MappingProxyType.__or__(value, {}))
    for kind in (UserDict, UserList, UserString):
        _as_builtin(kind, lambda value: held(value, "data"))
    _as_builtin(ChainMap, lambda value: _merged(held(value, "maps")))
    _as_builtin(KeysView, lambda value: _wrapped(held(value, "_mapping")).keys())
    _as_builtin(ItemsView, lambda value: _wrapped(held(value, "_mapping")).items())
    _as_set(type({}.keys()))
    _as_set(type({}.items()))


def _wrapped(mapping: object) -> dict[object, object]:
    """Return the dictionary that a wrapper of `collections` is equal to."""
    held = object.__getattribute__
    if isinstance(mapping, ChainMap):
        return _merged(held(mapping, "maps"))
    if isinstance(mapping, UserDict):
        return _wrapped(held(mapping, "data"))
    if type(mapping) is dict:
        return mapping
    raise UnsupportedValueError(name_of(type(mapping)))


def know_numpy() -> None:
    """Register the scalars and arrays of numpy. They are read by numpy's own methods, bound here once."""
    import numpy as np

    item, listed = np.generic.item, np.ndarray.tolist
    _OTHERS[np.generic] = lambda value, depth: f'{{"g":{_written(item(value), depth + 1)}}}'
    if bool(np.float32(0.1) == 0.1):  # since numpy 2
        for kind, code in ((np.float32, "f"), (np.float16, "e")):
            _OTHERS[kind] = partial(_narrow, item, code)
    _OTHERS[np.ndarray] = lambda value, depth: f'{{"a":{_written(listed(value), depth + 1)}}}'


def _narrow(item: Callable[[Any], float], code: str, value: Any, depth: int) -> str:
    return f'{{"h":["{code}",{_written(item(value), depth + 1)}]}}'


def know_pandas() -> None:
    """Register the values of pandas, read by its own methods, bound here once. A subclass has no encoding."""
    readers = frames.readers(lambda kind: UnsupportedValueError(name_of(kind)))

    def written(read: Callable[[Any], list[Any]]) -> Callable[[Any, int], str]:
        return lambda value, depth: f'{{"p":{_written(read(value), depth + 1)}}}'

    _OTHERS.update({kind: written(read) for kind, read in readers.items()})


def _plain(kind: type) -> type:
    """Return the builtin type that a class extends.

    An `IntEnum`, a `Counter` and a named tuple count as what they hold, which the builtin's own methods read, whatever
    the class claims.

    Raises:
        UnsupportedValueError: It extends no type that has an encoding.
    """
    _know_exact_numbers()
    bases: tuple[type, ...] = _BASES.__get__(kind)
    for base in bases:
        if base in _PLAIN or base in _OTHERS:
            return base
    raise UnsupportedValueError(name_of(kind))


def _know_exact_numbers() -> None:
    """Register `Fraction` and `Decimal` once the program has imported them.

    Importing them here would make every fork slower.
    """
    if decimals := sys.modules.get("decimal"):
        shown = decimals.Decimal.__str__
        _OTHERS[decimals.Decimal] = lambda value, _depth: f'{{"m":"{shown(value)}"}}'
    if fractions := sys.modules.get("fractions"):
        parts = [vars(fractions.Fraction)[name].__get__ for name in ("_numerator", "_denominator")]
        _OTHERS[fractions.Fraction] = lambda value, depth: (
            f'{{"q":[{_all_written(iter([part(value) for part in parts]), depth)}]}}'
        )


def _merged(maps: Any) -> dict[object, object]:
    """Return the contents of a `ChainMap` of dictionaries: the first that has a key decides."""
    found: dict[object, object] = {}
    for one in reversed([*list.__iter__(maps)]):
        dict.update(found, dict.items(_wrapped(one)))
    return found


def _all_written(values: Iterator[Any], depth: int) -> str:
    """Join the items' texts.

    A long sequence is written only up to the size limit, since the texts take many times the memory of the items.
    """
    if operator.length_hint(values) <= _CHUNK:
        return _within(",".join([_written(item, depth + 1) for item in values]))
    texts, length = [], 0
    while text := ",".join([_written(item, depth + 1) for item in islice(values, _CHUNK)]):
        texts.append(text)
        length += len(text)
        if length > MAX_BYTES:
            raise TooLargeValueError(_TOO_LONG)
    return ",".join(texts)


def _within(text: str) -> str:
    """Return the text of items, which is too long long before the value is written."""
    if len(text) > MAX_BYTES:
        raise TooLargeValueError(_TOO_LONG)
    return text


def decode(text: bytes, max_hashed: int, *, scalars: bool = False) -> Any:
    """Decode what `encode` returned.

    Args:
        text: What came out of a jail; anything may have written it.
        max_hashed: Size of the largest set or dictionary that is built, because keys chosen to collide take quadratic
            time. No correct answer has a larger one than the expected value.
        scalars: Whether a numpy scalar is an `Array` of one element, and not its item.

    Returns:
        The value, made of plain builtins, exact numbers, `Array` and `frames`.

    Raises:
        ValueError: This is not an encoding, or it contains a set or dictionary larger than `max_hashed`.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"an encoded value of more than {MAX_BYTES} bytes")
    try:
        return _from_json(_with_scalars(json.loads(text)) if scalars else json.loads(text), max_hashed)
    except (TypeError, KeyError, IndexError, RecursionError, ArithmeticError) as error:
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
    if tag == "a":
        return Array(_from_json(content, max_hashed))
    if tag == "g":
        return _from_json(content, max_hashed)
    if tag == "h":
        return _narrow_float(*content)
    if tag == "p":
        return frames.decoded(_from_json(content, max_hashed))
    if tag == "c":
        return complex(*(_from_json(element, max_hashed) for element in content))
    if tag == "r":
        return range(*(_from_json(element, max_hashed) for element in content))
    if tag in ("q", "m"):
        return _exact_number(tag, content, max_hashed)
    if len(content) > max_hashed:
        raise TooManyElementsError(
            f"a set or dictionary of {len(content)} elements, more than the expected value can have"
        )
    if tag == "d":
        return {_from_json(key, max_hashed): _from_json(value, max_hashed) for key, value in content}
    return {"s": set, "z": frozenset}[tag](_from_json(element, max_hashed) for element in content)


def _with_scalars(item: Any) -> Any:
    """Make numpy scalars arrays, where they are items of lists and tuples or the value itself."""
    if type(item) is list:
        return [_with_scalars(element) for element in item]
    if type(item) is dict and item.keys() <= {"g", "h", "t"}:
        return {"t": _with_scalars(item["t"])} if "t" in item else {"a": item["g"] if "g" in item else item["h"][1]}
    return item


def _narrow_float(code: str, content: Any) -> float:
    from plum_hub.execution.narrow import Narrow

    number = _from_json(content, 0)
    if code not in ("f", "e") or type(number) is not float:
        raise ValueError("a narrow float that is none")
    return Narrow(code, number)


def _exact_number(tag: str, content: Any, max_hashed: int) -> Any:
    from decimal import Decimal
    from fractions import Fraction

    if tag == "q":
        numerator, denominator = (_from_json(element, max_hashed) for element in content)
        if max(int.bit_length(numerator), int.bit_length(denominator)) <= _MAX_EXACT:
            return Fraction(numerator, denominator)
    elif len(content) <= _MAX_EXACT and not (number := Decimal(str(content))).is_snan():
        return number
    raise ValueError("an exact number that is too long, or none")


_know_likenesses()
