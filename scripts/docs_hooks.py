"""What the documentation needs to look alike as a site and on a code host; mkdocs.yml names it."""

import re
from typing import Any

_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")


def on_page_markdown(markdown: str, **_page: Any) -> str:
    r"""Write `|` for `\|` in code within tables.

    A code host takes a bare `|` there for the end of the cell, and shows none of the backslash. Python-Markdown ends no
    cell within code, and shows the backslash.

    Args:
        markdown: The text of a page.
        _page: The page, the configuration and the files.

    Returns:
        The text with the code in its tables changed.
    """
    return _ROW.sub(lambda row: _CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), markdown)
