"""How a program's process ends, and one that it forked. Part of the inside of a jail."""

import atexit
import gc
import os
import sys
from typing import Any

_own_number, _leave = os.getpid, os._exit  # a program may change what modules hold


def end_interpreter(scope: dict[str, Any], output: Any) -> None:
    """End as an interpreter does: join threads, call exit functions, flush open files.

    Args:
        scope: Names that are forgotten, with the files that only they hold.
        output: What standard output was before the program ran.
    """
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    _flush(sys.stdout)
    scope.clear()
    gc.collect()
    _flush(output)


def _flush(stream: Any) -> None:
    """Flush a stream; a program may have closed its output or replaced it with anything."""
    if not getattr(stream, "closed", False) and hasattr(stream, "flush"):
        stream.flush()


def leave_fork(owner: int, error: BaseException | None) -> None:
    """End this process as an interpreter would end here, if it is one that the program forked.

    What comes next is the harness's, of which a fork must run nothing: its parent would see how that ends.

    Args:
        owner: The process of the run, which goes on.
        error: What the program raised; None if it returned.
    """
    if _own_number() == owner:
        return
    status = 1
    try:
        status = 0 if error is None else _status(error)
        if error is not None:
            error.__traceback__ = None  # it holds frames, and they hold files that are not flushed yet
        end_interpreter({}, sys.stdout)
    finally:
        _leave(status)


def _status(error: BaseException) -> int:
    """Return the exit status for an exception, after printing what an interpreter prints."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1
