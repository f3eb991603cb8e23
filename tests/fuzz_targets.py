"""What reads hostile bytes, as functions of bytes: each returns, or raises what is allowed, and holds its properties.

Nothing that is generated here is executed. `scripts/fuzz` runs them at length, `tests/test_fuzz.py` a seeded slice.
"""

import asyncio
import gzip
import json
import os
import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from plum_hub import layers, plain_yaml
from plum_hub import recipe as recipes
from plum_hub.answers.checks import read_tests
from plum_hub.answers.code import extract_code
from plum_hub.answers.suite import parse_suite
from plum_hub.errors import PlumError
from plum_hub.execution import values, wire
from plum_hub.execution.closeness import parse_expected
from plum_hub.hubs import front_matter, refusals
from plum_hub.hubs.files import _unpacked
from plum_hub.hubs.git import is_file_path, is_ref_name
from plum_hub.hubs.objects import Pointer
from plum_hub.hubs.ranges import part_of
from plum_hub.hubs.web.cards import rendered
from plum_hub.lines import appending, object_of, whole_lines, without_checksum
from plum_hub.release.manifest import VerifiableManifest, read_manifest
from tests.fuzzing import _MANIFEST, _RECIPE, READERS, damaged

Draw = random.Random
_SHM = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112


@dataclass(frozen=True)
class Target:
    """Something that reads bytes from outside."""

    name: str
    take: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = field(default=())
    """What mutations put in."""
    allowed: tuple[type[Exception], ...] = ()
    weight: int = 1
    """Share of a long run: fast targets take more inputs."""

    def meet(self, data: bytes) -> None:
        """Take an input; what is not allowed escapes."""
        with suppress(*self.allowed):
            self.take(data)


_ANSWER = b"""Here it is.

```python
def add(a: int, b: int) -> int:
    return a + b
```

### Tests
```python
assert add(1, 2) == 3
assert add(0, 0) == 0
assert abs(add(0.1, 0.2) - 0.3) < 1e-9
```
"""
_SUITE = b"""### Starter code
```python
def f(x: int) -> int:
    pass
```

### Solution
```python
def f(x: int) -> int:
    return x + 1
```

### Tests
```python
assert f(0) == 1
assert f(5) == 6
assert f(-1) == 0
```
"""
_MODULE = b"""import unittest, pytest
class T(unittest.TestCase):
    def setUp(self): self.x = [1]
    def test_a(self): self.assertEqual(f(self.x), (1, {'a': {2.5}}))
@pytest.mark.parametrize("x,y", [(1, 2), (3, 4)])
def test_b(x, y):
    with pytest.raises(ValueError): f(x)
    assert f(x) == pytest.approx(y)
def check(candidate):
    assert candidate(1) is None
check(f)
"""
_CODE_WORDS = (
    b"```",
    b"~~~",
    b"```python\n",
    b"\n```\n",
    b"def f(",
    b"class A:\n",
    b"assert ",
    b">>> ",
    b"...",
    b"'''",
    b'"""',
    b"\t",
    b"\r\n",
    b"\x0c",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"\x00",
    b"(" * 50,
    b"[" * 200,
    b"-" * 300,
    b"lambda: ",
    b"if x:\n",
    b"=== ",
    b"f'{",
    b"}'",
    b"<think>",
    b"</think>",
    b"# ",
    b"\\\n",
    b"async ",
    b"await ",
    b"yield ",
    b"*a, ",
    b"match x:\n case ",
    b":=",
    b"1" * 5000,
    b"\xef\xbb\xbf",
    b"import os\n",
    b"from __future__ import annotations\n",
    b"if __name__ == '__main__':\n",
    b"@",
)
_VALUE_WORDS = (
    b'{"i":"0xff"}',
    b'{"t":[',
    b'{"s":[1]}',
    b'{"d":[[1,2]]}',
    b'{"f":"nan"}',
    b'{"b":"00"}',
    b'{"c":[1,2]}',
    b'{"r":[0,9,1]}',
    b'{"a":[[1],[2]]}',
    b'{"q":["1","2"]}',
    b'{"m":"1E9999"}',
    b'{"z":[]}',
    b"NaN",
    b"1e999",
    b"null",
    b"[" * 300,
    b'"\\ud800"',
    b'{"q":["1","0"]}',
    b'{"r":[0,1,0]}',
    b'{"i":"0x' + b"f" * 5000 + b'"}',
    b"]" * 300,
    b"}",
    b",",
    b'{"a":1}',
    b'{"x":1}',
)
_LITERALS = (
    b"[1, (2, 3), {4: 'a'}, {5.5}, None, True, b'x', 1j]",
    b"approx(0.3, rel=1e-6, abs=None)",
    b"isclose(1, rel_tol=1)",
    b"almost_equal([1.0], places=7)",
    b"Fraction(1, 3)",
    b"Decimal('1.5')",
    b"frozenset({1})",
    b"array([1, 2])",
    b"-1+2j",
    b"range(3)",
    b"float('nan')",
    b"inf",
    b"{}",
    b"set()",
)
_JSON_WORDS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r",
    b"null",
    b'"',
    b"\\",
    b"\\ud800",
    b"1e999",
    b"\x00",
    b"9" * 5000,
)
_YAML = b"license: mit\ntags: [a, b]\nconfigs:\n- config_name: kto\n  data_files: kto/*\n"
_YAML_WORDS = (
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!python/object:os.system ",
    b"? ",
    b"- ",
    b"|\n",
    b">-\n",
    b"%YAML 1.1\n",
    b"---\n",
    b"...\n",
    b"2024-99-99",
    b"1:1:1",
    b"0o9",
    b".nan",
    b"{a: ",
    b"[",
    b"'",
    b'"\\x',
    b"\t",
    b"\xc2\x85",
    b"=",
    b"~",
    b"1e400",
)
_CARD = b"# A\n\n<b>x</b> <!-- c --> [l](http://x) ![p](a.png) `c` **b** | a |\n|---|\n| 1 |\n\n> q\n\n1. x\n- y\n<http://a>\n"
_CARD_WORDS = (
    b"<script>",
    b"</script>",
    b"<img src=x onerror=alert(1)>",
    b"javascript:",
    b"data:text/html,",
    b"[x](",
    b"![x](",
    b"](",
    b")",
    b"&#106;",
    b"<!--",
    b"-->",
    b'"',
    b"'",
    b"onload=",
    b"|:-:|",
    b"\n\n",
    b"    ",
    b"```",
    b"<br>",
    b"<",
    b">",
    b"&lt;",
    b"\x00",
    b"\\",
)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass" if b"\xed" in data and _is_passed(data) else "replace")


