"""Verification of a published model and of the chain behind it: its dataset, that dataset's verdicts, and the base."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import EngineError, HubError, PlumError
from plum_hub.hubs.client import choose_target, connected, fetch_file
from plum_hub.hubs.embedded import namespaces
from plum_hub.loading import FetchedRelease, fetch_release
from plum_hub.progress import Progress
from plum_hub.publishing.model_data import digest_of
from plum_hub.release.manifest import MANIFEST, ModelManifest, VerifiableManifest, read_manifest
from plum_hub.release.model_lineage import ModelLineage
from plum_hub.release.model_tree import ADAPTER_CONFIG
from plum_hub.verification.dataset import DatasetReport, verify_dataset
from plum_hub.verification.files import check_files, check_manifest
from plum_hub.verification.findings import MODEL_MEANINGS, Findings, summarize_checks
from plum_hub.verification.options import VerifyOptions
from plum_hub.verification.tag import check_tag


@dataclass(frozen=True)
class ModelReport:
    """The outcome of verifying a model."""

    options: VerifyOptions
    release: FetchedRelease
    findings: Findings
    dataset: DatasetReport | None
    """The report on the dataset that it was trained on; None if there is none, or plum-hub did not make it."""

    @property
    def agrees(self) -> bool:
        """Whether every comparison agreed, those of the dataset included."""
        return self.findings.agree and (self.dataset is None or self.dataset.agrees)

    @property
    def differing(self) -> int:
        """Number of comparisons that did not agree, those of the dataset included."""
        return self.findings.differing.total() + (0 if self.dataset is None else self.dataset.differing)

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON values, for `--json`."""
        return {
            "kind": "model",
            "repo": self.release.repo,
            "version": self.release.version,
            "commit": self.release.commit,
            "hub": self.release.hub,
            "agrees": self.agrees,
            "checks": summarize_checks(self.findings, MODEL_MEANINGS),
            "disagreements": [asdict(mismatch) for mismatch in self.findings.listed],
            "notes": self.findings.notes,
            "dataset": None if self.dataset is None else self.dataset.as_json(),
        }


def verify_model(options: VerifyOptions, release: FetchedRelease, progress: Progress) -> ModelReport:
    """Compare a downloaded model with its manifest, and verify the dataset and the base behind it.

    Args:
        options: How to verify.
        release: The model, on this machine.
        progress: Progress reporter.

    Returns:
        The report, with that on the dataset.

    Raises:
        SandboxError: Programs cannot be run on this machine; that says nothing about the release.
        StaticCheckError: The static check cannot run on this machine; likewise.
        RunError: `options.run` does not name the release.
    """
    findings = Findings()
    check_tag(release, options.commit, options.run, findings)
    manifest = check_manifest(release.folder, findings, ModelManifest)
    if manifest is None:
        return ModelReport(options, release, findings, None)
    check_files(release.folder, manifest, findings)
    lineage = manifest.lineage
    _check_training(release.folder, lineage, findings)
    _check_weights(release.folder, lineage, findings)
    dataset = _dataset(options, release, lineage, findings)
    report = None
    if dataset is not None:
        _check_rows(dataset, lineage, findings)
        if (dataset.folder / MANIFEST).is_file():
            _check_policy(dataset, lineage, findings)
            dataset_options = replace(options, repo=dataset.repo, version=dataset.version, commit=None, run=None)
            report = verify_dataset(dataset_options, dataset, progress)
        else:
            findings.note(f"{dataset.repo} was not made by plum-hub: its labels were not judged again")
    _check_base(options, release, lineage, findings)
    return ModelReport(options, release, findings, report)


def _check_training(folder: Path, lineage: ModelLineage, findings: Findings) -> None:
    try:
        record: Mapping[str, Any] = json.loads((folder / "training.json").read_bytes())
        found = {
            "finished": record["finished"],
            "method": record["settings"]["method"],
            "base": record["model"]["revision"],
            "data": record["data"]["name"],
            "data's revision": record["data"]["revision"],
            "digest of the rows": record["data"]["sha256"],
            "on-policy": record["on_policy"],
        }
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        findings.fail("manifest", "training.json", "what made the model", f"{type(error).__name__}: {error}")
        return
    data = lineage.data
    expected = (
        True, lineage.method, lineage.base.revision, data.name, data.revision, data.sha256, lineage.on_policy,
    )  # fmt: skip
    for (what, recorded), stated in zip(found.items(), expected, strict=True):
        findings.compare("manifest", f"training.json, {what}", stated, recorded)


