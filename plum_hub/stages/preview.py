"""The card of a run before it is published: its text, and the page that a browser shows."""

from html import escape
from pathlib import Path

from plum_hub.lines import writing
from plum_hub.release.tree import CARD
from plum_hub.stages.base import Context
from plum_hub.stages.release import release

_STYLE = (
    "body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;color:#212121}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid #ccc;padding:.3rem .6rem}"
    "pre,code{background:#f5f5f5}pre{padding:.8rem;overflow-x:auto}img{max-width:100%}"
)


def card_of(context: Context) -> str:
    """The card's text, without its front matter; the tree that it stands in is written to the run's `release/dataset`.

    Raises:
        NothingToReleaseError: no instruction has a chosen sample.
        RunError: the tree cannot be written.
    """
    folder = Path(release(context, None).folder)
    text = (folder / CARD).read_text(encoding="utf-8")
    return text.split("\n---\n", 1)[1].lstrip("\n")


def write_page(context: Context, card: str) -> Path:
    """The card as an HTML page, beside the tree whose pictures it shows.

    Raises:
        RunError: it cannot be written.
    """
    from markdown_it import MarkdownIt

    title = escape(card.partition("\n")[0].lstrip("# "))
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    body = body.replace('src="figures/', 'src="dataset/figures/')
    page = context.run.folder / "release" / "card.html"
    head = f'<!doctype html>\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
    with writing(page):
        page.write_text(head + body, encoding="utf-8")
    return page
