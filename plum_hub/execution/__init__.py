"""Run untrusted programs in isolation and report what each did. Knows programs, never labels.

    from plum_hub.execution import Call, Judge, Limits, Program

Names are imported on first use, because the inside of a jail is part of this package too.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plum_hub.execution.base import Call, Execution, Limits, Program, Statement, Stdio
    from plum_hub.execution.judge import Judge

__all__ = ["Call", "Execution", "Judge", "Limits", "Program", "Statement", "Stdio"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'judge' if name == 'Judge' else 'base'}"), name)
