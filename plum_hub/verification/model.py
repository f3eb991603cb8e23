"""A published model, and the chain behind it: the dataset whose rows it was trained on, that dataset's suites and
judge, and the base."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import EngineError, HubError, PlumError
from plum_hub.hubs.client import choose_target, connected, fetch_file
from plum_hub.loading import FetchedRelease, fetch_release
from plum_hub.progress import Progress
from plum_hub.publishing.model_data import digest_of
from plum_hub.release.manifest import MANIFEST, ModelManifest, VerifiableManifest, read_manifest
from plum_hub.release.model_lineage import ModelLineage
from plum_hub.release.model_tree import ADAPTER_CONFIG
from plum_hub.verification.dataset import DatasetReport, audited
from plum_hub.verification.files import check_files, check_manifest
from plum_hub.verification.findings import MODEL_MEANINGS, Findings, checks_as_json
from plum_hub.verification.options import VerifyOptions
from plum_hub.verification.tag import check_tag


@dataclass(frozen=True)
class ModelReport:
    """What came of it."""

    order: VerifyOptions
    release: FetchedRelease
    findings: Findings
    dataset: DatasetReport | None
    """Of the release that it was trained on; None where there is none, or it is not one of plum-hub."""

    @property
    def agrees(self) -> bool:
        """Whether the model, and the dataset behind it, are what they say."""
        return self.findings.agree and (self.dataset is None or self.dataset.agrees)

    @property
    def differing(self) -> int:
        """How many things do not agree."""
        return self.findings.differing.total() + (0 if self.dataset is None else self.dataset.differing)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values, for `--json`."""
        return {
            "kind": "model",
            "repo": self.release.repo,
            "version": self.release.version,
            "commit": self.release.commit,
            "hub": self.release.hub,
            "agrees": self.agrees,
            "checks": checks_as_json(self.findings, MODEL_MEANINGS),
            "disagreements": [asdict(one) for one in self.findings.listed],
            "notes": self.findings.notes,
            "dataset": None if self.dataset is None else self.dataset.as_json(),
        }


def audited_model(order: VerifyOptions, release: FetchedRelease, progress: Progress) -> ModelReport:
    """Hold a model that is on this machine against its manifest, and walk the chain behind it."""
    findings = Findings()
    check_tag(release, order.commit, order.run, findings)
    manifest = check_manifest(release.folder, findings, ModelManifest)
    if manifest is None:
        return ModelReport(order, release, findings, None)
    check_files(release.folder, manifest, findings)
    lineage = manifest.lineage
    _check_training(release.folder, lineage, findings)
    _check_weights(release.folder, lineage, findings)
    dataset = _dataset(order, release, lineage, findings)
    report = None
    if dataset is not None:
        _check_rows(dataset, lineage, findings)
        if (dataset.folder / MANIFEST).is_file():
            _check_policy(dataset, lineage, findings)
            there = replace(order, repo=dataset.repo, version=dataset.version, commit=None, run=None)
            report = audited(there, dataset, progress)
        else:
            findings.note(f"{dataset.repo} was not made by plum-hub: its labels were not judged once more")
    _check_base(order, release, lineage, findings)
    return ModelReport(order, release, findings, report)


def _check_training(folder: Path, lineage: ModelLineage, findings: Findings) -> None:
    try:
        said: Mapping[str, Any] = json.loads((folder / "training.json").read_bytes())
        found = {
            "finished": said["finished"],
            "method": said["settings"]["method"],
            "base": said["model"]["revision"],
            "data": said["data"]["name"],
            "data's revision": said["data"]["revision"],
            "digest of the rows": said["data"]["sha256"],
            "on-policy": said["on_policy"],
        }
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        findings.wrong("manifest", "training.json", "what made the model", f"{type(error).__name__}: {error}")
        return
    data = lineage.data
    wanted = (
        True, lineage.method, lineage.base.revision, data.name, data.revision, data.sha256, lineage.on_policy,
    )  # fmt: skip
    for (what, there), here in zip(found.items(), wanted, strict=True):
        findings.same("manifest", f"training.json, {what}", here, there)


def _check_weights(folder: Path, lineage: ModelLineage, findings: Findings) -> None:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        findings.wrong("weights", "*.safetensors", "weights", "not there")
    for path in paths:
        findings.same("weights", f"{path.name}, bytes by its header", _stated_size(path), path.stat().st_size)
    if lineage.form == "adapter":
        try:
            config = json.loads((folder / ADAPTER_CONFIG).read_bytes())
            named = (config["base_model_name_or_path"], config["revision"])
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            findings.wrong("weights", ADAPTER_CONFIG, "the base", f"{type(error).__name__}: {error}")
        else:
            findings.same("weights", f"{ADAPTER_CONFIG}, base", (lineage.base.name, lineage.base.commit), named)


def _stated_size(path: Path) -> int | None:
    """How long a safetensors file must be by its own header; None where that cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        ends: list[int] = [value["data_offsets"][1] for name, value in header.items() if name != "__metadata__"]
        return 8 + length + max(ends)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError, RecursionError):
        return None


def _dataset(
    order: VerifyOptions, release: FetchedRelease, lineage: ModelLineage, findings: Findings
) -> FetchedRelease | None:
    """The dataset that the model names, at its version."""
    data = lineage.data
    version = data.tag or data.commit
    if data.repo is None or version is None:
        findings.note(f"the rows of {data.name} ({data.revision}) are not published, so they were not looked at")
        return None
    try:
        found = fetch_release(data.repo, version, order.hub if release.hub == "public" else release.hub)
    except HubError as error:
        findings.wrong("data", f"{data.repo}@{version}", "a dataset", str(error))
        return None
    findings.same("data", f"{data.repo}@{version}, its commit", data.commit, found.commit)
    return found


def _check_rows(dataset: FetchedRelease, lineage: ModelLineage, findings: Findings) -> None:
    said = lineage.data
    try:
        found = digest_of(dataset, said.revision, lineage.method)
    except (PlumError, ValueError, TypeError, KeyError) as error:
        found = f"they cannot be read: {error}"
    what = f"{dataset.repo}@{dataset.version}, digest of the rows that {lineage.method} reads"
    findings.same("data", what, said.sha256, found)


def _check_policy(dataset: FetchedRelease, lineage: ModelLineage, findings: Findings) -> None:
    try:
        policy = read_manifest(dataset.folder, VerifiableManifest).lineage.policy.identity.revision
    except (OSError, ValueError, RecursionError):
        return  # the dataset's own report says so
    what = "on-policy: whether the samples were written by the base"
    findings.same("base", what, lineage.on_policy, policy == lineage.base.revision)


def _check_base(order: VerifyOptions, release: FetchedRelease, lineage: ModelLineage, findings: Findings) -> None:
    base = lineage.base
    if order.base is not None:
        try:
            found = f"sha256:{folder_sha256(order.base)}"
        except EngineError as error:
            found = str(error)
        findings.same("base", f"--base {order.base}", base.revision, found)
    elif base.commit is None:
        findings.note(f"the base {base.name} ({base.revision}) lay in a folder: compare a copy of it with --base DIR")
    else:
        try:
            with connected(choose_target(release.hub)) as target:
                fetch_file(base.name, base.commit, "config.json", target, "model")
        except HubError as error:
            findings.note(f"the base {base.name} at {base.commit} was not looked at: {error}")
        else:
            findings.compared["base"] += 1
