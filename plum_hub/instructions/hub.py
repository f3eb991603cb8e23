"""Download instruction datasets from a Hub at a commit.

`huggingface_hub` resolves the commit and downloads the files, which are then read from the folder.
`load_dataset(repo, revision=...)` is not used because without a network it may return the rows of another revision.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from plum_hub.errors import InstructionsError
from plum_hub.hubs.front_matter import FrontMatterError, read, texts
from plum_hub.instructions.completeness import check_complete
from plum_hub.instructions.file_kinds import file_kind, is_supported
from plum_hub.instructions.files import read_rows
from plum_hub.instructions.tables import Row, class_name, decoded
from plum_hub.patience import be_patient

_COMMIT = re.compile(r"[0-9a-f]{40}")
_BATCH = 1000
"""Rows that `datasets` reads at a time."""
_INSTEAD = "use `--instructions starter`, or a local file"


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """A dataset on the public Hub that has a short name.

    Attributes:
        repo: The Hub repository.
        file: The file with the rows.
        revision: The commit that the name stands for. None if published work confirms no commit: `main` is then
            resolved when a run starts, and the commit is sealed in the run's recipe.
        license: License as declared on the dataset card.
    """

    repo: str
    file: str
    revision: str | None
    license: str


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
"""The three instruction sets of the PLUM paper, by short name."""


def resolve(repo: str, revision: str | None) -> str:
    """Resolve a dataset's revision to a commit.

    Args:
        repo: The Hub repository.
        revision: Commit, tag or branch; None is `main`. A full commit is returned without a request.

    Returns:
        The commit.

    Raises:
        InstructionsError: The Hub is unreachable, or has no such dataset or revision for this user.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    with _translate_errors(repo, revision):
        return str(HfApi().dataset_info(repo, revision=revision).sha)


def fetch_file(repo: str, commit: str, file: str) -> Path:
    """Download one file of a dataset unless it is in the Hub cache.

    Args:
        repo: The Hub repository.
        commit: The commit.
        file: Path in the repository.

    Returns:
        The path in the cache.

    Raises:
        InstructionsError: See `resolve`; or the dataset has no such file at that commit.
    """
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    with _translate_errors(repo, commit):
        if not isinstance(try_to_load_from_cache(repo, file, revision=commit, repo_type="dataset"), str):
            HfApi().dataset_info(
                repo, revision=commit
            )  # fails at once with a clear error, whereas a download retries for long
        return Path(hf_hub_download(repo, file, repo_type="dataset", revision=commit))


def fetch_folder(repo: str, commit: str, patterns: Sequence[str] | None = None) -> Path:
    """Download a dataset unless it is in the Hub cache.

    Args:
        repo: The Hub repository.
        commit: The commit.
        patterns: Download only files that match one of these, such as `data/*`. Default: all.

    Returns:
        The folder in the cache.

    Raises:
        InstructionsError: See `resolve`.
    """
    from huggingface_hub import snapshot_download

    with _translate_errors(repo, commit):
        return Path(snapshot_download(repo, repo_type="dataset", revision=commit, allow_patterns=patterns))


def declared_license(folder: Path) -> str | None:
    """Read the license that a dataset card declares.

    Args:
        folder: The dataset's files.

    Returns:
        License identifiers, separated by commas; None if there is no card or it declares no license.
    """
    card = folder / "README.md"
    try:
        declared = texts(read(card.read_text(encoding="utf-8")).get("license")) if card.is_file() else []
    except (FrontMatterError, OSError, UnicodeDecodeError):
        return None
    return ", ".join(declared) or None


