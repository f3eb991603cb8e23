"""Read generations made by someone else from the files of other tools.

EvalPlus, human-eval    one object per line: `task_id`, and `solution` (a program) or `completion` (of the prompt);
                        a repeated id is another sample. In any file or folder that is read.
EvalPlus                a folder or zip archive with a file for each program, `HumanEval_0/0.py`
LiveCodeBench           a JSON array: `question_id` and `code_list`; or with `output_list`
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plum_hub.answers.source import parse
from plum_hub.benchmarks.livecodebench.formats import read_outputs
from plum_hub.errors import InstructionsError, UsageError
from plum_hub.evaluation.config import SelectedBenchmark
from plum_hub.evaluation.program_files import find_program_files
from plum_hub.instructions.local import files_sha256, find_local

MAX_CHARACTERS = 1_000_000
"""Most characters of a program. No solution of a benchmark comes near this; a longer one is not run, and fails."""

_MAX_BYTES = 4 * MAX_CHARACTERS + 4
"""Bytes of a program's file that are read: enough to see that it has more characters."""

_FENCE = re.compile(r"^ *(```|~~~)", re.MULTILINE)

_BENCHMARKS = {"humaneval/": "humaneval+", "mbpp/": "mbpp+"}
"""Benchmarks by how ids begin (`_plain_id`)."""
_ROWS = """{"task_id": "HumanEval/0", "solution": "..."}"""


@dataclass(frozen=True)
class Generation:
    """One program of a file."""

    where: str
    """File and line, for error messages."""
    problem: str
    solution: str | None
    """The whole program; None if the file has completions."""
    completion: str | None
    """The continuation of the prompt; None if the file has solutions."""
    answer: str = ""
    """The whole answer, if the file has it."""

    @property
    def text(self) -> str:
        """The solution or completion."""
        return self.solution if self.solution is not None else self.completion or ""

    def program(self, prompt: str) -> str:
        """Build the whole program.

        Args:
            prompt: The code that a completion continues; "" if the problem has none.

        Returns:
            Python source.
        """
        return self.solution if self.solution is not None else f"{prompt}{self.completion}"


def read_generations(path: Path) -> list[Generation]:
    """Read the generations of a file or folder.

    Args:
        path: The file or folder.

    Returns:
        The generations, in file order.

    Raises:
        UsageError: The file cannot be read, has another format, or holds no program; the message names the line.
    """
    generations = _generations(path)
    if not any(_holds_code(one.solution if one.completion is None else one.completion) for one in generations):
        raise UsageError(f"{path} holds no program, all are blank or comments: give the file of a model that wrote any")
    return generations


def _holds_code(text: str | None) -> bool:
    lines = (line.strip() for line in (text or "").removeprefix("\ufeff").splitlines())
    return any(line and not line.startswith("#") for line in lines)


def _generations(path: Path) -> list[Generation]:
    if files := find_program_files(path):
        return [Generation(one.where, one.problem, one.text, None) for one in files.programs(_MAX_BYTES)]
    generations: list[Generation] = []
    try:
        for where, row in find_local(path).rows():
            if "question_id" in row:
                return _of_contest(path)
            generations.append(_generation(row, where))
    except InstructionsError as error:
        raise UsageError(_with_form(path, str(error)) + _cut_off(path, str(error))) from error
    if not generations:
        raise UsageError(f"{path} holds no generation: give rows of task_id and solution")
    return generations


def generations_sha256(path: Path) -> str:
    """Return the SHA-256 of what `read_generations` reads.

    Args:
        path: The file or folder.

    Returns:
        That of the file's bytes; of several files, that of the digest and name of each.

    Raises:
        UsageError: A file cannot be read.
    """
    found = find_program_files(path)
    try:
        return files_sha256(path, found.files if found else find_local(path).found.files)
    except InstructionsError as error:
        raise UsageError(str(error)) from error


def benchmark_of(generations: list[Generation]) -> str:
    """Recognise the benchmark by the ids of its problems.

    Args:
        generations: At least one generation.

    Returns:
        Name of the benchmark.

    Raises:
        UsageError: The ids are of no benchmark that can be recognised.
    """
    name = generations[0].problem
    plain = _plain_id(name)
    benchmark = next((benchmark for start, benchmark in _BENCHMARKS.items() if plain.startswith(start)), None)
    if benchmark is None:
        raise UsageError(
            f"cannot tell the benchmark of {name!r}: name it with --benchmarks, as in  --benchmarks livecodebench"
        )
    return benchmark


def match_generations(
    generations: list[Generation], chosen: SelectedBenchmark, *, partial: bool
) -> dict[str, list[Generation]]:
    """Assign generations to the problems of a benchmark.

    Args:
        generations: The generations.
        chosen: The benchmark.
        partial: Whether problems may lack a generation.

    Returns:
        The generations of each problem that has any, in the benchmark's order.

    Raises:
        UsageError: No generation is of this benchmark, or, unless `partial`, a problem has none.
    """
    by_problem: dict[str, list[Generation]] = {name: [] for name in chosen.problems}
    for one in generations:
        if one.problem in by_problem:
            by_problem[one.problem].append(one)
    missing = [name for name, group in by_problem.items() if not group]
    if len(missing) == len(by_problem):
        raise UsageError(
            f"no generation is of {chosen.name}: its ids are like {next(iter(by_problem))!r}, here they are like "
            f"{generations[0].problem!r}; name the right one with --benchmarks"
        )
    if missing and not partial:
        raise UsageError(
            f"{len(missing)} of {len(by_problem)} problems of {chosen.name} have no generation, the first is "
            f"{missing[0]!r}: add them, or score the others with --partial"
        )
    return {name: group for name, group in by_problem.items() if group}