def _is_passed(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _code(data: bytes) -> None:
    text = _text(data)
    for name in ("f", None):
        found = extract_code(text, name)
        assert found is None or (isinstance(found, str) and found.strip()), "a program, or none"


def _suite(data: bytes) -> None:
    parse_suite(_text(data))


def _tests(data: bytes) -> None:
    read_tests(_text(data), "f")


def same(one: Any, other: Any) -> bool:
    """Equality that knows nan, and tells types apart."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (isnan(one) and isnan(other))
    if isinstance(one, Decimal):
        return one == other or (one.is_nan() and other.is_nan())
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(k, other_k) and same(v, w) for (k, v), (other_k, w) in zip(one.items(), other.items(), strict=True)
        )
    return bool(one == other) or isinstance(one, set | frozenset | values.Array)


def _value(data: bytes) -> None:
    found = values.decode(data, 1000)
    try:
        again = values.decode(values.encode(found), 1000)
    except values.UnsupportedValueError as error:
        assert str(error) == "Array"  # outside a jail there is no numpy
        return
    except values.TooLargeValueError:
        return
    assert same(again, found), (again, found)


def _expected(data: bytes) -> None:
    parse_expected(_text(data))


def _wire(data: bytes) -> None:
    received, taken = bytearray(data), 0
    while (message := wire.unpack(received)) is not None:
        taken += 1
        assert taken <= len(data)
        assert len(message[0]) + len(message[1]) <= len(data)
        for _, content in wire.frames(message[1]):
            assert len(content) <= len(data)


def _lines(data: bytes) -> None:
    """A torn line is cut, and every other one is kept to the byte, whatever the file holds."""
    path = Path(_scratch()) / "rows.jsonl"
    path.write_bytes(data)
    whole = data[: data.rfind(b"\n") + 1]
    for _, line in whole_lines(path):
        try:
            object_of(line)
        except ValueError:
            continue
    with appending(path) as append:
        append({"a": 1})
    kept, added = path.read_bytes()[: len(whole)], path.read_bytes()[len(whole) :]
    assert kept == whole
    assert without_checksum(added) == b'{"a":1}'


def _yaml(data: bytes) -> None:
    plain_yaml.load(_text(data))


def _recipe(data: bytes) -> None:
    text = _text(data)
    layers.sections(text, "recipe.yaml")
    recipes.compose(text, "recipe.yaml", {}, ["samples.seed=1"]).filled().to_yaml()


def _front(data: bytes) -> None:
    found = front_matter.read("---\n" + _text(data) + "\n---\n")
    json.dumps(front_matter.as_json(found), allow_nan=False)
    front_matter.problems("---\n" + _text(data) + "\n---\n", "model")


def _manifest(data: bytes) -> None:
    path = Path(_scratch()) / "manifest.json"
    path.write_bytes(data)
    read_manifest(path.parent, VerifiableManifest)


def _results(data: bytes) -> None:
    """Results files of all kinds; the first byte says which reader."""
    reader = _READERS[(data or b"\0")[0] % len(_READERS)]
    with tempfile.TemporaryDirectory(dir=_SHM) as folder:
        said = reader.meet(data[1:], Path(folder))
    assert said is None, f"{reader.name}: {said}"


_READERS = [
    one
    for one in READERS
    if one.name
    in (
        "scores",
        "an evaluation's verdicts",
        "an evaluation's head",
        "EvalPlus' samples",
        "candidates",
        "LiveCodeBench's output",
        "suites",
        "rounds",
        "a run's verdicts",
        "a run's samples",
    )
]


def _card(data: bytes) -> None:
    html = str(rendered(_text(data), "/b", "/r")).lower()
    for bad in (
        "<script",
        "<iframe",
        "<svg",
        "<object",
        "<style",
        "<form",
        'href="javascript:',
        'src="javascript:',
        "<base",
    ):
        assert bad not in html, bad
    assert 'href="javascript:' not in html
    for tag in html.split("<")[1:]:
        inside = tag.partition(">")[0].split('"')[::2]  # without the values of attributes
        assert not any(" on" in f" {part}" and "=" in part for part in inside), tag[:100]


def _range(data: bytes) -> None:
    asked = {"range": data.decode("latin-1"), "if-range": '"e"'}
    response = part_of(b"0123456789" * 9, asked, {"ETag": '"e"', "Content-Type": "x"})
    assert len(response.body) <= 100 * 300


def _name(data: bytes) -> None:
    text = _text(data)
    if is_file_path(text):
        parts = text.split("/")
        assert ".." not in parts
        assert "" not in parts
        assert ".git" not in [part.lower() for part in parts]
        assert "\0" not in text
    if is_ref_name(text):
        assert ".." not in text
        assert "\\" not in text
        assert not text.startswith(("/", "-"))
    pointer = Pointer.parse(data)
    assert pointer is None or len(pointer.sha256) == 64


def _packed(data: bytes) -> None:
    _unpacked(data)


@lru_cache(maxsize=1)
def _scratch() -> str:
    return tempfile.mkdtemp(dir=_SHM)


@lru_cache(maxsize=1)
def _app() -> tuple[Any, str]:
    """The embedded Hub's application, in this process, with a repository."""
    from plum_hub.hubs.app import App
    from plum_hub.hubs.calls import Hub
    from plum_hub.hubs.limits import ServerLimits
    from plum_hub.hubs.store import Store

    store = Store(Path(tempfile.mkdtemp(dir=_SHM)), "local")
    repo = store.create("dataset", "local/kept", private=False)
    head = repo.git.commit_of("main")
    commit = repo.git.write_commit(head, "card\n", "local", [("README.md", b"---\nlicense: mit\n---\n# x\n")])
    repo.git.move_ref("refs/heads/main", commit, head)
    return App(Hub(store, ServerLimits())), store.tokens["read"]


def _hub(data: bytes) -> None:
    """A whole request: method, path and query, headers, body, separated by blank lines. Never a 500, and no write."""
    app, token = _app()
    method, path, headers, body = [*data.split(b"\n\n", 3), b"", b"", b"", b""][:4]
    path, _, query = path.partition(b"?")
    fields = [line.partition(b":")[::2] for line in headers.split(b"\n") if b":" in line]
    sent = [(name.strip().lower(), value.strip().replace(b"TOKEN", token.encode())) for name, value in fields]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method.decode("latin-1").strip(),
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": sent,
        "scheme": "http",
        "server": ("hub", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        "asgi": {"spec_version": "2.4"},
    }
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    _loop().run_until_complete(app(scope, receive, send))
    status = answers[0]["status"]
    assert 200 <= status < 500, status
    for name, value in answers[0]["headers"]:
        assert b"\n" not in name + value
        assert b"\r" not in name + value
    repo = app.hub.store.find("dataset", "local/kept")
    assert repo is not None


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _request(method: str, path: str, body: object = "", **headers: str) -> bytes:
    lines = "\n".join(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return "\n\n".join((method, path, lines, body if isinstance(body, str) else json.dumps(body))).encode()


_API, _SITE = "/api/datasets/local/kept", "/datasets/local/kept"
_REQUESTS = (
    _request("GET", f"{_API}/tree/main?recursive=1&limit=2", authorization="Bearer TOKEN"),
    _request("GET", f"{_SITE}/resolve/main/README.md", range="bytes=0-3", if_range="x"),
    _request(
        "POST", f"{_API}/paths-info/main", {"paths": ["README.md"], "expand": True}, content_type="application/json"
    ),
    _request(
        "POST",
        f"{_SITE}.git/info/lfs/objects/batch",
        {"operation": "download", "objects": [{"oid": "0" * 64, "size": 1}]},
    ),
    _request("POST", "/api/validate-yaml", {"content": "---\nlicense: mit\n---\n", "repoType": "model"}),
    _request("GET", f"{_SITE}/viewer?config=a&split=b", accept="text/html"),
    _request("POST", f"{_API}/commit/main", {"key": "header", "value": {"summary": "s"}}, authorization="Bearer TOKEN"),
    _request("PUT", "/lfs/object?sha256=0&size=1&expires=9&signature=x", "x"),
)
_PACKS = (
    b"POST\n\n/datasets/local/kept.git/git-upload-pack\n\ngit-protocol: version=2\n\n0014command=ls-refs\n0000",
    b"POST\n\n/datasets/local/kept.git/git-upload-pack\n\n\n\n0032want " + b"0" * 40 + b"\n00000009done\n",
    b"GET\n\n/datasets/local/kept.git/info/refs?service=git-upload-pack\n\ngit-protocol: version=1\n\n",
)
_HTTP_WORDS = (
    b"..",
    b"%2e%2e%2f",
    b"%00",
    b"%0a",
    b"/",
    b"//",
    b"?",
    b"&",
    b"=",
    b"\n\n",
    b"main",
    b"refs%2fheads%2fmain",
    b"\xff",
    b"HEAD",
    b"DELETE",
    b"POST",
    b"0" * 40,
    b"-1",
    b"9" * 4400,
    b"bytes=",
    b"[" * 3000,
    b"null",
    b"\\ud800",
    b"content-encoding: gzip\n",
    b"authorization: Basic eA==\n",
    b"accept: text/html\n",
    b"origin: null\n",
    b"host: \xff\n",
    b"discussions/1",
    b"README.md",
)
_PACK_WORDS = (
    b"0000",
    b"0001",
    b"0002",
    b"ffff",
    b"0032want ",
    b"0032have ",
    b"done\n",
    b"deepen 1",
    b"filter blob:none",
    b"\x1f\x8b",
)

TARGETS = (
    Target(
        "code extraction",
        _code,
        (_ANSWER, _SUITE, b"def f(x):\n    return x\n", b">>> f(1)\n2\n"),
        _CODE_WORDS,
        weight=2,
    ),
    Target("suite parsing", _suite, (_SUITE, _ANSWER), _CODE_WORDS, weight=2),
    Target("test modules", _tests, (_MODULE, _ANSWER.split(b"```")[1][7:]), _CODE_WORDS, (ValueError,), weight=2),
    Target(
        "values of the jail",
        _value,
        (*_VALUE_WORDS[:12], b'[1,"a",{"t":[1,{"s":[2]}]}]'),
        _VALUE_WORDS,
        (ValueError,),
        40,
    ),
    Target(
        "frames of the jail",
        _wire,
        (wire.pack(b"{}", wire.framed(b"a", b"xy")), wire.stop(3)),
        (b"\x00" * 4, b"\xff" * 8),
        (),
        60,
    ),
    Target(
        "expected values",
        _expected,
        _LITERALS,
        (*_LITERALS, b"(" * 200, b"**", b"9" * 5000, b"\x00"),
        (ValueError,),
        10,
    ),
    Target("JSON lines", _lines, (b'{"a": 1}\n{"b": 2}\n{"c"', b"[]\n"), _JSON_WORDS, (), 4),
    Target("YAML", _yaml, (_YAML, b"a: &x [1]\nb: *x\n"), _YAML_WORDS, (yaml.YAMLError,), 2),
    Target("recipes", _recipe, (_RECIPE.encode(),), _YAML_WORDS, (PlumError,), 1),
    Target("front matter", _front, (_YAML,), _YAML_WORDS, (front_matter.FrontMatterError,), 2),
    Target(
        "manifests", _manifest, (json.dumps(_MANIFEST).encode(),), _JSON_WORDS, (OSError, ValueError, RecursionError), 2
    ),
    Target(
        "results files", _results, tuple(bytes([n]) + one.whole for n, one in enumerate(_READERS)), _JSON_WORDS, (), 1
    ),
    Target("cards", _card, (_CARD,), _CARD_WORDS, (), 2),
    Target(
        "ranges",
        _range,
        (b"bytes=0-3,5-", b"bytes=-5"),
        (b"bytes=", b"-", b",", b"9" * 5000, b" "),
        (refusals.Refusal,),
        40,
    ),
    Target(
        "names and pointers",
        _name,
        (b"a/b.txt", b".git/x", Pointer("0" * 64, 5).to_bytes()),
        (b"..", b"/", b".git", b"\xe2\x80\x8c", b" ", b"~1"),
        (),
        60,
    ),
    Target("packed requests", _packed, (gzip.compress(b"0000"),), (b"\x1f\x8b\x08",), (refusals.Refusal,), 40),
    Target("the Hub's server", _hub, _REQUESTS, _HTTP_WORDS, (), 1),
    Target("the Hub's git packs", _hub, _PACKS, (*_PACK_WORDS, *_HTTP_WORDS[:6]), (), 1),
)


def mutated(target: Target, draw: Draw) -> bytes:
    """Draw an input: a seed with pieces cut, doubled, swapped, or words and bytes put in; now and then only words."""
    if draw.random() < 0.08:
        return b"".join(draw.choice(target.words) for _ in range(draw.randrange(1, 8)))
    data = bytearray(draw.choice(target.seeds))
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(7):
            case 0:
                del data[at : at + draw.randrange(1, 12)]
            case 1:
                data[at:at] = draw.choice(target.words) if target.words else b"\xff"
            case 2:
                data[at : at + 1] = bytes([draw.randrange(256)])
            case 3:
                other = draw.choice(target.seeds)
                start = draw.randrange(len(other) + 1)
                data[at:at] = other[start : start + draw.randrange(40)]
            case 4:
                data[at:at] = data[at : at + draw.randrange(1, 30)]
            case 5:
                del data[at:]
            case _:
                data[at : at + 4] = draw.choice(target.words)[:8] if target.words else b""
    return bytes(data)


def inputs(target: Target, count: int, seed: int) -> Any:
    """Yield so many inputs, the same for the same seed: the seeds first; files are damaged as in `tests/fuzzing.py`."""
    draw = Draw(f"{target.name} {seed}")
    for number in range(count):
        if number < len(target.seeds):
            yield target.seeds[number]
        elif target.name in ("recipes", "manifests", "results files") and draw.random() < 0.5:
            whole = draw.choice(target.seeds)
            head = whole[:1] if target.name == "results files" else b""
            yield head + damaged(whole[len(head) :], draw)
        else:
            yield mutated(target, draw)


_ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.builds(range, st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 9))
    | st.fractions()
    | st.decimals(allow_nan=False)
)
_HASHED = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    _ATOMS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(_HASHED, inner, max_size=4)
        | st.sets(_HASHED, max_size=4)
        | st.frozensets(_HASHED, max_size=4)
    ),
    max_leaves=20,
)
"""Values that a program can return."""