def read_folder(
    folder: Path,
    repo: str,
    columns: Collection[str] | None = None,
    splits: Sequence[str] = ("train",),
    config: str | None = None,
) -> Iterator[tuple[str, Row]]:
    """Iterate over the rows of a dataset's splits.

    `datasets` determines which files belong to a split. They are then read by `read_rows`, file by file, because
    `datasets` requires one type per column across all files, even for unused columns, and takes `007` for a number.

    Args:
        folder: The dataset's files.
        repo: The dataset's name, for messages.
        columns: Columns to read; see `read_rows`.
        splits: Names of the splits, in order.
        config: The config, of several that the card declares.

    Yields:
        Each row with where it is, as `FILE:NUMBER`; the dataset where only `datasets` reads its files.

    Raises:
        InstructionsError: The folder is not a dataset with these splits, a file would be left out in silence, or one
            cannot be read.
    """
    found = split_files(folder, repo, splits, config)
    check_complete(folder, f"hf://datasets/{repo}", found.files, found.known)
    if not found.directly:
        for number, row in enumerate(loaded_rows(folder, repo, splits, config), start=1):
            yield f"{repo}:{number}", row
        return
    yield from found.rows(columns)


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """The files of some splits of a dataset.

    Attributes:
        splits: Names of these splits.
        files: The files in order.
        known: The files of all splits.
        directly: Whether `read_rows` reads them; else only `datasets` can.
        classes: Names of the classes of columns that the card declares as such, and whose values are their numbers.
    """

    splits: tuple[str, ...]
    files: tuple[Path, ...]
    known: frozenset[Path]
    directly: bool
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[str, Row]]:
        """Iterate over the rows of the files, which `read_rows` reads.

        Args:
            columns: Columns to read; see `read_rows`.

        Yields:
            Each row with where it is, as `FILE:NUMBER`.

        Raises:
            InstructionsError: A file cannot be read, or a row is invalid.
        """
        for path in self.files:
            for number, row in read_rows(path, columns):
                named = {name: class_name(row[name], names) for name, names in self.classes.items() if name in row}
                yield f"{path}:{number}", {**row, **named}


def split_files(folder: Path, repo: str, wanted: Sequence[str] | None, config_name: str | None = None) -> SplitFiles:
    """Find the files of a dataset's splits, as `datasets` does.

    Args:
        folder: The dataset's files.
        repo: The dataset's name, for messages.
        wanted: Names of the splits, in order; None is `train`, or the only one.
        config_name: The config; None for the default one.

    Returns:
        The files.

    Raises:
        InstructionsError: The folder is not a dataset with these splits.
    """
    from datasets import ClassLabel, get_dataset_config_names, get_dataset_default_config_name, load_dataset_builder

    _check_declared(folder, repo)
    with _translate_read_errors(folder, repo):
        names = [str(name) for name in get_dataset_config_names(str(folder))]
        if config_name not in names and (config_name or not get_dataset_default_config_name(str(folder))):
            raise InstructionsError(_no_config(folder, repo, names, config_name))
        builder = load_dataset_builder(str(folder), config_name)
    config, features = builder.config, builder.info.features or {}
    splits = {str(name): files for name, files in (config.data_files or {}).items()}
    _check_inside(folder, repo, [str(name) for names in splits.values() for name in names])
    if wanted is None:
        wanted = tuple(splits) if len(splits) == 1 else ("train",)
    if splits and (missing := [name for name in wanted if name not in splits]):
        raise InstructionsError(_no_split(folder, repo, missing[0], splits, config_name))
    files = tuple(Path(str(name)) for split in wanted for name in splits.get(split, []))
    supported = all(is_supported(path.name) and path.is_file() for path in files)
    return SplitFiles(
        splits=tuple(wanted),
        files=files,
        known=frozenset(Path(str(name)) for names in splits.values() for name in names),
        directly=bool(files) and supported and _is_usual(config),
        classes={name: tuple(one.names) for name, one in features.items() if isinstance(one, ClassLabel)},
    )


def _no_config(folder: Path, repo: str, names: Sequence[str], wanted: str | None) -> str:
    """Say which configs there are, and how to name one."""
    how = (
        "give the files of one by their path or a pattern"
        if str(folder) == repo
        else f"name one, as in  '{repo}?config={names[0] if names else 'default'}'"
    )
    said = f"no config `{wanted}`, only" if wanted else "the configs"
    return f"the dataset {repo} has {said} {', '.join(names)[:200] or 'none'}: {how}"


def _no_split(folder: Path, repo: str, missing: str, splits: Mapping[str, Sequence[object]], config: str | None) -> str:
    """Say which splits there are, and how to name one."""
    first = next(iter(splits))
    files = [str(name) for name in splits[first]]
    same = os.path.commonprefix(files)  # noqa: RUF071 - the beginning of the names, for a pattern
    path = files[0] if len(files) == 1 else f"'{same}*{Path(files[0]).suffix}'"
    within = f"config={config}&" if config else ""
    how = f"give its files, as in  {path}" if str(folder) == repo else f"name it, as in  '{repo}?{within}split={first}'"
    return (
        f"the dataset {repo} has no split `{missing}`, only {', '.join(splits)[:200]}: {how} (several of a build: "
        "instructions.splits)"
    )


def _is_usual(config: Any) -> bool:
    """Tell whether a card sets nothing that only `datasets` would heed: the field of a JSON, the form of a CSV."""
    if not any(file_kind(str(name)).format in ("csv", "tsv") for names in config.data_files.values() for name in names):
        return getattr(config, "field", None) is None
    ours = {"name", "version", "data_dir", "data_files", "description", "features", "sep", "delimiter"}
    options = [one for one in fields(config) if one.name not in ours and one.default is not MISSING]
    return config.sep in (",", "\t") and all(getattr(config, one.name) == one.default for one in options)


