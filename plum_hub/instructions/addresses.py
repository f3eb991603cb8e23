"""Understand what people write for a source of rows: a path, a Hub dataset, or an address copied from a browser."""

import os
import re
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from urllib.parse import parse_qs, unquote

from plum_hub.engines.names import REPO
from plum_hub.errors import InstructionsError, UsageError
from plum_hub.home import expanded
from plum_hub.instructions.file_kinds import SUFFIXES, is_supported
from plum_hub.instructions.local import exists, is_local, is_pattern

_FILE = re.compile(
    rf"(?P<path>.+?(?:{'|'.join(map(re.escape, sorted(SUFFIXES, key=len, reverse=True)))}))(?::(?P<column>.+))?",
    re.IGNORECASE,
)
_REPO = re.compile(r"(?P<repo>\w[\w.-]*/[\w.-]+)(?:@(?P<revision>[^:]+))?(?::(?P<column>.+))?", re.ASCII)
_WEB = ("http://", "https://", "huggingface.co/", "hf.co/")
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_VIEWER = re.compile(
    r"(?P<repo>.+?/datasets/[^/?#]+/[^/?#]+)/(?:embed/)?viewer(?P<names>(?:/[^?#]*)?)(?:\?(?P<query>[^#]*))?(?:#.*)?"
)
"""The page on which a Hub shows the rows of a split; the embedded one names config and split behind a `?`."""
_PART = re.compile(
    r"(?P<repo>[^?]+)\?(?P<query>(?:config|split)=[^&:]+(?:&(?:config|split)=[^&:]+)?)(?::(?P<column>.+))?"
)
_GITHUB = re.compile(r"(https?://github\.com/[^/]+/[^/]+)/blob/")


@dataclass(frozen=True, kw_only=True)
class DatasetAddress:
    """A dataset on a Hub, or some of its files.

    Attributes:
        repo: `NAMESPACE/NAME`.
        revision: Commit, tag or branch; None where none is named.
        path: A file, folder or pattern in the repository; "" for the whole dataset.
        config: The subset that is named, of those that its card declares.
        split: The split that is named.
        column: The column that is named behind it.
        explicit: Whether it is an address, such as `hf://...`, which is no other thing than a dataset of a Hub.
    """

    repo: str
    revision: str | None = None
    path: str = ""
    config: str | None = None
    split: str | None = None
    column: str | None = None
    explicit: bool = False

    @property
    def patterns(self) -> list[str] | None:
        """What to download; None is everything."""
        return [self.path, escape(self.path), f"{escape(self.path)}/*", "README.md"] if self.path else None

    @property
    def whole(self) -> str:
        """The dataset as `NAMESPACE/NAME[@REVISION]`."""
        return f"{self.repo}@{self.revision}" if self.revision else self.repo

    @property
    def is_part(self) -> bool:
        """Whether it is some of the dataset's files."""
        return bool(self.path or self.config or self.split)

    @property
    def name(self) -> str:
        """The dataset as `NAMESPACE/NAME[@REVISION]`, or as `hf://datasets/...` where it is some of its files."""
        given = {"config": self.config, "split": self.split}
        query = "&".join(f"{key}={value}" for key, value in given.items() if value)
        path = f"/{self.path}" if self.path else ""
        return f"hf://datasets/{self.whole}{path}{query and f'?{query}'}" if self.is_part else self.whole


@dataclass(frozen=True, kw_only=True)
class LocalAddress:
    """A path on this machine; nothing may be there.

    Attributes:
        path: A file, folder or pattern.
        column: The column that is named behind it.
    """

    path: Path
    column: str | None = None


def parse_source(text: str) -> LocalAddress | DatasetAddress | None:
    """Understand a source of rows.

    Args:
        text: A path, a pattern, `NAMESPACE/NAME[@REVISION]`, `[hf://]datasets/NAMESPACE/NAME[@REVISION][/PATH]`, or the
            address of a dataset's page, file or viewer on the Hub (`HF_ENDPOINT`), each with `:COLUMN` behind it or
            without; behind a dataset of a Hub also `?config=CONFIG`, `?split=SPLIT` or `?config=CONFIG&split=SPLIT`.

    Returns:
        What it is; None if it is none of these.

    Raises:
        InstructionsError: It is an address, but not of a dataset on the Hub.
    """
    text = text.strip()
    if not text:
        return None
    path = expanded(text)
    if exists(path):
        return LocalAddress(path=path)
    if part := _part(text):
        return part
    if text.lower().startswith(_WEB) or _SCHEME.match(text):
        return _address(text, text)
    head, column = _split_column(text)
    if _is_dataset_path(head):
        return _address(f"hf://{text}", text)
    if match := _FILE.fullmatch(text):
        return LocalAddress(path=expanded(match["path"]), column=match["column"])
    if is_local(expanded(head)) or is_pattern(path) or head.startswith(("/", "./", "../", "~")):
        return LocalAddress(path=expanded(head), column=column)
    if match := _REPO.fullmatch(text):
        return DatasetAddress(repo=match["repo"], revision=match["revision"], column=match["column"])
    return LocalAddress(path=expanded(head), column=column) if "/" in head.partition("@")[0] else None


def canonical(text: str) -> str:
    """Write a source in one way, whatever address it was given as.

    Args:
        text: A source as in `parse_source`, or the name of one.

    Returns:
        `NAMESPACE/NAME[@REVISION]` or `hf://datasets/...`, with its column, for an address; other texts unchanged.

    Raises:
        InstructionsError: It is an address, but not of a dataset on the Hub.
    """
    found = parse_source(text)
    if not isinstance(found, DatasetAddress) or not found.explicit:
        return text
    return f"{found.name}:{found.column}" if found.column else found.name


