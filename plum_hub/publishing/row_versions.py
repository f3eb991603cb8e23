"""The versions that made a run's rows, as the rows record them; a release states no others (laws 4 and 7).

Between a build and its release, Python, mypy, the sandbox, a prompt or any package may have changed. So nothing is read
from this machine: what made a row is recorded with the row, and what no record proves is not published.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from plum_hub.errors import RunError
from plum_hub.judging.cases import judge_of
from plum_hub.pipeline.verdicts import harness_of
from plum_hub.records import Response, Sample, Verdict, digests_with
from plum_hub.remedies import made_anew
from plum_hub.run import Run
from plum_hub.static import checker_version

_UNPROVED = (
    "{run}: {what}, so a release could not state correctly what its rows were made with; rebuild what does not agree: "
    "{command}"
)


@dataclass(frozen=True, kw_only=True)
class RowVersions:
    """Versions behind the rows of one run."""

    sandbox: str
    static_check: str
    extraction: str
    """Version of the extraction of programs; "" in runs made before it was recorded."""
    prompts: dict[str, str]
    """Digest of each prompt, by name."""
    packages: dict[str, str]
    """Versions of Python and of packages, several joined by commas; empty in runs made before they were recorded."""


def row_versions(run: Run) -> RowVersions:
    """Read which versions made the rows of a run.

    Args:
        run: The run.

    Returns:
        One version of everything that decides rows.

    Raises:
        RunError: Rows were made by different versions, or an id is not the digest of its row's inputs.
    """
    names = {"suite": Response, f"solve_{run.recipe.samples.prompt}": Sample}
    prompts = {
        name: _only(run, f"prompt {name}", (row for (row,) in run.columns(kind, "prompt_digest")))
        for name, kind in names.items()
    }
    extraction = _only(run, "extraction of programs", (row for (row,) in run.columns(Sample, "extraction")))
    sandbox, static_check = _harness(run, extraction)
    return RowVersions(
        sandbox=sandbox,
        static_check=static_check,
        extraction=extraction,
        prompts={name: found for name, found in prompts.items() if found},
        packages=_packages(run),
    )


def _harness(run: Run, extraction: str) -> tuple[str, str]:
    """Return the versions of sandbox and static check, proved by the id of every verdict."""
    pairs = set(run.columns(Verdict, "sandbox", "static_check"))
    sandbox = _only(run, "sandbox", (version for version, _ in pairs))
    static_check = _only(run, "static check", (version for _, version in pairs))
    if not sandbox:  # not recorded in old runs: the ids tell whether it was the version of this machine
        settings = run.recipe.verdicts
        with judge_of(settings) as judge:
            sandbox, static_check = judge.harness_version, checker_version(frozenset(settings.mypy_codes))
    id_of = digests_with(harness_of(run.recipe, sandbox, static_check, extraction))
    for name, sample, suite in run.columns(Verdict, "id", "sample_id", "suite_id"):
        if name != id_of(sample, suite):
            raise RunError(
                _UNPROVED.format(
                    run=run.folder, command=made_anew(run.folder), what=f"verdict {name} was not made by {sandbox}"
                )
            )
    return sandbox, static_check


def _only(run: Run, what: str, named: Iterable[str]) -> str:
    """Return the single version that all rows name; "" where there are no rows."""
    versions = sorted(set(named))
    if len(versions) > 1:
        raise RunError(
            _UNPROVED.format(
                run=run.folder, command=made_anew(run.folder), what=f"its rows have versions {versions} of the {what}"
            )
        )
    return versions[0] if versions else ""


def _packages(run: Run) -> dict[str, str]:
    """Collect the versions of every package over all sessions of the run."""
    versions: dict[str, dict[str, None]] = {}
    for environment in run.environments():
        for name, version in environment.items():
            versions.setdefault(name, {}).update(dict.fromkeys(version.split(", ")))  # several, of a release
    return {name: ", ".join(own) for name, own in versions.items()}
