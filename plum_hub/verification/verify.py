"""`plum-hub verify`: check on your own machine that a release is what it says."""

from plum_hub.loading import fetch_release, remember
from plum_hub.progress import Progress
from plum_hub.verification.dataset import DatasetReport, verify_dataset
from plum_hub.verification.model import ModelReport, verify_model
from plum_hub.verification.options import VerifyOptions


def verify(options: VerifyOptions, progress: Progress) -> DatasetReport | ModelReport:
    """Download a release and check it: a dataset by itself, a model together with the dataset that it was trained on.

    If everything agrees, the commit of the version is recorded on this machine, so a tag that moves later is noticed.

    Args:
        options: What to verify, and how.
        progress: Progress reporter.

    Returns:
        The report on what agrees and what does not.

    Raises:
        HubError: The release cannot be downloaded.
        SandboxError: Programs cannot be run on this machine; that says nothing about the release.
        StaticCheckError: The static check cannot run on this machine; likewise.
        RunError: `options.run` does not name the release.
    """
    release = fetch_release(options.repo, options.version, options.hub, options.kind)
    report = (verify_dataset if release.kind == "dataset" else verify_model)(options, release, progress)
    if report.agrees:
        remember(release)
    return report
