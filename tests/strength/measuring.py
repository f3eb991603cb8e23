"""Small suites, and their measured strength."""

from collections.abc import Iterable, Iterator

from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.records import SuiteStrength, TestCase, TestSuite
from plum_hub.strength import measure

CLAMP = '''def clamp(x, low, high):
    """Return x, but at least low and at most high."""
    if x < low:
        return low
    if x > high:
        return high
    return x
'''


def as_cases(given: Iterable[TestCase | tuple[str, str]]) -> tuple[TestCase, ...]:
    """Cases; a pair is a call and its value."""
    return tuple(
        one if isinstance(one, TestCase) else TestCase(kind="call", call=one[0], expected=one[1]) for one in given
    )


def suite(reference: str, entry_point: str, *cases: TestCase | tuple[str, str]) -> TestSuite:
    return TestSuite(
        id=f"suite of {entry_point}", instruction_id="task", response_id="answer", entry_point=entry_point,
        starter_code="", reference=reference, cases=as_cases(cases),
    )  # fmt: skip


def strength(judge: Judge, *suites: TestSuite, cpu_seconds: float = 5.0) -> list[SuiteStrength]:
    return list(measure(suites, judge, Limits(cpu_seconds=cpu_seconds), most=100))


class RecordingJudge:
    """The real judge, which remembers what it was given."""

    def __init__(self, judge: Judge) -> None:
        self.judge, self.programs, self.cpu_seconds = judge, list[Program](), list[float]()

    @property
    def harness_version(self) -> str:
        return self.judge.harness_version

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        given = list(programs)
        self.programs += given
        for execution in self.judge.run(given):
            self.cpu_seconds.append(execution.cpu_seconds)
            yield execution