def _check_declared(folder: Path, repo: str) -> None:
    """Refuse a card that names files elsewhere, before anything looks for them: on this machine, or in the network."""
    card = folder / "README.md"
    try:
        configs = read(card.read_text(encoding="utf-8")).get("configs") if card.is_file() else None
    except (FrontMatterError, OSError, UnicodeDecodeError):
        return  # `datasets` says what is wrong with it
    names: list[str] = []
    waiting: list[object] = [configs]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            names.append(one)
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += [value for key, value in one.items() if key not in ("config_name", "split", "description")]
    _check_inside(folder, repo, [name if "://" in name else str(folder / name) for name in names])


def _check_inside(folder: Path, repo: str, names: Collection[str]) -> None:
    """Require that each path is inside a folder, by its name: files of a cache are links to a folder beside it."""
    top = os.path.normpath(folder.absolute())
    for name in names:
        if "://" in name or os.path.commonpath([top, os.path.normpath(Path(name).absolute())]) != top:
            raise InstructionsError(
                f"the dataset {repo} names data outside itself ({name[:200]}), which is not read: download the data "
                "file that you need and give its path"
            )


def loaded_rows(folder: Path, repo: str, splits: Sequence[str], config: str | None = None) -> Iterator[Row]:
    """Iterate over the rows of a dataset's splits as `datasets` reads them.

    Args:
        folder: The dataset's files.
        repo: The dataset's name, for messages.
        splits: Names of the splits, in order.
        config: The config; None for the default one.

    Yields:
        Each row.

    Raises:
        InstructionsError: They cannot be read.
    """
    from datasets import load_dataset

    with _translate_read_errors(folder, repo):
        for split in splits:
            stream = load_dataset(str(folder), config, split=split, streaming=True)
            schema = stream.features.arrow_schema if stream.features else None
            for table in stream.with_format("arrow").iter(batch_size=_BATCH):
                yield from decoded(table, schema or table.schema)


@contextmanager
def _translate_read_errors(folder: Path, repo: str) -> Iterator[None]:
    """Convert the exceptions that `datasets` raises for data files to one-line errors, and silence it and its client.

    The one logs what it raises, the other warns of a README without front matter, which most folders of users have.
    """
    import logging
    import lzma
    import tarfile
    import zipfile
    import zlib

    import yaml
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException

    silenced = [logging.getLogger(name) for name in ("huggingface_hub.repocard", "datasets")]
    levels = [logger.level for logger in silenced]
    for logger in silenced:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except (
        DatasetsError, ArrowException, yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OSError,
        RecursionError, EOFError, SyntaxError, ImportError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
        tarfile.TarError,
    ) as error:  # fmt: skip
        why = " ".join(f"{error} {error.__cause__ or ''}".split())[:300]
        address = folder if str(folder) == repo else f"hf://datasets/{repo}"
        raise InstructionsError(
            f"the dataset {repo} cannot be read ({why}): name its data files with a pattern, as in  '{address}/*'"
        ) from error
    finally:
        for logger, level in zip(silenced, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _translate_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Convert the client's exceptions to one-line errors with a remedy.

    The order matters: to the client, a gated dataset is also a missing one.
    """
    from huggingface_hub import errors

    dataset = f"{repo} at {revision}" if revision else repo
    be_patient()
    try:
        yield
    except errors.GatedRepoError as error:
        message = f"the dataset {repo} is gated: request access on its page, then run `hf auth login`; or {_INSTEAD}"
        raise InstructionsError(message) from error
    except errors.RepositoryNotFoundError as error:
        message = (
            f"no dataset {repo} on this Hub, or it is private: fix the name, or run `hf auth login`; or {_INSTEAD}"
        )
        raise InstructionsError(message) from error
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        message = f"the dataset {dataset} has no such revision or file: fix `revision` (a commit, tag or branch)"
        raise InstructionsError(message) from error
    except errors.HFValidationError as error:
        raise InstructionsError(f"{repo!r} is not a dataset name: give NAMESPACE/NAME; or {_INSTEAD}") from error
    except (errors.HTTPError, OSError) as error:
        why = " ".join(str(error).split())[:200]
        message = f"the dataset {dataset} could not be fetched ({why}): check the network, or try later; or {_INSTEAD}"
        raise InstructionsError(message) from error
