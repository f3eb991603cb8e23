"""Preview the card of a run or a checkpoint before it is published, as text and as an HTML page."""

import re
from html import escape
from pathlib import Path

from plum_hub.files import writing
from plum_hub.pipeline.base import Context
from plum_hub.progress import Progress
from plum_hub.publishing.dataset import release
from plum_hub.publishing.model import ModelPublishRequest, push_model
from plum_hub.release.manifest import CARD
from plum_hub.run import Run
from plum_hub.training.checkpoint import TrainingFolder

_STYLE = (
    "body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;color:#212121}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid #ccc;padding:.3rem .6rem}"
    "pre,code{background:#f5f5f5}pre{padding:.8rem;overflow-x:auto}img{max-width:100%}"
)


def write_tree(folder: Path) -> Path:
    """Write the release that a run or a checkpoint would be published as.

    Args:
        folder: The run or the checkpoint.

    Returns:
        Folder of the release, within `folder`.

    Raises:
        NothingToReleaseError: No instruction has a chosen sample.
        TrainingError: The training is not finished, or its base model is missing.
        RunError: The folder is neither a run nor a checkpoint, or the release cannot be written.
    """
    if TrainingFolder(folder).record() is not None:
        return Path(push_model(ModelPublishRequest(checkpoint=folder), None, Progress()).folder)
    return Path(release(Context(run=Run.open(folder)), None).folder)


def read_card(tree: Path) -> str:
    """Read the card of a release.

    Args:
        tree: Folder of the release.

    Returns:
        Markdown, without the front matter.
    """
    text = (tree / CARD).read_text(encoding="utf-8")
    return text.split("\n---\n", 1)[1].lstrip("\n")


def write_page(tree: Path, card: str) -> Path:
    """Render a card as an HTML page, next to the release whose pictures it shows.

    Args:
        tree: Folder of the release.
        card: Markdown of the card, without the front matter.

    Returns:
        The page, `card.html`.

    Raises:
        RunError: The page cannot be written.
    """
    from markdown_it import MarkdownIt

    title = escape(card.partition("\n")[0].lstrip("# "))
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    body = re.sub('src="(?=figures/|report/)', f'src="{tree.name}/', body)
    page = tree.parent / "card.html"
    head = f'<!doctype html>\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
    with writing(page):
        page.write_text(head + body, encoding="utf-8")
    return page
