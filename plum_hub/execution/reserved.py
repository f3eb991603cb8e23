"""Names by which code that we add to a case finds builtins, whatever the program's own names are.

A case is evaluated in the program's scope, where the program may define a function `set` or a constant `bool`. So code
that we add never names a builtin: it uses `reserved("set")`, which is added to the scope after the program's names.
"""

import builtins
import signal
from typing import Any

_BUILTINS = (
    "AssertionError", "BaseException", "StopIteration", "abs", "bool", "globals", "hash", "isinstance", "len", "list",
    "map", "set", "sorted", "str", "tuple", "type",
)  # fmt: skip


def reserved(name: str) -> str:
    """Return the name that stands for a builtin in a case.

    Args:
        name: A builtin of `RESERVED`, `import` or `setitimer`.

    Returns:
        An identifier.
    """
    return f"__plum_{name}__"


RESERVED: dict[str, Any] = {
    **{reserved(name): getattr(builtins, name) for name in _BUILTINS},
    reserved("import"): __import__,
    reserved("setitimer"): signal.setitimer,
}
"""The builtins by reserved name."""
