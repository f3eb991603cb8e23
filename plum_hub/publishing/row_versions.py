"""What a run's rows were made with, as the rows themselves record it: a release says nothing else (laws 4 and 7).

Between a build and its release, Python, mypy, the sandbox, a prompt or any package may have changed. So nothing is read
off this machine: what made a row is recorded with the row, and what no record vouches for is not published.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from plum_hub.errors import RunError
from plum_hub.execution import Judge
from plum_hub.pipeline.verdicts import harness_of
from plum_hub.records import Response, Sample, Verdict, digest
from plum_hub.run import Run
from plum_hub.static import checker_version

_UNVOUCHED = (
    "{run}: {what}, so a release could not say truly what its rows were made with; make anew what does not agree: "
    "plum-hub build-dataset --recipe {run}/recipe.yaml --run {run}-2 --carry-over {run}"
)


@dataclass(frozen=True, kw_only=True)
class RowVersions:
    """Versions behind the rows of one run."""

    sandbox: str
    static_check: str
    extraction: str
    """"" in runs of before it was recorded."""
    prompts: dict[str, str]
    """Digest of each prompt, by its name."""
    packages: dict[str, str]
    """Versions of Python and packages, several joined by commas; empty in runs of before they were recorded."""


def provenance_of(run: Run) -> RowVersions:
    """Read what made the rows of a run.

    Raises:
        RunError: the rows were made by different versions, or an id is not the digest of what its row says.
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
    """Versions of sandbox and static check, proved by the id of every verdict."""
    found = set(run.columns(Verdict, "sandbox", "static_check"))
    sandbox = _only(run, "sandbox", (one for one, _ in found))
    static_check = _only(run, "static check", (one for _, one in found))
    if not sandbox:  # a run of before it was recorded: the ids tell whether this machine's is the same
        settings = run.recipe.verdicts
        with Judge(sandbox=settings.sandbox, numpy=settings.numpy) as judge:
            sandbox, static_check = judge.harness_version, checker_version(frozenset(settings.mypy_codes))
    harness = harness_of(run.recipe, sandbox, static_check, extraction)
    for name, sample, suite in run.columns(Verdict, "id", "sample_id", "suite_id"):
        if name != digest(sample, suite, harness):
            raise RunError(_UNVOUCHED.format(run=run.folder, what=f"verdict {name} was not made by {sandbox}"))
    return sandbox, static_check


def _only(run: Run, what: str, found: Iterable[str]) -> str:
    """Return the one version that all rows name; "" where there are none."""
    versions = sorted(set(found))
    if len(versions) > 1:
        raise RunError(_UNVOUCHED.format(run=run.folder, what=f"its rows have versions {versions} of the {what}"))
    return versions[0] if versions else ""


def _packages(run: Run) -> dict[str, str]:
    found: dict[str, dict[str, None]] = {}
    for environment in run.environments():
        for name, version in environment.items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in found.items()}
