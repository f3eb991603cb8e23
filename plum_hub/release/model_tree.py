"""The folder of a published model: weights, tokenizer, the record of the training, card and manifest.

adapter_model.safetensors, adapter_config.json     an adapter; its configuration has the base's public name
model*.safetensors, config.json                    or a whole model
tokenizer*, chat_template.jinja, generation_config.json
training.json, metrics.jsonl, report/*.png         the training: settings, rows and versions; each step; curves
.eval_results/*.yaml                               scores, in the Hub's format
README.md, manifest.json
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plum_hub.files import replace_folder, writing
from plum_hub.release import versions
from plum_hub.release.manifest import CARD, MANIFEST, ModelManifest, hashed_file, read_manifest
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
"""Files that describe a model without changing its output."""


@dataclass(frozen=True, kw_only=True)
class ModelContents:
    """Everything that goes into a model's release."""

    lineage: ModelLineage
    checkpoint: Path
    """The folder of the training, with `training.json` and `metrics.jsonl`."""
    model: Path
    """The folder with the weights: `checkpoint`, or `merged` in it."""
    generation_config: Path | None
    """The base's file for an adapter, whose folder has none; else None."""
    curves: Callable[[Path, Path], list[Path]]
    """Draws a `metrics.jsonl` (first argument) into a folder (second), and returns the figures' paths."""
    results: Mapping[str, str]
    """Text of each file in `.eval_results`, by its name."""
    card: Callable[[tuple[str, ...]], str]
    """Renders README.md from the paths of the figures, relative to the release."""


def write_model_tree(folder: Path, contents: ModelContents) -> ModelManifest:
    """Write a model's release. The folder appears, or is replaced, only when all files are complete.

    Args:
        folder: Where to write. Weights are hard-linked instead of copied where the file system allows it.
        contents: What goes into it.

    Returns:
        The manifest.

    Raises:
        RunError: The disk is full or the folder is not writable.
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
        replace_folder(partial, folder)
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
        changed = hashed_file(folder, folder / CARD)
        manifest = replace(manifest, files=tuple(changed if file.path == CARD else file for file in manifest.files))
        _write_json(folder / MANIFEST, manifest.to_json())
    return manifest


def stated(manifest: Mapping[str, Any]) -> versions.Stated:
    """Express a model's manifest in the terms of `plum_hub.release.versions`.

    A different base or form makes a major version; different weights, tokenizer or generation settings a minor one;
    anything else a patch.

    Args:
        manifest: The content of the model's `manifest.json`.

    Returns:
        A manifest with form and base as its only columns, in which weights and tokenizer count as tables.
    """
    lineage = manifest["lineage"]
    files = [{**file, "rows": None if file["path"].startswith(_ABOUT) else 0} for file in manifest["files"]]
    return {"columns": {"model": [lineage["form"], lineage["base"]["name"]]}, "files": files}


def _files(contents: ModelContents) -> list[Path]:
    """List the files that are published unchanged."""
    weights = ("adapter_model.safetensors",) if contents.lineage.form == "adapter" else _WEIGHTS
    found = {path for pattern in (*weights, *_TOKENIZER) for path in contents.model.glob(pattern) if path.is_file()}
    about = {contents.checkpoint / name for name in ("training.json", "metrics.jsonl")}
    return sorted(found | about | ({contents.generation_config} if contents.generation_config else set()))


def _adapter_config(contents: ModelContents) -> dict[str, Any]:
    """Return PEFT's configuration with the base's public name instead of its local path."""
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
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
