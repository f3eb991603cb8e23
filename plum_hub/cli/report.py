"""`plum-hub report`: what runs show, as tables and as one page."""

from typing import TYPE_CHECKING, Any

import click

from plum_hub.cli.options import AS_JSON, PRIVATE, QUIET, Count, FilePath, read_hub

if TYPE_CHECKING:
    from plum_hub.reports.write import WrittenReport


@click.command(short_help="Report what runs show, on one page.")
@click.argument("runs", metavar="RUN|REPO@TAG...", nargs=-1, required=True)
@click.option("--out", type=FilePath, help="Folder of the report.  [default: runs/report-NAME]")
@click.option("--title", help="Title of the report.  [default: the names of the runs]")
@click.option(
    "--samples",
    type=Count(1),
    default=20_000,
    show_default=True,
    help="Most samples that the page holds; of more, instructions are taken at equal distances.",
)
@click.option("--space", is_flag=True, help="Publish the page as a static Space.")
@click.option("--repo", help="Repository of the Space.  [default: the dataset's, or the report's, with -report]")
@PRIVATE
@read_hub()
@AS_JSON
@QUIET
def report(runs: tuple[str, ...], as_json: bool, quiet: bool, **given: Any) -> None:
    """Write a report of builds, trainings and evaluations, or of folders that hold some of them.

    report.html is one file that loads nothing and works from a disk: rows by stage, training curves, results with
    intervals, the paper's tables beside the published values, and an explorer of every instruction, suite and sample.
    report.md, report.json and PNG files have the same figures.

    \b
    Examples:
      plum-hub report runs/starter
      plum-hub report runs/starter runs/base runs/trained --out runs/report
      plum-hub report me/plum-starter@v1.0.0 --space
    """
    from plum_hub.api.report import report as write
    from plum_hub.cli import reporters, screen

    with reporters.progress(quiet) as progress:
        written = write(runs, **given, progress=progress)
    screen.show(written, _show, as_json=as_json)


def _show(written: "WrittenReport") -> None:
    from plum_hub.cli.screen import facts

    page, *others = written.files
    found = written.content
    counts = {"datasets": len(found.builds), "trainings": len(found.trainings), "evaluations": len(found.evaluations)}
    facts(
        [
            ("page", str(page)),
            ("beside it", ", ".join(path.relative_to(written.folder).as_posix() for path in others)),
            (
                "of",
                ", ".join(f"{count} {name if count > 1 else name[:-1]}" for name, count in counts.items() if count)
                or "label truth",
            ),
            *(("note", note) for note in found.notes),
            *(written.space.facts() if written.space else ()),
        ]
    )
