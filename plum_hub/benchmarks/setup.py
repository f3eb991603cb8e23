"""Combine a program with the setup code of a benchmark."""

from plum_hub.answers.source import futures_first


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
    return futures_first(f"{setup}\n{code}") if setup else code