def parse_repo(text: str) -> str:
    """Understand a dataset as commands take it that want a release, such as `REPO@TAG`.

    Args:
        text: `REPO[@REVISION]`, or its address on the Hub.

    Returns:
        `REPO[@REVISION]`; other texts, and paths on this machine, unchanged.

    Raises:
        UsageError: It is an address, but not of a whole dataset on the Hub.
    """
    if not text.lower().startswith(_WEB) and not _SCHEME.match(text) and not text.startswith("datasets/"):
        return text
    try:
        found = parse_source(text)
    except InstructionsError as error:
        raise UsageError(str(error)) from error
    if not isinstance(found, DatasetAddress):
        return text
    if found.path:
        raise UsageError(f"{text} names a file of a dataset, where the dataset is needed: give {found.repo}@TAG")
    return found.whole


def parse_release(text: str, beside: str = "") -> tuple[str, str]:
    """Understand one version of a dataset or model.

    Args:
        text: `REPO@TAG`, or its address on the Hub.
        beside: What else the command takes, for the message, as `run folder`.

    Returns:
        The repository, as NAMESPACE/NAME, and the tag, branch or commit.

    Raises:
        UsageError: It is not that.
    """
    repo, _, tag = parse_repo(text).partition("@")
    if "/" not in repo or not tag or not REPO.fullmatch(repo):
        said = f"is neither a {beside} that exists nor REPO@TAG" if beside else "write it as REPO@TAG"
        if "/" not in repo and tag and REPO.fullmatch(f"me/{repo}"):
            raise UsageError(f"{text}: {said} with its namespace, as in  me/{repo}@{tag}")
        raise UsageError(f"{text}: {said}, as in  me/plum-starter@v1.0.0")
    return repo, tag


def _part(text: str) -> DatasetAddress | None:
    """Read what names a config or split of a dataset on a Hub."""
    if match := _VIEWER.fullmatch(text):
        column = _split_column(text)[1]
        path = match["names"].removesuffix(f":{column}").strip("/")
        names = dict(zip(("config", "split"), map(unquote, filter(None, path.split("/"))), strict=False))
        query = parse_qs((match["query"] or "").removesuffix(f":{column}"))
        given = {key: query[key][0] for key in ("config", "split", "revision") if key in query}
        whole = _dataset(match["repo"], text, web=not match["repo"].startswith("hf:"))
        return replace(whole, **{**given, **names}, column=column)
    if not (match := _PART.fullmatch(text)):
        return None
    found = parse_source(match["repo"])
    if not isinstance(found, DatasetAddress) or found.path:
        raise InstructionsError(
            f"{text}: a config or split is named behind a whole dataset of a Hub only: leave it out"
        )
    named = {key: values[0] for key, values in parse_qs(match["query"]).items()}
    return replace(found, **named, column=match["column"], explicit=True)


def _is_dataset_path(text: str) -> bool:
    """Tell whether a text is `datasets/NAMESPACE/NAME...`, and nothing of that name is here."""
    if not text.startswith("datasets/") or text.count("/") < 2 or is_local(Path(text)):
        return False
    return text.count("/") > 2 or not is_supported(text)


def _split_column(text: str) -> tuple[str, str | None]:
    head, colon, column = text.rpartition(":")
    is_column = colon and head and column and "/" not in column and not is_supported(column)
    return (head, column) if is_column else (text, None)


def _address(address: str, text: str) -> DatasetAddress:
    """Read an address with the Hub's own client."""
    head, column = _split_column(address)
    if not _SCHEME.match(head) or head.lower().startswith(("http:", "https:")):
        return replace(_dataset(head, text, web=True), column=column)
    if head.startswith("file://"):
        raise InstructionsError(f"{text} is a file here: give its path, {unquote(text.removeprefix('file://'))}")
    if not head.startswith("hf://"):
        raise InstructionsError(f"{text} is not read from there: download it, and give the path of the file")
    return replace(_dataset(head, text, web=False), column=column)


def _dataset(address: str, text: str, *, web: bool) -> DatasetAddress:
    from huggingface_hub.errors import HfUriError
    from huggingface_hub.utils import parse_hf_uri

    try:
        found = parse_hf_uri(address, endpoint=os.environ.get("HF_ENDPOINT") or None)
    except (HfUriError, ValueError) as error:
        if web and "Unrecognized host" in str(error):
            raise InstructionsError(_download(address)) from error
        why = " ".join(str(error).split()).removeprefix(f"Invalid HF URI '{address}'. ")[:200]
        raise InstructionsError(
            f"{text} names no dataset ({why}): give hf://datasets/NAMESPACE/NAME[@REVISION][/PATH]"
        ) from error
    if found.type != "dataset":
        raise InstructionsError(
            f"{text} names a {found.type}, not a dataset: give hf://datasets/NAMESPACE/NAME[@REVISION][/PATH]"
        )
    if ".." in found.path_in_repo.split("/"):
        raise InstructionsError(f"{text} names a file outside of the dataset: leave out `..`")
    return DatasetAddress(repo=found.id, revision=found.revision, path=found.path_in_repo.rstrip("/"), explicit=True)


def _download(address: str) -> str:
    """Say how to fetch a file of the web, whose content may change behind its address."""
    url = _GITHUB.sub(r"\1/raw/", address)
    name = url.partition("?")[0].rpartition("/")[2]
    known = name if is_supported(name) else "rows.jsonl"
    fetch = f"curl -fLO '{url}'" if known == name and "?" not in url else f"curl -fL -o {known} '{url}'"
    return (
        f"{address} is no dataset of a Hub, and a file of the web has no revision that a run could record: fetch it "
        f"with  {fetch}  and give {known}"
    )
