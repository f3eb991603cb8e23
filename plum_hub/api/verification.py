"""`verify`: whether a published dataset or model is what it says."""

import re
import secrets

from plum_hub.api.settings import StrPath, optional_path
from plum_hub.errors import UsageError
from plum_hub.execution.base import SandboxName
from plum_hub.hubs.client import Kind
from plum_hub.instructions.addresses import parse_release
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.verification.dataset import DatasetReport
from plum_hub.verification.model import ModelReport
from plum_hub.verification.options import VerifyOptions
from plum_hub.verification.verify import verify as verify_release


def verify(
    release: str,
    *,
    sample: int | None = None,
    seed: int | None = None,
    commit: str | None = None,
    run: StrPath | None = None,
    hub: str = "auto",
    workers: int | None = None,
    sandbox: SandboxName = "auto",
    kind: Kind | None = None,
    base: StrPath | None = None,
    progress: Progress | None = None,
) -> DatasetReport | ModelReport:
    """Check a published dataset or model on this machine.

    Of a dataset it checks that every file has the SHA-256 of the manifest, every id is the digest of what its row was
    made from, kto, dpo, sft and dropped are what samples and verdicts give under the recipe, and every program comes to
    the same status once more. Of a model it checks hashes, weights and tag, that the dataset holds the rows that were
    trained on, that dataset as above, and the base.

    A mismatch is not an exception: read `report.agrees`, `report.differing` and `report.findings`.

    Args:
        release: `REPO@TAG`.
        sample: Number of samples to judge, drawn at random. Default: all.
        seed: Seed of that draw; requires `sample`. Default: a new one.
        commit: The commit that the tag stands for, by your own record (at least 7 hex digits).
        run: The run that published it, whose list of releases is a record too.
        hub: `auto` (the Hub if there is a token, else embedded, else public), `public`, `embedded` or a URL.
        workers: Programs that run at a time. Default: one on each core.
        sandbox: `jail`, `landlock` or `docker`; `auto` takes the first that this machine supports.
        kind: `dataset` or `model`. Default: whichever exists.
        base: Of a model: a copy of its base, to be compared.
        progress: Receives the progress of the checks.

    Returns:
        The report: how much each check compared, and every mismatch.

    Raises:
        UsageError: The release, the commit or the seed is malformed.
        HubError: The release cannot be obtained.
        SandboxError: Programs cannot be isolated on this machine; that says nothing about the release.
        RunError: `run` does not list the release.

    Example:
        >>> report = plum_hub.verify("me/plum-starter@v1.0.0", sample=500)
        >>> report.agrees
        True
    """
    repo, version = parse_release(release)
    if commit is not None and not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        raise UsageError(f"--commit {commit}: not a commit; give at least its first 7 hex digits")
    if seed is not None and sample is None:
        raise UsageError("--seed draws the samples of --sample N: give both, or neither")
    options = VerifyOptions(
        repo=repo, version=version, hub=hub, sample=sample, commit=commit, workers=workers, sandbox=sandbox, kind=kind,
        # Somebody who knows the seed beforehand knows which samples are not looked at.
        seed=secrets.randbelow(1 << 31) if seed is None else seed,
        run=optional_path(run), base=optional_path(base),
    )  # fmt: skip
    return verify_release(options, progress or LoggedProgress())
