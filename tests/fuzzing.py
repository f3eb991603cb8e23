"""Makes damaged files out of whole ones, the same for the same seed, and the readers of users' files that meet them.

python -m tests.fuzzing COUNT [SEED]        each reader with so many damaged files; what escapes is printed
"""

import copy
import gzip
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plum_hub import layers
from plum_hub import recipe as recipes
from plum_hub.benchmarks.livecodebench.files import ProblemFiles
from plum_hub.engines import parse_engine
from plum_hub.errors import PlumError
from plum_hub.evaluation.comparison import compare
from plum_hub.evaluation.folder import EvaluationFolder
from plum_hub.evaluation.generations import benchmark_of, read_generations
from plum_hub.instructions import InstructionsConfig, load
from plum_hub.instructions.hub import declared_license, read_folder
from plum_hub.judging.inputs import read_programs, read_suites
from plum_hub.pipeline.status import summarise
from plum_hub.publishing.model_checkpoint import open_checkpoint
from plum_hub.records import Instruction, Preference, Response, Sample, TestSuite, Verdict
from plum_hub.release.manifest import VerifiableManifest
from plum_hub.release.record import read_releases
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.run import Run
from plum_hub.training.curves import draw
from plum_hub.training.data import read_data
from plum_hub.training.settings import compose
from plum_hub.verification.files import check_files, check_manifest
from plum_hub.verification.findings import Findings
from tests.training.records import ROUND, TRAINING

Draw = random.Random

_DEEP: Any = json.loads("[" * 200 + "]" * 200)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**400,
    1.5,
    1e999,
    float("nan"),
    "",
    "x",
    "\x00",
    "\ud800",
    "é" * 50,
    [],
    {},
    [[]],
    [None],
    {"": None},
    ["x", 1],
    {"a": {"b": []}},
    _DEEP,
    "a" * 10_000,
    "f(",
    "[1, 2",
    "1" * 5000,
    "2024-99-99",
)
_TEXTS = (
    b"",
    b"\n",
    b"\n\n\n",
    b"\x00" * 100,
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b"[{}]",
    b"{}\n",
    b"NaN",
    b"1" * 5000,
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd\x00\x00",
    b"PAR1",
    b"PAR1PAR1",
    b'{"a": 1, "a": 2}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xef\xbb\xbf",
    b"- - - -\n",
    b"a: &a [*a]\n",
    b"? {a: b}\n: c\n",
    b"!!python/object:os.system {}\n",
    b"a: b: c",
    b"---\n---\n",
    b"1: 2\n",
    b"? [a]\n: b\n",
    b"a: 2024-99-99\n",
    b"a: 1e400\n",
)


def damaged(whole: bytes, draw: Draw) -> bytes:
    """A file that is not what it should be."""
    kind = draw.choice((_retyped, _retyped, _retyped, _cut, _scattered, _coded, _replaced))
    return kind(whole, draw)


def _cut(whole: bytes, draw: Draw) -> bytes:
    start, end = sorted(draw.randrange(len(whole) + 1) for _ in range(2))
    return draw.choice((whole[:end], whole[start:], whole[:start] + whole[end:]))


def _scattered(whole: bytes, draw: Draw) -> bytes:
    content = bytearray(whole)
    for _ in range(draw.randrange(1, 8)):
        at = draw.randrange(len(content) + 1)
        content[at : at + draw.randrange(2)] = draw.choice(
            (b"\x00", b"\xff", b"\n", b"\r", b'"', b"}", b"[", b"\\ud800", b"9" * 5000)
        )
    return bytes(content)


def _coded(whole: bytes, draw: Draw) -> bytes:
    text = whole.decode("utf-8", "replace")
    return draw.choice(
        (
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.encode("utf-8-sig"),
            text.encode("utf-32"),
            whole.replace(b"\n", b"\r\n"),
            whole.replace(b"\n", b"\r"),
            whole.replace(b"\n", b"\n\n"),
            whole.rstrip(b"\n"),
            gzip.compress(whole),
            gzip.compress(whole)[:-9],
            whole + whole,
            whole[::-1],
        )
    )


