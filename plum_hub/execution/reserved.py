"""Names under which what we write into a case finds its builtins, whatever the program calls its own things.

A case is evaluated among the program's names, and a program may well have a function `set` or a constant `bool`. So no
text of ours names a builtin: it names `reserved("set")`, which is put into the scope behind the program's names.
"""

import builtins
import signal
from typing import Any

_BUILTINS = (
    "AssertionError", "BaseException", "StopIteration", "abs", "bool", "globals", "hash", "isinstance", "len", "list",
    "map", "set", "sorted", "str", "tuple", "type",
)  # fmt: skip


def reserved(name: str) -> str:
    """Return the name that stands for a builtin in a case, or for `import`, `setitimer`."""
    return f"__plum_{name}__"


RESERVED: dict[str, Any] = {
    **{reserved(name): getattr(builtins, name) for name in _BUILTINS},
    reserved("import"): __import__,
    reserved("setitimer"): signal.setitimer,
}
"""What each of them stands for."""
