"""Progress of a command, as a library call reports it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOG = logging.getLogger("plum_hub")
_WEIGHT = 8
"""Number of finished answers that the expected length of an answer counts for: the first to finish are short."""


class Progress:
    """Where a stage tells how far it is. This one keeps silent; the command line has one that draws bars."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """A stage starts: `total` rows are wanted in all, `done` of them are there."""

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:  # noqa: ARG002 - this one keeps silent
        """For the time of the block the stage makes no rows, since `what` goes on, as `loading MODEL`; its speed is
        counted from the block's end."""
        yield

    def expect(self, tokens: float) -> None:
        """Each row of this stage is an answer of about `tokens` tokens, by which the time left is estimated until
        enough of them are finished."""

    def wrote(self, tokens: int) -> None:
        """So many tokens were written since the last call, in answers finished or not; `advance` counts the finished
        ones once more."""

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        """That many more rows are done, and so many tokens were generated for them."""

    def end(self) -> None:
        """The stage is complete."""

    def close(self) -> None:
        """Nothing more will be told, whatever happened. Idempotent."""

    def say(self, text: str) -> None:
        """Something the user should know, in one line."""

    def beside(self) -> "Progress":
        """Where another stage tells of itself that goes on at the same time, from a thread of its own."""
        return self


class LoggedProgress(Progress):
    """Reporter that counts, and logs where stages begin and end; it shows nothing.

    Args:
        now: The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.follows = False
        """Whether the rows come from another stage that is still running, so that the speed says nothing."""
        self._reset("", 0, 0)

    def _reset(self, stage: str, total: int, done: int) -> None:
        self.stage, self.total, self.done = stage, total, done
        self.fresh, self.tokens, self.written = 0, 0, 0
        self.expected: float | None = None
        self.pending = ""
        self.started = self.now()

    def begin(self, stage: str, total: int, done: int) -> None:
        self._reset(stage, total, done)
        _LOG.info("%s: %d of %d there already", stage, done, total)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self.pending, self.started = what, self.now()
        try:
            yield
        finally:
            self.pending, self.started = "", self.now()

    def expect(self, tokens: float) -> None:
        self.expected = tokens

    def wrote(self, tokens: int) -> None:
        self.written += tokens

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        self.done += rows
        self.fresh += rows
        self.tokens += tokens

    def end(self) -> None:
        _LOG.info("%s", self.line())

    def say(self, text: str) -> None:
        _LOG.info("%s", text)

    def beside(self) -> Progress:
        one = type(self)(self.now)
        one.follows = True
        return one

    def line(self) -> str:
        """Return the state of the stage in one line."""
        count = f"{self.done}" + (f"/{self.total}" if self.total else "")
        head = f"{self.stage}: " if self.stage else ""
        return head + "  ".join([*([] if self.pending and not self.total else [count]), *self.details()])

    def details(self) -> list[str]:
        """Return tokens so far, speed, and time left or passed."""
        seconds = max(self.now() - self.started, 1e-9)
        tokens = max(self.tokens, self.written)
        if self.pending:
            return [f"{self.pending} ... {clock(seconds)}"]
        parts = []
        if tokens:
            parts += [f"{tokens:,} tokens", f"{tokens / seconds:.0f} tokens/s"]
        elif self.fresh:
            parts.append(f"{self.fresh / seconds:.1f}/s")
        elif self.expected is not None and (not self.total or self.total > self.done):
            parts.append("reading the prompts")
        left = self.seconds_left(seconds)
        if left is not None:
            parts.append(f"{clock(left)} left")
        else:
            parts.append(f"in {clock(seconds)}" if self.fresh or tokens else clock(seconds))
        return parts

    def seconds_left(self, seconds: float) -> float | None:
        """Estimate the time that the remaining rows take at the speed so far.

        Args:
            seconds: Time since the stage began to work.

        Returns:
            Seconds; None if no rows remain or no speed is known yet.
        """
        rows, tokens = self.total - self.done, max(self.tokens, self.written)
        if rows <= 0 or self.follows:
            return None
        if self.expected is not None and tokens:
            each = (self.expected * _WEIGHT + self.tokens) / (_WEIGHT + self.fresh)
            # Even if answers turn out longer than expected, the unfinished ones are not done.
            owed = max(rows * each - (tokens - self.tokens), 0.1 * rows * each)
            return owed * seconds / tokens
        return rows * seconds / self.fresh if self.fresh else None


def clock(seconds: float) -> str:
    """Format a duration as 1h02m, 3m04s or 5s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else (f"{minutes}m{rest:02}s" if minutes else f"{rest}s")
