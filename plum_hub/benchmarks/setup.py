"""A program behind the code that a benchmark puts before it."""

import ast

from plum_hub.answers.source import parse


def prepend_setup(setup: str, code: str) -> str:
    """One program of both. What comes from `__future__` is moved to the front, where alone Python takes it: judges that
    only paste the two together call such a program wrong."""
    tree = parse(code) if "__future__" in code else None
    found = (
        [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"] if tree else []
    )
    if not setup or not found:
        return f"{setup}\n{code}" if setup else code
    lines = code.encode().split(b"\n")
    for node in reversed(found):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        rest = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [lines[first][: node.col_offset] + b"pass" + rest, *[b""] * (last - first)]
    return "\n".join([*map(ast.unparse, found), setup, b"\n".join(lines).decode()])
