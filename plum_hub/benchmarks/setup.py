"""Combine a program with the setup code of a benchmark."""

import ast

from plum_hub.answers.source import parse


def prepend_setup(setup: str, code: str) -> str:
    """Put setup code in front of a program.

    Imports from `__future__` are moved to the front, as Python requires; judges that only concatenate the two
    reject such programs.

    Args:
        setup: The setup code; "" for none.
        code: The program.

    Returns:
        The combined program.
    """
    tree = parse(code) if "__future__" in code else None
    future = (
        [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"] if tree else []
    )
    if not setup or not future:
        return f"{setup}\n{code}" if setup else code
    lines = code.encode().split(b"\n")
    for node in reversed(future):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        rest = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [lines[first][: node.col_offset] + b"pass" + rest, *[b""] * (last - first)]
    return "\n".join([*map(ast.unparse, future), setup, b"\n".join(lines).decode()])
