"""The interface through which library calls report their progress."""

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Progress reporter; a no-op by default. The command line has a subclass that draws bars."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """Start a stage.

        Args:
            stage: Name of the stage.
            total: Rows that the stage makes in all; 0 if unknown.
            done: Rows that exist already.
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
