"""A card before anything is published: as text, on the screen and as a page."""

import sys
from pathlib import Path

from tests.rehearsal import command, plum_hub, write_rehearsal


def test_a_card_is_shown_before_it_is_published(tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    show = [sys.executable, "-m", "plum_hub", "card", str(tmp_path / "run")]
    text = plum_hub(show)
    assert text.returncode == 0, text.stderr
    assert text.stdout.startswith("# plum tasks answers\n")
    assert "| `kto` |" in text.stdout
    preview = plum_hub([*show, "--preview"])
    assert preview.returncode == 0, preview.stderr
    assert "| `kto` |" not in preview.stdout, "a table is drawn, not written"
    page = tmp_path / "run" / "release" / "card.html"
    assert str(page) in preview.stdout.replace("\n", "")
    html = page.read_text()
    assert "<table>" in html
    for name in ("verdicts", "pass_ratios"):
        source = f"dataset/figures/{name}.svg"
        assert f'src="{source}"' in html
        assert (page.parent / source).read_text().startswith("<svg")
    assert not (tmp_path / "run" / "releases.jsonl").exists()
