"""Programs that attack the judge, the jail or the machine, and right ones of the kind that judges fail wrongly.

They run only in a jail that has proved itself. `plum-hub doctor --attack` and the tests run them all; nothing else
imports this package.
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
    """One program, what it tries, and the status that a sound judge gives it.

    `status` has one name, or several with `|` between them where the machine decides which; never "passed" for a
    program that tries to pass wrongly. An escape passes by returning "nothing", else it returns what it got hold of.
    """

    name: str
    about: str
    status: str
    code: str
    case: Case | tuple[Case, ...] = FOUR
    cases: int = 1
    """How often the case is repeated."""
    memory_mb: int = 1024

    @property
    def open_in(self) -> str:
        """The sandbox that cannot stop it, as `plum-hub doctor` says of that sandbox; "" if there is none."""
        return _OPEN_IN.get(self.name, "")

    @property
    def program(self) -> Program:
        """The program, with limits small enough for a corpus to be run in a minute. One that can only run out of memory
        has the time that a busy machine takes to give it so much."""
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
        """Whether the judge's status is the right one."""
        return status in self.status.split("|")