def _replaced(_: bytes, draw: Draw) -> bytes:
    if draw.random() < 0.7:
        return draw.choice(_TEXTS)
    return json.dumps(draw.choice(_VALUES)).encode() + draw.choice((b"", b"\n"))


def _retyped(whole: bytes, draw: Draw) -> bytes:
    """One to three values of other types, or keys too many or too few."""
    dump: Callable[[Any], str]
    try:
        rows = [json.loads(line) for line in whole.splitlines()]
        dump = json.dumps
    except ValueError:
        try:
            rows, dump = [json.loads(whole)], json.dumps
        except ValueError:
            try:
                rows, dump = [yaml.safe_load(whole)], yaml.safe_dump
            except yaml.YAMLError:
                return _scattered(whole, draw)
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(rows))
        rows[at] = _other(rows[at], draw)
    try:
        return "\n".join(map(dump, rows)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError, yaml.YAMLError):
        return _scattered(whole, draw)


def _other(value: Any, draw: Draw) -> Any:
    """The value with one thing in it changed, however deep."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        changed = dict(value)
        match draw.randrange(8):
            case 0:
                del changed[key]
            case 1:
                changed[draw.choice(("", "x", "id", "kind", key + " "))] = copy.deepcopy(draw.choice(_VALUES))
            case _:
                changed[key] = _other(value[key], draw)
        return changed
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return [*value[:at], _other(value[at], draw), *value[at + 1 :]]
    return copy.deepcopy(draw.choice(_VALUES))


@dataclass(frozen=True)
class Reader:
    """Something that reads a user's file."""

    name: str
    file: str
    """Where it lies in its folder."""
    whole: bytes
    read: Callable[[Path], object]
    """Reads the folder; may raise `PlumError` alone."""
    beside: tuple[tuple[str, bytes], ...] = ()
    """Files that it needs whole."""

    def meet(self, content: bytes | None, folder: Path) -> str | None:
        """Read a file of this content (None: a folder of its name), and say what escaped."""
        for name, other in self.beside:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(other)
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        try:
            self.read(folder)
        except PlumError as error:
            return f"more than one line: {error}" if "\n" in str(error) else None
        except Exception:  # noqa: BLE001 - whatever escapes is what is looked for
            return traceback.format_exc()
        return None


def _lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


