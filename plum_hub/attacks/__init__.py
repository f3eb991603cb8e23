"""Programs that attack the judge, the jail or the machine, and correct programs that judges tend to fail wrongly.

They only run in a verified sandbox. `plum-hub doctor --attack` and the tests run them all; nothing else imports this
package.
"""

from dataclasses import dataclass

from plum_hub.execution.base import Call, Case, Limits, Program, Statement, Stdio

FOUR = Call(expression="f(2)", expected="4")
NOTHING = Call(expression="f(2)", expected="'nothing'")
ASSERTED = Statement(source="assert f(2) == 4")
PRINTED = Stdio(stdin="2\n", stdout="4\n")


_OPEN_IN = {"names-outside": "landlock"}


@dataclass(frozen=True)
class Attack:
    """A hostile program and the status that a sound judge gives it.

    An escape passes by returning "nothing"; otherwise it returns what it got hold of.

    Attributes:
        name: Unique within its group.
        about: What it tries, in words.
        status: The expected status, or several separated by `|` where the machine decides; never `passed` for a program
            that tries to pass wrongly.
        code: Python source.
        case: The case or cases to run.
    """

    name: str
    about: str
    status: str
    code: str
    case: Case | tuple[Case, ...] = FOUR
    cases: int = 1
    """Number of repetitions of a single case."""
    memory_mb: int = 1024

    @property
    def open_in(self) -> str:
        """The sandbox that cannot stop it, which `plum-hub doctor` says of that sandbox; empty if there is none."""
        return _OPEN_IN.get(self.name, "")

    @property
    def program(self) -> Program:
        """The program, with limits small enough that the corpus runs in a minute.

        A program that can only run out of memory gets the time that a busy machine needs to provide so much.
        """
        memory_only = "out_of_memory" in self.status and "timed_out" not in self.status
        cpu_seconds, wall_seconds = (4.0, 20.0) if memory_only else (0.4, 1.8)
        cases = self.case if isinstance(self.case, tuple) else (self.case,) * self.cases
        return Program(
            id=self.name,
            code=self.code,
            entry_point=None if isinstance(cases[0], Stdio) else "f",
            cases=cases,
            limits=Limits(cpu_seconds=cpu_seconds, wall_seconds=wall_seconds, memory_mb=self.memory_mb, output_kb=64),
        )

    def stopped(self, status: str) -> bool:
        """Check a judge's status.

        Args:
            status: An `Execution.status`.

        Returns:
            Whether it is an expected one.
        """
        return status in self.status.split("|")
