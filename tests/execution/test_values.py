"""What leaves a jail is plain builtins, whoever wrote it."""

import collections
import enum
import math
import tracemalloc
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, UserString
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import pytest

from plum_hub.execution.values import MAX_BYTES, TooLargeValueError, UnsupportedValueError, decode, encode


def nested(depth: int) -> list[object]:
    """Lists within lists, so many of them."""
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**63,
        1.5,
        -0.0,
        1e308,
        math.inf,
        2 - 3j,
        "é\ud800\0",
        b"\0\xff",
        [],
        (1, [2, (3,)]),
        {1, "a"},
        frozenset({(1, 2)}),
        {(1, None): {"x": [b""]}, 2: range(3)},
        range(5, -5, -2),
        {},
        {"t": [1]},
        [Fraction(-1, 3), {Decimal("-0.10"), Decimal("1e40")}],
    ],
)
def test_builtins_come_back_as_they_were(value: object) -> None:
    back = decode(encode(value), max_hashed=10)
    assert (type(back), repr(back)) == (type(value), repr(value))


def test_long_ints_come_back() -> None:
    assert decode(encode([-(10**5000)]), max_hashed=0) == [-(10**5000)]


def test_long_lists_come_back() -> None:
    assert decode(encode([[*range(2500)], (*range(1001),)]), max_hashed=0) == [[*range(2500)], (*range(1001),)]


def test_of_a_long_value_no_more_is_written_than_is_carried() -> None:
    row = ["x" * 100] * 100  # once: a gigabyte, if it were written out
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeValueError, match="more than"):
            encode([row] * 100_000)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_nan_comes_back() -> None:
    assert math.isnan(decode(encode([math.nan]), max_hashed=0)[0])


class _Liar(int):
    """Says of itself whatever it likes."""

    __slots__ = ()
    __class__ = property(lambda _self: str)  # type: ignore[assignment]

    def __eq__(self, _other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "4"

    def __hash__(self) -> int:
        return 4

    def __add__(self, _other: object) -> int:
        return 4

    __index__ = __neg__ = __int__ = lambda _self: 4  # type: ignore[assignment,misc]


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (_Liar(5), 5),
        ([_Liar(5)], [5]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.defaultdict(list, {1: [2]}), {1: [2]}),
        (collections.namedtuple("P", "a")(1), (1,)),
        (enum.IntEnum("E", "A")["A"], 1),
        (enum.StrEnum("E", "A")["A"], "a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_extends_a_builtin_comes_back_as_what_it_holds(value: object, held: object) -> None:
    back = decode(encode(value), max_hashed=2)
    assert (type(back), repr(back)) == (type(held), repr(held))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([iter(())], "tuple_iterator"),
        ({1: object()}, "object"),
        ({1: 2}.values(), "dict_values"),
        (memoryview(b"aabb").cast("H"), "memoryview"),
        (nested(201), "a value more than 200 levels deep"),
    ],
)
def test_what_python_finds_equal_to_no_builtin_is_unsupported(value: object, name: str) -> None:
    with pytest.raises(UnsupportedValueError, match=f"^{name}$"):
        encode(value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("x" * MAX_BYTES, f"a value of more than {MAX_BYTES} bytes"),
        ([(0,)] * MAX_BYTES, f"a value of more than {MAX_BYTES} bytes"),
    ],
    ids=["text", "list"],
)
def test_what_is_too_large_says_so(value: object, name: str) -> None:
    with pytest.raises(TooLargeValueError, match=f"^{name}$"):
        encode(value)


def test_large_values_come_back() -> None:
    assert decode(encode(nested(200)), max_hashed=0) == nested(200)
    assert decode(encode(list(range(1_000_000))), max_hashed=0) == list(range(1_000_000))


class _Loud(bytearray):
    """Says of itself what is not so."""

    def __bytes__(self) -> bytes:
        return b"other"

    def hex(self, *_: object) -> str:
        return "00"


@pytest.mark.parametrize(
    "value",
    [
        {1: 2, "a": 3}.keys(),
        {1: 2, "a": 3}.items(),
        OrderedDict(b=1).keys(),
        Counter("aab").items(),
        bytearray(b"\x00ab"),
        _Loud(b"quiet"),
        memoryview(b"abc")[1:],
        MappingProxyType({1: [2]}),
        UserDict({1: 2}),
        UserList([1, [2]]),
        UserString("text"),
        ChainMap({1: 2}, {1: 3, 4: 5}),
        [{"a": {1: 2}.keys()}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_equal_to_a_builtin_comes_back_as_that(value: object) -> None:
    """As a plain one that Python itself finds equal, with nothing of the value's own left in it."""
    back = decode(encode(value), max_hashed=9)
    assert value == back
    assert "." not in type(back).__module__
    assert type(back).__module__ == "builtins"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"{}",
        b'{"x":[]}',
        b'{"s":[],"t":[]}',
        b'{"s":[[]]}',
        b'{"d":[[1]]}',
        b'{"i":12}',
        b'{"r":["a"]}',
        b'{"c":[1,2,3]}',
        b'{"b":"zz"}',
        b'{"r":[0,1,0]}',
        b'{"s":[1,2,3]}',
        b'{"q":[1,0]}',
        b'{"q":[1.5,2]}',
        b'{"q":[1,{"i":"0x%s"}]}' % (b"f" * 5000),
        b'{"m":"sNaN"}',
        b'{"m":"one"}',
        b'{"m":[0,[1],2]}',
        b'{"m":"%s"}' % (b"1" * 20_000),
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_what_is_no_encoding_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text, max_hashed=2)


@pytest.mark.parametrize("text", [b'{"":"1"}', b'{"qm":"1"}', b'{"ts":[1]}', b'{"x":"1"}'])
def test_only_a_whole_tag_names_a_type(text: bytes) -> None:
    with pytest.raises(ValueError, match="not an encoded value"):
        decode(text, 10)
