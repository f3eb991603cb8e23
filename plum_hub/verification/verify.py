"""`plum-hub verify`: whether a release is what it says, checked on the machine of whoever asks."""

from plum_hub.loading import fetch_release, remember
from plum_hub.progress import Progress
from plum_hub.verification.dataset import DatasetReport, audited
from plum_hub.verification.model import ModelReport, audited_model
from plum_hub.verification.options import VerifyOptions


def verify(order: VerifyOptions, progress: Progress) -> DatasetReport | ModelReport:
    """Download a release and check it: a dataset by itself, a model with the dataset that it was trained on.

    Which commit a version stood for is remembered when everything agrees.

    Raises:
        HubError: the release cannot be had.
        SandboxError, StaticCheckError: programs cannot be judged here; that says nothing about the release.
        RunError: `order.run` does not name the release.
    """
    release = fetch_release(order.repo, order.version, order.hub, order.kind)
    report = (audited if release.kind == "dataset" else audited_model)(order, release, progress)
    if report.agrees:
        remember(release)
    return report