_CALL = {"kind": "call", "call": "add(1, 2)", "expected": "3", "tolerance": None}
_SUITES = _lines(
    {
        "instruction_id": "a",
        "entry_point": "add",
        "cases": ["assert add(1, 2) == 3", _CALL, {"input": "1", "output": "2"}],
    },
    {"instruction_id": "b", "entry_point": None, "cases": "def test():\n    assert add(1, 2) == 3\n\ntest()\n"},
)
_CANDIDATES = _lines(
    {"sample_id": "1", "instruction_id": "a", "code": "def add(a, b):\n    return a + b"},
    {"id": "2", "instruction_id": "b", "code": None},
)
_EVALPLUS = _lines(
    {"task_id": "HumanEval/0", "solution": "def f(): pass"}, {"task_id": "HumanEval/1", "completion": "    pass"}
)
_CONTEST = json.dumps([{"question_id": "1", "code_list": ["x"], "output_list": ["y"], "graded_list": [True]}]).encode()
_TURNS = [
    {"role": "user", "content": [{"type": "text", "text": "Write a Python function."}]},
    {"from": "gpt", "value": "x"},
]
_CHATS = _lines(
    {"id": "QWJhYvA_0", "lang": "python", "messages": _TURNS},
    {"id": 3, "lang": ["py"], "messages": json.dumps(_TURNS)},
    {"id": "x_4", "first_turn": True, "messages": {"role": ["user"], "content": ["Write a Python function, please."]}},
)
_TASKS = _lines(
    *({"id": n, "instruction": f"Write a Python function number {n}.", "input": "", "language": "en"} for n in range(3))
)
_CONVERSATION = [{"role": "user", "content": "add"}]
_ROWS = _lines(
    *(
        {
            "prompt": _CONVERSATION,
            "completion": [{"role": "assistant", "content": f"a{n}"}],
            "label": n % 2 == 0,
            "instruction_id": "i",
            "sample_id": str(n),
            "tools": [{"type": "function"}],
            "chat_template_kwargs": {},
        }
        for n in range(3)
    )
)
_PAIRS = _lines({"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "d", "chosen": "e", "rejected": "f"})
_RECIPE = (
    recipes.compose(
        None,
        "fuzz",
        {"policy": {"type": "scripted", "model": "a.jsonl"}, "generator": {"type": "scripted", "model": "a.jsonl"}},
        [],
    )
    .filled()
    .to_yaml()
)
_SEALED = (("recipe.yaml", _RECIPE.encode()), ("recipe.sha256", f"{recipes.seal(_RECIPE)}\n".encode()))
_ROWS_OF_RUNS: dict[type, tuple[str, dict[str, Any]]] = {
    Instruction: (
        "instructions",
        {"id": "i", "text": "t", "source": "s", "revision": "r", "row": "1", "license": None},
    ),
    Response: (
        "responses",
        {
            "id": "r",
            "instruction_id": "i",
            "index": 0,
            "seed": 1,
            "prompt_digest": "p",
            "text": "t",
            "finish_reason": "stop",
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "engine": "e",
        },
    ),
    TestSuite: (
        "suites",
        {
            "id": "s",
            "instruction_id": "i",
            "response_id": "r",
            "entry_point": "add",
            "starter_code": "",
            "reference": "",
            "cases": [{**_CALL, "statement": None, "stdin": None, "stdout": None}],
        },
    ),
    Sample: (
        "samples",
        {
            "id": "a",
            "instruction_id": "i",
            "suite_id": "s",
            "index": 0,
            "seed": 1,
            "prompt_digest": "p",
            "text": "t",
            "code": "x",
            "finish_reason": "stop",
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "engine": "e",
        },
    ),
    Verdict: (
        "verdicts",
        {
            "id": "v",
            "sample_id": "a",
            "suite_id": "s",
            "instruction_id": "i",
            "status": "passed",
            "cases": [{"outcome": "passed", "detail": "", "judged": "outside"}],
            "detail": "",
            "cpu_seconds": 0.1,
            "peak_memory_mb": 1.0,
            "output": "",
        },
    ),
    Preference: (
        "preferences",
        {
            "id": "p",
            "instruction_id": "i",
            "suite_id": "s",
            "sample_id": "a",
            "verdict_id": "v",
            "prompt": _CONVERSATION,
            "completion": "c",
            "label": True,
        },
    ),
}
_VERDICT = {
    "id": "v",
    "sample_id": "s",
    "benchmark": "humaneval",
    "problem": "HumanEval/0",
    "suite": "base",
    "status": "passed",
    "cases": 1,
    "failed": [],
    "outcome": "passed",
    "detail": "",
    "cpu_seconds": 0.1,
    "peak_memory_mb": 1.0,
    "not_run": 0,
}
_EVALUATION = {
    "samples": "samples.jsonl",
    "samples_sha256": "0" * 64,
    "benchmarks": {"humaneval": "r"},
    "selection": {"since": "", "until": "", "difficulties": [], "platforms": [], "first": 2},
    "protocol": {"prompt": "chat"},
    "harness": "h",
    "date": "2026-01-01T00:00:00+00:00",
}
_SCORES = {
    **_EVALUATION,
    "scores": [],
    "outcomes": {
        "humaneval": {
            "revision": "r",
            "counts": {"base": {"official": {"HumanEval/0": [1, 1], "HumanEval/1": [1, 0]}}},
            "parts": {"easy": ["HumanEval/0"]},
        }
    },
}
_SCORED = json.dumps(_SCORES).encode()
_MANIFEST = {
    "schema_version": 1,
    "counts": {"rows": {}, "dropped": {}, "conversational": True},
    "columns": {"kto": ["prompt"]},
    "files": [{"path": "a.parquet", "size": 1, "sha256": "0" * 64, "rows": 1}],
    "previous": None,
    "lineage": {"policy": {"identity": {"model": "m", "revision": "r"}}, "sources": [{"name": "s", "license": None}]},
}
_CONTEST_ROW = dict.fromkeys(
    (
        "question_title",
        "question_content",
        "platform",
        "question_id",
        "contest_id",
        "contest_date",
        "starter_code",
        "difficulty",
        "public_test_cases",
        "private_test_cases",
        "metadata",
    ),
    "x",
)


def _judge(folder: Path) -> None:
    suites = read_suites(folder / "suites.jsonl")
    for _ in read_programs(folder / "samples.jsonl", suites):
        pass


def _generated(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        found = read_generations(folder / name)
        for one in found:
            one.program("def f():\n").encode("utf-8", "replace")
        benchmark_of(found)

    return read


def _instructions(name: str) -> Callable[[Path], object]:
    return lambda folder: list(load(InstructionsConfig(source=str(folder / name), near_duplicates=1.0)).rows)


def _training(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        for method in ("kto", "dpo", "sft"):
            try:
                read_data(str(folder / name), method, "embedded").record()  # type: ignore[arg-type]
            except PlumError as error:
                assert "\n" not in str(error)

    return read


def _run(kind: type) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        run = Run.open(folder)
        try:
            list(run.rows(kind))
        except PlumError as error:
            assert "\n" not in str(error)
        summarise(run)

    return read


def _evaluated(folder: Path) -> None:
    found = EvaluationFolder(folder)
    list(found.verdicts())


def _recipe(folder: Path) -> None:
    text = layers.read(folder / "recipe.yaml")
    layers.sections(text, "recipe.yaml")
    recipes.compose(text, "recipe.yaml", {}, ["samples.seed=1", "policy.model=x"]).filled().to_yaml()


def _settings(folder: Path) -> None:
    if (folder / "setting").is_dir():
        return
    text = (folder / "setting").read_bytes().decode("utf-8", "replace")
    for key in ("epochs", "learning_rate", "report_to", "optim", text[:20]):
        try:
            compose([f"{key}={text}"])
        except PlumError as error:
            assert "\n" not in str(error)
        try:
            recipes.compose(None, "options", {"policy": {"type": "scripted", "model": "x"}}, [f"samples.{key}={text}"])
        except PlumError as error:
            assert "\n" not in str(error)


def _script(folder: Path) -> None:
    parse_engine(f"scripted:{folder / 'answers.jsonl'}").open().close()


def _audit(folder: Path) -> None:
    findings = Findings()
    manifest = check_manifest(folder, findings, VerifiableManifest)
    if manifest is not None:
        check_files(folder, manifest, findings)


def _metrics(folder: Path) -> None:
    draw(folder / "metrics.jsonl", folder / "report")


def _of_releases(folder: Path) -> None:
    read_releases(folder)


def _dataset(folder: Path) -> None:
    list(read_folder(folder, "me/rows", {"prompt"}))
    declared_license(folder)


def _packed(rows: bytes) -> bytes:
    """The rows as Parquet."""
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist([json.loads(line) for line in rows.splitlines()]), sink)
    return bytes(sink.getvalue())


READERS = (
    Reader("suites", "suites.jsonl", _SUITES, _judge, (("samples.jsonl", _CANDIDATES),)),
    Reader(
        "suites as one array",
        "suites.json",
        b"[" + _SUITES.replace(b"}\n{", b"},{") + b"]",
        lambda at: read_suites(at / "suites.json"),
    ),
    Reader("suites, packed", "suites.jsonl.gz", gzip.compress(_SUITES), lambda at: read_suites(at / "suites.jsonl.gz")),
    Reader("candidates", "samples.jsonl", _CANDIDATES, _judge, (("suites.jsonl", _SUITES),)),
    Reader("EvalPlus' samples", "samples.jsonl", _EVALPLUS, _generated("samples.jsonl")),
    Reader("LiveCodeBench's output", "samples.json", _CONTEST, _generated("samples.json")),
    Reader("tasks", "tasks.jsonl", _TASKS, _instructions("tasks.jsonl")),
    Reader("tasks in Parquet", "tasks.parquet", _packed(_TASKS), _instructions("tasks.parquet")),
    Reader("rows in Parquet", "rows.parquet", _packed(_PAIRS), _training("rows.parquet")),
    Reader("conversations", "tasks.jsonl", _CHATS, _instructions("tasks.jsonl")),
    Reader("rows", "rows.jsonl", _ROWS, _training("rows.jsonl")),
    Reader("pairs", "rows.json", b"[" + _PAIRS.replace(b"}\n{", b"},{") + b"]", _training("rows.json")),
    *(
        Reader(f"a run's {name}", f"shards/00000/{name}.jsonl", _lines(row, row), _run(kind), _SEALED)
        for kind, (name, row) in _ROWS_OF_RUNS.items()
    ),
    Reader(
        "a run's releases",
        "releases.jsonl",
        _lines({"repo": "a/b", "tag": "v1", "commit": "c", "hub": "public"}),
        _of_releases,
    ),
    Reader("a run's recipe", "recipe.yaml", _RECIPE.encode(), Run.open, _SEALED[1:]),
    Reader("a recipe", "recipe.yaml", _RECIPE.encode(), _recipe),
    Reader("settings", "setting", b"1e-5", _settings),
    Reader("an evaluation's verdicts", "verdicts.jsonl", _lines(_VERDICT, _VERDICT), _evaluated),
    Reader(
        "an evaluation's head",
        "evaluation.json",
        json.dumps(_EVALUATION).encode(),
        lambda at: EvaluationFolder(at).head(),
    ),
    Reader(
        "scores",
        "one/scores.json",
        _SCORED,
        lambda at: compare(at / "one", at / "two"),
        (("two/scores.json", _SCORED),),
    ),
    Reader(
        "a checkpoint",
        "training.json",
        json.dumps(TRAINING).encode(),
        lambda at: open_checkpoint(at, None),
        (("adapter_model.safetensors", b""),),
    ),
    Reader(
        "metrics",
        "metrics.jsonl",
        _lines({"step": 1, "loss": 0.5, "seconds": 1.0}, {"step": 2, "loss": 0.4, "kl": 0.1}),
        _metrics,
    ),
    Reader("rounds", "rounds.jsonl", _lines(ROUND), lambda at: RoundsFolder(at).records()),
    Reader("a manifest", "manifest.json", json.dumps(_MANIFEST).encode(), _audit),
    Reader("scripted answers", "answers.jsonl", _lines({"contains": "x", "texts": ["y"]}), _script),
    Reader(
        "LiveCodeBench itself",
        "test.jsonl",
        _lines(_CONTEST_ROW),
        lambda at: list(ProblemFiles(range(1, 2), at).rows()),
    ),
    Reader("a dataset's file", "data/train.jsonl", _ROWS, _dataset),
    Reader(
        "a dataset's card",
        "README.md",
        b"---\nlicense: mit\nconfigs:\n- config_name: a\n  data_files: data/*\n---\n# x\n",
        _dataset,
        (("data/train.jsonl", _ROWS),),
    ),
)


def escapes(reader: Reader, count: int, seed: int) -> list[tuple[bytes | None, str]]:
    """What escaped a reader over so many damaged files, with the files."""
    draw = Draw(f"{reader.name} {seed}")
    first: tuple[bytes | None, ...] = (reader.whole, None, b'{"a":' * 100_000 + b"\n", b"[]\n", b"null\n")
    found = []
    for number in range(count):
        content = first[number] if number < len(first) else damaged(reader.whole, draw)
        with tempfile.TemporaryDirectory() as folder:
            said = reader.meet(content, Path(folder))
        if said is not None:
            found.append((content, said))
    return found


def main() -> None:
    """Fuzz at length."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    total = 0
    for reader in READERS:
        if len(sys.argv) > 3 and sys.argv[3] not in reader.name:
            continue
        found = escapes(reader, count, seed)
        total += len(found)
        last = {said.strip().splitlines()[-1][:60]: (content, said) for content, said in found}
        print(f"{reader.name}: {len(found)} of {count}", flush=True)
        for content, said in last.values():
            print(f"    {(content or b'')[:300]!r}\n    " + "\n    ".join(said.strip().splitlines()[-7:]), flush=True)
    print(f"{total} escaped")


if __name__ == "__main__":
    main()
