from pathlib import Path

import pytest

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.durations import raise_limits
from plum_hub.execution import Call, Judge
from plum_hub.execution.base import Case

SLOW = "def f():\n    return sum(number % 7 for number in range(600_000))\n"


def problem(name: str, reference: str | None, *cases: Case, **more: object) -> Problem:
    values = {"text": "", "kind": "instruction", "entry_point": "f", "cpu_seconds": 0.01, "suites": {"base": cases}}
    return Problem(id=name, reference=reference, **(values | more))  # type: ignore[arg-type]


def test_limits_leave_room_for_the_benchmarks_own_solutions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path))
    right = Call(expression="f()", expected=str(sum(number % 7 for number in range(600_000))))
    problems = [
        problem("slow", SLOW, right),
        problem("quick", "def f(): return 1", Call(expression="f()", expected="1"), cpu_seconds=3.0),
        problem("wrong", SLOW, Call(expression="f()", expected="1"), cpu_seconds=3.0),
        problem("without", None, right),
        problem("own limits", SLOW, right, limits={"base": 0.5}),
    ]
    with Judge(workers=1) as judge:
        slow, *others = raise_limits("made", problems, judge)
        assert slow.cpu_seconds >= 1.0, "rounded up to whole seconds"
        assert others == problems[1:]
        kept = tmp_path / "benchmarks" / "made-seconds.json"
        assert kept.read_text().count(":") == 3
        kept.write_text(kept.read_text().replace("0.", "5."))
        assert raise_limits("made", problems[:1], judge)[0].cpu_seconds > 20, "what was measured once is read"
        kept.write_text("[damaged")
        assert raise_limits("made", problems[:1], judge)[0].cpu_seconds < 20, "and measured again where it is damaged"
