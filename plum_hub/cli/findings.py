"""Results of `verify` and `diff`, on stdout."""

from collections import Counter
from collections.abc import Mapping

import click

from plum_hub.cli import screen
from plum_hub.verification.dataset import DatasetReport
from plum_hub.verification.diff import ReleaseDiff
from plum_hub.verification.findings import MEANINGS, MODEL_MEANINGS, Check, Findings, shown
from plum_hub.verification.matching import Change, reasons
from plum_hub.verification.model import ModelReport

_LISTED = 12
"""Rows of one kind that are printed; --json has more."""


def show_report(report: DatasetReport | ModelReport) -> None:
    """Print what `verify` compared, and what does not agree; of a model, also of its dataset.

    Args:
        report: What `verify` returned.
    """
    if isinstance(report, ModelReport):
        _show_model(report)
    else:
        _show_dataset(report)


def _show_model(report: ModelReport) -> None:
    _show_findings(report.findings, MODEL_MEANINGS)
    release = f"{report.release.repo}@{report.release.version}, commit {report.release.commit}"
    screen.facts([("model", release), ("outcome", _outcome(report.findings))])
    if report.dataset is not None:
        click.echo()
        _show_dataset(report.dataset)


def _show_dataset(report: DatasetReport) -> None:
    _show_findings(report.findings, MEANINGS)
    judged = f"{report.judged:,} of {report.samples:,}"
    if report.options.sample is not None:
        judged += f", drawn by --seed {report.options.seed}"
    release = f"{report.release.repo}@{report.release.version}, commit {report.release.commit}"
    screen.facts([("release", release), ("judged", judged), ("outcome", _outcome(report.findings))])


def _outcome(findings: Findings) -> str:
    return "everything agrees" if findings.agree else f"{findings.differing.total():,} mismatches"


def _show_findings(findings: Findings, meanings: Mapping[Check, str]) -> None:
    rows = []
    for check, meaning in meanings.items():
        compared, differing = findings.compared[check], findings.differing[check]
        rows.append((check, f"{compared:,}", f"{differing:,}" if differing else "", meaning))
    screen.table(("check", "compared", "differing", "what agrees"), rows)
    _show_disagreements(findings)
    for note in findings.notes:
        click.echo(f"note: {note}")


def _show_disagreements(findings: Findings) -> None:
    """Print the first mismatches of each check, so that many of one do not hide another."""
    if findings.agree:
        return
    rows = []
    for check in findings.differing:
        listed = [one for one in findings.listed if one.check == check][:_LISTED]
        texts = ((one.what, one.published, one.found) for one in listed)
        rows += [(check, *(" ".join(text.split()) for text in of)) for of in texts]
        if more := findings.differing[check] - len(listed):
            rows.append((check, f"and {more:,} more", "", ""))
    screen.table(("check", "what", "published", "found here"), rows)


def show_difference(found: ReleaseDiff) -> None:
    """Print what differs in how two releases were made, in the rows of each config, and the labels that flipped.

    Args:
        found: The differences of two releases.
    """
    names = (found.old.version, found.new.version)
    if found.provenance:
        pairs = found.provenance.items()
        rows = [(key, *("" if value is None else shown(value) for value in pair)) for key, pair in pairs]
        screen.table(("setting", *names), rows)
    for config, (gone, fresh) in found.columns.items():
        click.echo(f"columns of {config}: {', '.join([*(f'-{one}' for one in gone), *(f'+{one}' for one in fresh)])}")
    table = []
    for config, of in found.configs.items():
        kinds = {"added": of.added, "removed": of.removed, "changed": of.changed}
        why = "; ".join(f"{kind}: {_reasons(changes)}" for kind, changes in kinds.items() if changes)
        table.append((config, *(f"{number:,}" for number in (of.old, of.new, *map(len, kinds.values()))), why))
    screen.table(("config", *names, "added", "removed", "changed", "why"), table)
    _show_flips(found)


def _reasons(changes: list[Change]) -> str:
    return ", ".join(f"{count:,} {why}" for why, count in reasons(changes).items())


def _show_flips(found: ReleaseDiff) -> None:
    counts = Counter((flip.match, ", ".join(flip.why)) for flip in found.flips)
    said = "; ".join(f"{count:,} by {why} (same {match})" for (match, why), count in counts.most_common())
    click.echo(f"labels flipped: {len(found.flips):,}" + (f": {said}" if said else ""))
    if not found.flips:
        return
    rows = []
    for flip in found.flips[:_LISTED]:
        samples = [flip.old_sample_id, flip.new_sample_id]
        name = " -> ".join(dict.fromkeys(samples))
        states = (_state(flip.old_status, flip.old_label), _state(flip.new_status, flip.new_label))
        rows.append((flip.instruction_id, name, *states, ", ".join(flip.why)))
    screen.table(("instruction", "sample", "was", "is", "why"), rows)
    if len(found.flips) > _LISTED:
        click.echo(f"and {len(found.flips) - _LISTED:,} more; --json lists them")


def _state(status: str, label: bool) -> str:
    return f"{status}, {'chosen' if label else 'rejected'}"
