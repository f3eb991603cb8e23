"""Writes the folder of a model that is pushed: weights, tokenizer, what made them, card and manifest; and says which
version it is.

    adapter_model.safetensors, adapter_config.json     an adapter, which names its base as the world knows it
    model*.safetensors, config.json                    or a whole model
    tokenizer*, chat_template.jinja, generation_config.json
    training.json, metrics.jsonl, report/*.png         the training: settings, rows, versions; each step; its curves
    .eval_results/*.yaml                               scores, as the Hub shows them
    README.md, manifest.json
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plum_hub.files import writing
from plum_hub.release import versions
from plum_hub.release.manifest import CARD, MANIFEST, HashedFile, ModelManifest, hashed_file, read_manifest
from plum_hub.release.model_lineage import ModelLineage

ADAPTER_CONFIG = "adapter_config.json"
_WEIGHTS: tuple[str, ...] = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")
_TOKENIZER = (
    "tokenizer*",
    "*.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
_ABOUT = (CARD, "training.json", "metrics.jsonl", "report/", ".eval_results/")
"""Files that say something of a model and do not change what it writes."""


@dataclass(frozen=True, kw_only=True)
class ModelContents:
    """What goes into a tree."""

    lineage: ModelLineage
    checkpoint: Path
    """The folder of the training."""
    model: Path
    """The folder with the weights: that one, or `merged` in it."""
    generation_config: Path | None
    """The base's, for an adapter, whose folder has none."""
    curves: Callable[[Path, Path], list[Path]]
    """Draws `metrics.jsonl` into a folder."""
    results: Mapping[str, str]
    """The files of `.eval_results`."""
    card: Callable[[tuple[str, ...]], str]
    """Gives the text of README.md, from the pictures in `report/`."""


def write_model_tree(folder: Path, contents: ModelContents) -> ModelManifest:
    """Write the whole tree, or nothing, and return what its manifest says. Weights are linked, not copied, where the
    disk allows it.

    Raises:
        RunError: the disk is full or the folder is not writable.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for source in _files(contents):
            _link(source, partial / source.name)
        if contents.lineage.form == "adapter":
            _write_json(partial / ADAPTER_CONFIG, _adapter_config(contents))
        pictures = contents.curves(contents.checkpoint / "metrics.jsonl", partial / "report")
        for name, text in contents.results.items():
            (partial / ".eval_results").mkdir(exist_ok=True)
            (partial / ".eval_results" / name).write_text(text, encoding="utf-8", newline="\n")
        card = contents.card(tuple(f"report/{path.name}" for path in pictures))
        (partial / CARD).write_text(card, encoding="utf-8", newline="\n")
        files = (hashed_file(partial, path) for path in sorted(partial.rglob("*")) if path.is_file())
        manifest = ModelManifest(lineage=contents.lineage, files=tuple(files))
        _write_json(partial / MANIFEST, manifest.to_json())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return manifest


def with_model_card(folder: Path, card: str) -> ModelManifest:
    """Replace the card of a written tree, and its entry in the manifest.

    Args:
        folder: The tree, as `write_model_tree` wrote it.
        card: The new text of README.md.

    Returns:
        The new manifest.

    Raises:
        RunError: The disk is full or the folder is not writable.
    """
    manifest = read_manifest(folder, ModelManifest)
    with writing(folder):
        (folder / CARD).write_text(card, encoding="utf-8", newline="\n")
        changed: HashedFile = hashed_file(folder, folder / CARD)
        manifest = replace(manifest, files=tuple(changed if file.path == CARD else file for file in manifest.files))
        _write_json(folder / MANIFEST, manifest.to_json())
    return manifest


def stated(manifest: Mapping[str, Any]) -> versions.Stated:
    """A manifest as `plum_hub.release.versions` reads it: another base or form is a major version, other weights,
    tokenizer or generation settings a minor one, all else a patch."""
    lineage = manifest["lineage"]
    files = [{**file, "rows": None if file["path"].startswith(_ABOUT) else 0} for file in manifest["files"]]
    return {"columns": {"model": [lineage["form"], lineage["base"]["name"]]}, "files": files}


def _files(contents: ModelContents) -> list[Path]:
    """The files that are published as they are."""
    weights = ("adapter_model.safetensors",) if contents.lineage.form == "adapter" else _WEIGHTS
    found = {path for pattern in (*weights, *_TOKENIZER) for path in contents.model.glob(pattern) if path.is_file()}
    about = {contents.checkpoint / name for name in ("training.json", "metrics.jsonl")}
    return sorted(found | about | ({contents.generation_config} if contents.generation_config else set()))


def _adapter_config(contents: ModelContents) -> dict[str, Any]:
    """PEFT's configuration, with the base's public name in place of wherever it lay."""
    base = contents.lineage.base
    return _read(contents.model / ADAPTER_CONFIG) | {"base_model_name_or_path": base.name, "revision": base.commit}


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
