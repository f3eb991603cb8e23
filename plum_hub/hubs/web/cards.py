"""Markdown as HTML, for cards and discussions. Nothing in it runs, or is loaded from elsewhere."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markupsafe import Markup

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINE_BREAK = re.compile(r"<br\s*/?>")


def rendered(text: str, files: str = "", pictures: str = "") -> Markup:
    """Render Markdown without its front matter.

    HTML within it is shown as text, except comments, which are dropped, and line breaks. Pictures on other hosts
    become
    links.

    Args:
        text: The Markdown.
        files: URL that relative links start from.
        pictures: URL that relative pictures start from.

    Returns:
        Safe HTML.
    """
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def html(tokens: Sequence[Any], at: int, _options: Any, _environment: Any) -> str:
        parts = _LINE_BREAK.split(_COMMENT.sub("", tokens[at].content))
        return "<br>".join(escape(part) for part in parts)

    def image(tokens: Sequence[Any], at: int, _options: Any, _environment: Any) -> str:
        source, name = str(tokens[at].attrs.get("src", "")), escape(tokens[at].content)
        if urlsplit(source).scheme or source.startswith("//"):
            return f'<a href="{escape(source)}" rel="noreferrer">{name or "picture"}</a>'
        return f'<img src="{escape(_placed(source, pictures))}" alt="{name}">'

    for name, rule in {"html_block": html, "html_inline": html, "image": image}.items():
        markdown.add_render_rule(name, lambda _renderer, *given, rule=rule: rule(*given))
    tokens = markdown.parse(text)
    for token in tokens:
        if style := token.attrs.pop("style", None):  # how a column is aligned; pages have no inline styles
            token.attrSet("class", str(style).removeprefix("text-align:"))
    for token in (child for block in tokens for child in block.children or ()):
        if token.type == "link_open":
            token.attrSet("href", _placed(str(token.attrs.get("href", "")), files))
            token.attrSet("rel", "noreferrer")
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))


def without_front_matter(text: str) -> str:
    """Strip the front matter of a card.

    Args:
        text: The card.

    Returns:
        Its body.
    """
    match = re.match(r"\ufeff?---[ \t]*\n.*?^---[ \t]*$", text, re.DOTALL | re.MULTILINE)
    return text[match.end() :] if match else text


def _placed(link: str, base: str) -> str:
    """Resolve a relative link against the repository; leave others unchanged."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or link.startswith(("/", "#", "?")) or not base:
        return link
    path = quote(unquote(parts.path).removeprefix("./"))
    return f"{base}/{path}" + (f"#{parts.fragment}" if parts.fragment else "")
