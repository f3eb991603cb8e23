"""Progress of a command, as a library call reports it."""

from collections.abc import Iterator
from contextlib import contextmanager


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