def with_whole_ids(generations: list[Generation], known: set[str]) -> list[Generation]:
    """Resolve ids that are written otherwise, where only one problem can be meant.

    Args:
        generations: The generations. Their ids may be the number of a problem, as in MBPP's own files, or differ from
            its id in case, in blanks around it, or by the `_` that EvalPlus has in names of folders.
        known: Ids of all problems.

    Returns:
        The generations, the others unchanged.
    """
    named: dict[str, list[str]] = {}
    for name in known:
        for other in {_plain_id(name), name.rpartition("/")[2]}:
            named.setdefault(other, []).append(name)
    return [
        replace(one, problem=found[0])
        if one.problem not in known and len(found := named.get(_plain_id(one.problem), [])) == 1
        else one
        for one in generations
    ]


def _plain_id(name: str) -> str:
    return name.strip().casefold().replace("_", "/")


def refuse_unknown(generations: list[Generation], known: set[str]) -> None:
    """Refuse generations of unknown problems, which might be of another version of the benchmark.

    Args:
        generations: The generations.
        known: Ids of all problems.

    Raises:
        UsageError: A generation is of no known problem.
    """
    unknown = [one for one in generations if one.problem not in known]
    if unknown:
        first = unknown[0]
        others = f", nor are those of {len(unknown) - 1} other rows: remove them" if unknown[1:] else ": remove it"
        raise UsageError(
            f"{first.where}: {first.problem!r} is not a problem of the selected benchmarks{others}, or name the "
            "benchmark with --benchmarks"
        )


def note_on_answers(generations: list[Generation]) -> tuple[str, ...]:
    """Return a remark if solutions or completions are whole answers in Markdown, none of which can pass.

    EvalPlus judges them as they are too, so that the scores stay comparable.

    Args:
        generations: The generations.

    Returns:
        The remark, or nothing.
    """
    answers = [one for one in generations if _FENCE.search(one.text) and parse(one.text) is None]
    if not answers:
        return ()
    kind = "solution" if answers[0].solution is not None else "completion"
    number = f"one {kind} is an answer" if len(answers) == 1 else f"{len(answers):,} {kind}s are answers"
    note = (
        f"{number} in Markdown and no program, so that none can pass, the first is {answers[0].where}: extract the "
        "programs first, for example with  evalplus.sanitize"
    )
    return (note,)


def _generation(row: Mapping[str, Any], where: str) -> Generation:
    name = row.get("task_id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str):
        raise UsageError(
            f"{where}: task_id is {_describe(name)}, not text: write it as in {{'task_id': 'HumanEval/0'}}"
        )
    texts = {key: row[key] for key in ("solution", "completion") if row.get(key) is not None}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"{where}: {key} is {_describe(text)}, not text: write one row for each program")
    if not texts:
        given = next((key for key in ("solution", "completion") if key in row), None)
        what = f"{given} is null" if given else "has neither solution nor completion"
        raise UsageError(f"{where}: {what}: add one, or leave the row out")
    return Generation(where, name, texts.get("solution"), texts.get("completion"))


def _of_contest(path: Path) -> list[Generation]:
    generations = [
        Generation(f"{path}, {output.question_id}", output.question_id, program, None, answer)
        for output in read_outputs(path)
        for program, answer in zip(output.programs, output.answers, strict=True)
    ]
    if not generations:
        raise UsageError(f"{path} holds no program, every code_list is empty: give LiveCodeBench's output of a model")
    return generations


def _describe(value: object) -> str:
    return "missing" if value is None else f"a {type(value).__name__} ({str(value)[:40]})"


def _with_form(path: Path, message: str) -> str:
    """Return an error, or if the file is of lists of programs, by position or by id, what to write instead."""
    if "is a JSON list, not an object" in message:
        found = message.partition(" is a JSON list")[0]
        return f"{found} is a list, and programs are not judged by position: write one row for each, as in {_ROWS}"
    if "it has a value for each column or index" in message:
        return f"{path} is one object: write one row for each program (.jsonl), as in {_ROWS}"
    return message


def _cut_off(path: Path, message: str) -> str:
    """Return what to add to an error if it is of the file's last line, which seems incomplete."""
    if path.suffix != ".jsonl" or not path.is_file():
        return ""
    with path.open("rb") as file:
        number, last = 0, b""
        for number, last in enumerate(file, 1):  # noqa: B007 - the last ones are meant
            pass
    is_cut = f":{number} is not valid JSON" in message and not last.endswith(b"\n")
    return " (the file ends in the middle of a line: its writer was stopped)" if is_cut else ""