def _check_weights(folder: Path, lineage: ModelLineage, findings: Findings) -> None:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        findings.fail("weights", "*.safetensors", "weights", "not there")
    for path in paths:
        findings.compare("weights", f"{path.name}, bytes by its header", _stated_size(path), path.stat().st_size)
    if lineage.form == "adapter":
        try:
            config = json.loads((folder / ADAPTER_CONFIG).read_bytes())
            named = (config["base_model_name_or_path"], config["revision"])
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            findings.fail("weights", ADAPTER_CONFIG, "the base", f"{type(error).__name__}: {error}")
        else:
            findings.compare("weights", f"{ADAPTER_CONFIG}, base", (lineage.base.name, lineage.base.commit), named)


def _stated_size(path: Path) -> int | None:
    """Return the size that a safetensors file must have according to its header; None if that cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        ends: list[int] = [value["data_offsets"][1] for name, value in header.items() if name != "__metadata__"]
        return 8 + length + max(ends)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError, RecursionError):
        return None


def _dataset(
    options: VerifyOptions, release: FetchedRelease, lineage: ModelLineage, findings: Findings
) -> FetchedRelease | None:
    """Download the dataset that the model names, at its version."""
    data = lineage.data
    version = data.tag or data.commit
    if data.repo is None or version is None:
        findings.note(f"the rows of {data.name} ({data.revision}) are not published, so they were not checked")
        return None
    refusals = []
    for hub in [options.hub] if release.hub == "public" else _hubs(release, data.repo):
        try:
            found = fetch_release(data.repo, version, hub)
        except HubError as error:
            refusals.append(str(error))
        else:
            findings.compare("data", f"{data.repo}@{version}, its commit", data.commit, found.commit)
            return found
    findings.fail("data", f"{data.repo}@{version}", "a dataset", "; ".join(refusals))
    return None


def _hubs(release: FetchedRelease, repo: str) -> list[str]:
    """Return the Hubs that may have what a model names: on the embedded Hub it may be something of the public one."""
    elsewhere = release.hub == "embedded" and repo.partition("/")[0] not in namespaces()
    return [release.hub, "public"] if elsewhere else [release.hub]


def _check_rows(dataset: FetchedRelease, lineage: ModelLineage, findings: Findings) -> None:
    data = lineage.data
    try:
        found = digest_of(dataset, data.revision, lineage.method)
    except (PlumError, ValueError, TypeError, KeyError) as error:
        found = f"they cannot be read: {error}"
    what = f"{dataset.repo}@{dataset.version}, digest of the rows that {lineage.method} reads"
    findings.compare("data", what, data.sha256, found)


def _check_policy(dataset: FetchedRelease, lineage: ModelLineage, findings: Findings) -> None:
    try:
        policy = read_manifest(dataset.folder, VerifiableManifest).lineage.policy.identity.revision
    except (OSError, ValueError, RecursionError):
        return  # reported with the dataset
    what = "on-policy: whether the base sampled the dataset"
    findings.compare("base", what, lineage.on_policy, policy == lineage.base.revision)


def _check_base(options: VerifyOptions, release: FetchedRelease, lineage: ModelLineage, findings: Findings) -> None:
    base = lineage.base
    if options.base is not None:
        try:
            found = f"sha256:{folder_sha256(options.base)}"
        except EngineError as error:
            found = str(error)
        findings.compare("base", f"--base {options.base}", base.revision, found)
    elif base.commit is None:
        findings.note(
            f"the base {base.name} ({base.revision}) was a local folder: compare a copy of it with --base DIR"
        )
    else:
        refusals = []
        for hub in _hubs(release, base.name):
            try:
                with connected(choose_target(hub)) as target:
                    fetch_file(base.name, base.commit, "config.json", target, "model")
            except HubError as error:
                refusals.append(str(error))
            else:
                findings.compared["base"] += 1
                return
        findings.note(f"the base {base.name} at {base.commit} was not checked: {'; '.join(refusals)}")
