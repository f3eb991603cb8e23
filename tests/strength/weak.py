"""Builds whose suites miss a branch."""

import json
from pathlib import Path
from typing import Any

from tests import rehearsal
from tests.rehearsal import addend, name, program, task, write_rehearsal


def write_weak(folder: Path, tasks: int = 6, *, mixed: bool = True) -> None:
    """A rehearsal with suites that miss a branch; in every second task also, or only, strong ones with fewer cases."""
    write_rehearsal(folder, tasks)
    with (folder / "answers.jsonl").open("w") as file:
        for number in range(tasks):
            function, plus = name(number), addend(number)
            begin = f"def {function}(x: int) -> int:\n    "
            head = f"### Starter code\n```python\n{begin}pass\n```\n\n### Solution\n```python\n"
            solution = f"{begin}if x > 100:\n        return x * 2 + {plus}\n    return x + {plus}\n"
            expected = {x: x * 2 + plus if x > 100 else x + plus for x in (0, 5, -1, 7, 9, 100, 101)}
            weak, strong = (
                f"{head}{solution}```\n\n### Tests\n```python\n"
                + "".join(f"assert {function}({x}) == {expected[x]}\n" for x in chosen)
                + "```\n"
                for chosen in ((0, 5, -1, 7, 9), (0, -1, 100, 101))
            )
            responses = [weak, strong][not mixed :] if number % 2 else [weak]
            file.write(json.dumps({"contains": f"Task:\n{task(number)}", "texts": responses}) + "\n")
            bodies = [f"return x + {plus}", solution.removeprefix(begin).rstrip()]
            answers = [program(number, body) for body in bodies]
            file.write(json.dumps({"contains": f"{task(number)}\n\nSolve", "texts": answers}) + "\n")


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    return rehearsal.rows(run, kind)


STRONG = ("--set", "suites.min_strength=0.9")
