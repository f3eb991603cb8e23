"""Fetch datasets of instructions from a Hub, at a commit.

Only `huggingface_hub` speaks to the Hub, and only to find the commit and bring its files. They are then read from the
folder: `load_dataset(repo, revision=...)` without a network may answer with another revision's rows, a folder cannot.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plum_hub.errors import InstructionsError
from plum_hub.hubs.front_matter import FrontMatterError, read, texts
from plum_hub.instructions.files import SUFFIXES, Row, read_rows

_COMMIT = re.compile(r"[0-9a-f]{40}")
_INSTEAD = "take `--instructions starter`, or a local file"


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """A dataset on the public Hub that has a name of its own here.

    `revision` is the commit that the name stands for; None where no commit could be confirmed from published work, so
    that `main` is resolved when a run starts and the commit is sealed in that run's recipe."""

    repo: str
    file: str
    revision: str | None
    license: str
    """As its card declares it."""


KNOWN_DATASETS = {
    "oss-instruct": KnownDataset(
        repo="ise-uiuc/Magicoder-OSS-Instruct-75K",
        file="data-oss_instruct-decontaminated.jsonl",
        revision="5f839b1f368a76b161028bb9edff055db34022b2",
        license="mit",
    ),
    "evol-instruct-code": KnownDataset(
        repo="nickrosh/Evol-Instruct-Code-80k-v1",
        file="EvolInstruct-Code-80k.json",
        revision=None,
        license="cc-by-nc-sa-4.0",
    ),
    "sharegpt": KnownDataset(
        repo="anon8231489123/ShareGPT_Vicuna_unfiltered",
        file="ShareGPT_V3_unfiltered_cleaned_split.json",
        revision="192ab2185289094fc556ec8ce5ce1e8e587154ca",
        license="apache-2.0",
    ),
}


def resolve(repo: str, revision: str | None) -> str:
    """The commit that a revision of a dataset stands for; None is `main`. A full commit is not asked for again.

    Raises:
        InstructionsError: the Hub cannot be reached, or has no such dataset or revision for this user.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    with _translate_errors(repo, revision):
        return str(HfApi().dataset_info(repo, revision=revision).sha)


def fetch_file(repo: str, commit: str, file: str) -> Path:
    """Bring one file of a dataset into the Hub cache, if it is not there.

    Raises:
        InstructionsError: as for `resolve`, or the dataset has no such file at that commit.
    """
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    with _translate_errors(repo, commit):
        if not isinstance(try_to_load_from_cache(repo, file, revision=commit, repo_type="dataset"), str):
            HfApi().dataset_info(repo, revision=commit)  # fails at once and clearly, where a download tries on and on
        return Path(hf_hub_download(repo, file, repo_type="dataset", revision=commit))


def fetch_folder(repo: str, commit: str) -> Path:
    """Bring a whole dataset into the Hub cache.

    Raises:
        InstructionsError: as for `resolve`.
    """
    from huggingface_hub import snapshot_download

    with _translate_errors(repo, commit):
        return Path(snapshot_download(repo, repo_type="dataset", revision=commit))


def declared_license(folder: Path) -> str | None:
    """The licence that the card in a dataset's folder declares; None where there is no card or no licence in it."""
    card = folder / "README.md"
    try:
        declared = texts(read(card.read_text(encoding="utf-8")).get("license")) if card.is_file() else []
    except (FrontMatterError, OSError, UnicodeDecodeError):
        return None
    return ", ".join(declared) or None


def read_folder(folder: Path, repo: str, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
    """Yield each row of a dataset's `train` split, with its position from 1.

    Which files are that split, `datasets` says. JSON and Parquet are then read here, file by file: `datasets` wants one
    type for each column of all files, also of those that nobody needs.

    Args:
        folder: the dataset's files.
        repo: its name, for messages.
        columns: as `read_rows` takes them.

    Raises:
        InstructionsError: the folder is no dataset with such a split, or a file of it cannot be read.
    """
    files = _train_files(folder, repo)
    if files is None:
        yield from enumerate(_loaded(folder, repo), start=1)
        return
    yield from enumerate((row for path in files for _, row in read_rows(path, columns)), start=1)


def _train_files(folder: Path, repo: str) -> list[Path] | None:
    """The files of the `train` split in their order; None where they are of a kind that only `datasets` reads."""
    from datasets import load_dataset_builder

    with _translate_read_errors(repo):
        config = load_dataset_builder(str(folder)).config
    splits = config.data_files or {}
    if splits and "train" not in splits:
        raise InstructionsError(
            f"the dataset {repo} has no split `train`, only {', '.join(map(str, splits))}: download the one data file "
            "that you mean and give its path"
        )
    files = [Path(str(name)) for name in splits.get("train", [])]
    ours = all(path.name.endswith(SUFFIXES) and path.is_file() for path in files)
    return files if files and ours and getattr(config, "field", None) is None else None


def _loaded(folder: Path, repo: str) -> Iterator[Row]:
    """The rows as `datasets` reads them."""
    from datasets import load_dataset

    with _translate_read_errors(repo):
        yield from load_dataset(str(folder), split="train", streaming=True)


@contextmanager
def _translate_read_errors(repo: str) -> Iterator[None]:
    """Turn what `datasets` raises over data files into one line."""
    import yaml
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    try:
        yield
    except (
        DatasetsError, ArrowException, yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OSError,
        RecursionError,
    ) as error:  # fmt: skip
        why = " ".join(f"{error} {error.__cause__ or ''}".split())[:300]
        raise InstructionsError(
            f"the dataset {repo} cannot be read ({why}): download the one data file that you mean and give its path"
        ) from error


@contextmanager
def _translate_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn what the client raises into one line and a next step. (To it, a gated dataset is also a missing one.)"""
    from huggingface_hub import errors

    at = f"{repo} at {revision}" if revision else repo
    try:
        yield
    except errors.GatedRepoError as error:
        message = f"the dataset {repo} is gated: ask for access on its page, then `hf auth login`; or {_INSTEAD}"
        raise InstructionsError(message) from error
    except errors.RepositoryNotFoundError as error:
        message = f"no dataset {repo} on this Hub, or it is private: mend the name or `hf auth login`; or {_INSTEAD}"
        raise InstructionsError(message) from error
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        message = f"the dataset {at} has no such revision or file: mend `revision` (a commit, tag or branch)"
        raise InstructionsError(message) from error
    except errors.HFValidationError as error:
        raise InstructionsError(f"{repo!r} is no dataset's name: give NAMESPACE/NAME; or {_INSTEAD}") from error
    except (errors.HTTPError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        message = f"the dataset {at} could not be fetched ({why}): look to the network, or try later; or {_INSTEAD}"
        raise InstructionsError(message) from error
