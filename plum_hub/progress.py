"""The interface through which library calls report their progress."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typing_extensions import override

_LOG = logging.getLogger("plum_hub")
_WEIGHT, _SHARE = 8, 6
"""The expected length of an answer counts for so many finished ones, or for that part of all: the first are short."""
_UNFINISHED = 0.6
"""Share of an answer's length that an unfinished one still takes at least. Of 213 real answers, 299 tokens long on
average, those that had come to between 50 and 400 tokens had 180 to 250 more."""

_SLOW = 10.0
"""Seconds a row from which on a stage is told by the time of each, since its rows a second would round to nothing."""


class Progress:
    """Progress reporter; a no-op by default. The command line has a subclass that draws bars."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """Start a stage.

        Args:
            stage: Name of the stage.
            total: Rows that the stage makes in all; 0 if unknown.
            done: Rows that exist already.
        """

    def extend(self, total: int, done: int) -> None:
        """Correct the totals of the stage, of which more rows have become known.

        Args:
            total: Rows that the stage makes in all.
            done: Rows more that exist already.
        """

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:  # noqa: ARG002 - the base class reports nothing
        """Report that the stage makes no rows while the block runs. Its speed is measured from the end of the block.

        Args:
            what: What is being waited for, as in `loading MODEL`.

        Yields:
            Nothing.
        """
        yield

    def expect(self, tokens: float) -> None:
        """Give the expected length of a row, to estimate the time left until enough rows are finished.

        Args:
            tokens: Expected tokens of each row.
        """

    def wrote(self, tokens: int) -> None:
        """Report tokens that were generated since the last call, in finished and unfinished answers.

        Args:
            tokens: Number of new tokens. `advance` counts those of finished answers again.
        """

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        """Report finished rows.

        Args:
            rows: Number of rows.
            tokens: Tokens generated for them.
        """

    def end(self) -> None:
        """Report that the stage is complete."""

    def close(self) -> None:
        """Stop reporting, whatever happened. Idempotent."""

    def say(self, text: str) -> None:
        """Show the user a message.

        Args:
            text: One line.
        """

    def beside(self) -> "Progress":
        """Return the reporter of a stage that runs at the same time as this one, in another thread."""
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
        self.started = self.latest = self.now()

    @override
    def begin(self, stage: str, total: int, done: int) -> None:
        self._reset(stage, total, done)
        _LOG.info("%s: %d of %d there already", stage, done, total)

    @override
    def extend(self, total: int, done: int) -> None:
        self.total = total
        self.done += done

    @contextmanager
    @override
    def waiting(self, what: str) -> Iterator[None]:
        self.pending, self.started = what, self.now()
        try:
            yield
        finally:
            self.pending = ""
            self.started = self.latest = self.now()

    @override
    def expect(self, tokens: float) -> None:
        self.expected = tokens

    @override
    def wrote(self, tokens: int) -> None:
        self.written += tokens

    @override
    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        self.done += rows
        self.fresh += rows
        self.tokens += tokens
        self.latest = self.now()

    @override
    def end(self) -> None:
        _LOG.info("%s", self.line())

    @override
    def say(self, text: str) -> None:
        _LOG.info("%s", text)

    @override
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
            each = self._seconds_each(seconds)
            parts.append(f"{clock(each)} each" if each > _SLOW else f"{self.fresh / seconds:.1f}/s")
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
            weight = max(_WEIGHT, self.total / _SHARE)
            each = (self.expected * weight + self.tokens) / (weight + self.fresh)
            owed = max(rows * each - (tokens - self.tokens), _UNFINISHED * rows * each)
            return owed * seconds / tokens
        return self._seconds_each(seconds) * (self.fresh + rows) - seconds if self.fresh else None

    def _seconds_each(self, seconds: float) -> float:
        """Return the seconds that a finished row took, not counting the time since: the next one is on its way."""
        return max((self.latest - self.started) / self.fresh, seconds / (self.fresh + 1))


def clock(seconds: float) -> str:
    """Format a duration.

    Args:
        seconds: The duration, in seconds.

    Returns:
        For example `1h02m`, `3m04s` or `5s`.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else (f"{minutes}m{rest:02}s" if minutes else f"{rest}s")
