"""Progress reporters for the terminal, on stderr: bars on a terminal, lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from typing_extensions import override

from plum_hub.cli.screen import is_terminal
from plum_hub.progress import LoggedProgress, Progress

_EVERY_SECONDS = 15.0
"""How often a line is printed where there is no terminal to draw a bar on."""


def reporter() -> Progress:
    """Return a reporter that draws bars on a terminal, and prints lines elsewhere."""
    return Bars() if is_terminal(sys.stderr) else Lines()


@contextmanager
def progress(quiet: bool) -> Iterator[Progress | None]:
    """Give a command its reporter for the time of the block, then close it.

    Args:
        quiet: Whether to show nothing.

    Yields:
        The reporter; None if `quiet`, which the API takes for silence.
    """
    if quiet:
        yield None
        return
    opened = reporter()
    try:
        yield opened
    finally:
        opened.close()


class Lines(LoggedProgress):
    """Reporter for pipes and log files: one line when a stage ends, and one every 15 seconds before.

    A thread checks once a second whether a line is due, so that lines appear even while nothing is finished.

    Args:
        now: The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
        self._printed = now()
        self._stop: threading.Event | None = None
        self._beside: list[Lines] = []

    @override
    def begin(self, stage: str, total: int, done: int) -> None:
        super().begin(stage, total, done)
        self._printed = self.now()
        self._start()

    @override
    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self._start()
        with super().waiting(what):
            yield

    @override
    def end(self) -> None:
        super().end()
        self._halt()
        click.echo(self.line(), err=True)

    @override
    def say(self, text: str) -> None:
        super().say(text)
        click.echo(text, err=True)

    @override
    def beside(self) -> Progress:
        self._beside.append(Lines(self.now))
        self._beside[-1].follows = True
        return self._beside[-1]

    @override
    def close(self) -> None:
        self._halt()
        for one in self._beside:
            one.close()

    def tick(self) -> None:
        """Print the state of the stage if nothing was printed for 15 seconds."""
        if self.now() - self._printed >= _EVERY_SECONDS:
            self._printed = self.now()
            click.echo(self.line(), err=True)

    def _start(self) -> None:
        if self._stop is None:
            self._stop = threading.Event()
            threading.Thread(target=self._watch, args=(self._stop,), daemon=True).start()

    def _halt(self) -> None:
        if self._stop is not None:
            self._stop.set()
        self._stop = None

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(1.0):
            self.tick()


class Bars(LoggedProgress):
    """Reporter for terminals: one bar per stage, with rows, tokens, rate, and time left.

    The cursor is hidden until `close`.

    Args:
        now: The clock, in seconds.
        bars: The display to add the bars to; None for a new one.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, bars: RichProgress | None = None) -> None:
        super().__init__(now)
        self._bars = bars or RichProgress(
            TextColumn("{task.description:>12}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),  # it may name a folder, as `loading ./[v2]`
            TimeElapsedColumn(),  # rich refreshes it by itself, so that a display never stands still
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None

    @override
    def begin(self, stage: str, total: int, done: int) -> None:
        super().begin(stage, total, done)
        self._bars.start()  # rich ignores a second call
        self._task = self._bars.add_task(stage, total=total or None, completed=done, rate="")

    @override
    def extend(self, total: int, done: int) -> None:
        super().extend(total, done)
        assert self._task is not None
        self._bars.update(self._task, total=total or None)
        self._show()

    @override
    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        first = self._task is None  # no stage has begun: show a bar for the time of the block only
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task("", total=None, rate="")
        task = self._task
        with super().waiting(what):
            self._show(rate=what)
            yield
        if first:
            self._bars.remove_task(task)
            self._task = None
        else:
            self._show(rate="")

    @override
    def wrote(self, tokens: int) -> None:
        super().wrote(tokens)
        self._show()

    @override
    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        super().advance(rows, tokens)
        self._show()

    @override
    def end(self) -> None:
        super().end()
        assert self._task is not None
        self._bars.update(self._task, total=self.done, completed=self.done)

    @override
    def beside(self) -> Progress:
        one = Bars(self.now, self._bars)
        one.follows = True
        return one

    @override
    def close(self) -> None:
        if self._bars.live.is_started:
            self._bars.stop()

    @override
    def say(self, text: str) -> None:
        super().say(text)
        self._bars.console.print(escape(text), highlight=False)

    def _show(self, rate: str | None = None) -> None:
        assert self._task is not None
        self._bars.update(self._task, completed=self.done, rate="  ".join(self.details()) if rate is None else rate)
