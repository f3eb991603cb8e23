"""Everything that an embedded Hub stores, in one root folder.

token, read-token                  the owner's token, and a read-only one to hand out
organisations                      the account's organisations, one a line
repos/<type>s/<account>/<name>.git a bare git repository; hub.json: its settings;
                                   discussions/N.json: its discussions and pull requests
lfs/ab/cd/<sha256>                 large files
scratch/                           uploads in progress; emptied at each start
"""

import json
import re
import secrets
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from plum_hub.errors import UsageError
from plum_hub.hubs import refusals
from plum_hub.hubs.git import BRANCHES, ZERO, GitRepo
from plum_hub.hubs.objects import POINTER_SIZES, Objects, Pointer, flush_folder, write_whole

Kind = Literal["model", "dataset", "space"]
KINDS: dict[str, Kind] = {"models": "model", "datasets": "dataset", "spaces": "space"}
"""Kinds of repositories by their word in URLs."""
Role = Literal["read", "write"]
_TOKENS: dict[Role, str] = {"write": "token", "read": "read-token"}
_ORGANISATIONS = "organisations"
_NAME = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_LARGE = (
    "7z arrow bin bz2 ckpt ftz gguf gz h5 jpeg jpg joblib lfs.* mlmodel model msgpack npy npz onnx ot parquet pb pdf "
    "pickle pkl png pt pth rar safetensors tar tflite tgz wasm webp xz zip zst"
)
_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in _LARGE.split())


@dataclass(frozen=True)
class RepoSettings:
    """Settings of a repository.

    Attributes:
        id: A random id.
        created: Seconds since 1970.
        private: Whether only tokens see it.
        gated: `auto`, `manual` or False, as in the Hub's API.
        disabled: Set by hand in `hub.json`, as the public Hub's staff does: nobody reads or writes it.
    """

    id: str
    created: int
    private: bool = False
    gated: str | bool = False
    disabled: bool = False
    """Set by hand in `hub.json`, as the public Hub's staff does: nobody reads or writes it any more."""


@dataclass(frozen=True)
class Repo:
    """One repository; `name` is `account/name`."""

    kind: Kind
    name: str
    git: GitRepo
    settings: RepoSettings

    @property
    def path(self) -> str:
        """Its path in URLs."""
        return self.name if self.kind == "model" else f"{self.kind}s/{self.name}"


class Store:
    """Repositories and large files below `root`, and the tokens by role.

    Args:
        root: The folder; created where it is missing.
        account: The owner's account.
    """

    def __init__(self, root: Path, account: str) -> None:
        self.root, self.account = root, account
        self.scratch = root / "scratch"
        self.objects = Objects(root / "lfs", self.scratch)
        self._locks: dict[tuple[Kind, str], threading.Lock] = defaultdict(threading.Lock)
        self._names, self._freeing = threading.Lock(), threading.Lock()
        self._promised: dict[str, set[str]] = defaultdict(set)
        self._pointers: dict[str, Pointer | None] = {}
        for folder in (root / "repos", root / "lfs", self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        self.tokens: dict[Role, str] = {role: read_token(root, role) or self._make_token(role) for role in _TOKENS}

    @property
    def organisations(self) -> tuple[str, ...]:
        """Namespaces beside the account's own in which it may write."""
        return organisations(self.root)

    def _make_token(self, role: Role) -> str:
        token = f"plum_{secrets.token_urlsafe(30)}"
        write_whole(self.root / _TOKENS[role], f"{token}\n".encode(), 0o600)
        return token

    def empty_scratch(self) -> None:
        """Remove what a killed server left unfinished. Only for the server of this root, before it answers."""
        for path in self.scratch.iterdir():
            if path.is_dir():
                if (path / "repo" / "HEAD").exists():  # killed as it deleted a repo
                    self._free(GitRepo(path / "repo"), repo_id="")
                shutil.rmtree(path)
            else:
                path.unlink()

    def _folder(self, kind: Kind, name: str) -> Path:
        if not is_repo_name(name):
            raise refusals.malformed(
                f"{name}: no valid repo name; write account/name in letters, digits, '-', '_', '.'"
            )
        return repo_folder(self.root, kind, name)

    @contextmanager
    def writing(self, kind: Kind, name: str) -> Iterator[None]:
        """Hold the write lock of a repository.

        Args:
            kind: The kind of repository.
            name: `account/name`.

        Yields:
            Nothing; the lock is held within the block.
        """
        with self._locks[kind, name]:
            yield

    def find(self, kind: Kind, name: str) -> Repo | None:
        """Find a repository.

        Args:
            kind: The kind of repository.
            name: `account/name`.

        Returns:
            The repository, or None.

        Raises:
            Refusal: Its settings are damaged.
        """
        if not is_repo_name(name):
            return None
        folder = self._folder(kind, name)
        try:
            settings = RepoSettings(**json.loads((folder / "hub.json").read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError) as error:
            raise refusals.damaged(f"hub.json of {name} is not a repository's settings ({error})") from error
        return Repo(kind, name, GitRepo(folder), settings)

    def repos(self, kind: Kind) -> Iterator[Repo]:
        """List the repositories of a kind.

        Args:
            kind: The kind of repositories.

        Yields:
            Repositories by name.
        """
        base = self.root / "repos" / f"{kind}s"
        for folder in sorted(base.glob("*/*.git")):
            name = folder.relative_to(base).as_posix().removesuffix(".git")
            if (repo := self.find(kind, name)) is not None:  # deleted while we looked
                yield repo

    def create(self, kind: Kind, name: str, *, private: bool) -> Repo:
        """Create a repository whose first commit holds the Hub's `.gitattributes`.

        Args:
            kind: The kind of repository.
            name: `account/name`.
            private: Whether only tokens see it.

        Returns:
            The repository.

        Raises:
            Refusal: The name is taken or invalid.
        """
        folder = self._folder(kind, name)
        with self.writing(kind, name), self._scratch_folder() as draft:
            if folder.exists():
                raise refusals.exists(f"You already created this {kind} repo: {name}")
            git = GitRepo.create(draft / "repo")
            changes = [(".gitattributes", _ATTRIBUTES.encode())]
            commit = git.write_commit(None, "initial commit", self.account, changes)
            git.move_ref(f"{BRANCHES}main", commit, ZERO)
            settings = RepoSettings(id=secrets.token_hex(12), created=int(time.time()), private=private)
            _write_settings(git, settings)
            folder.parent.mkdir(parents=True, exist_ok=True)
            git.folder.rename(folder)
            flush_folder(folder.parent)
        return Repo(kind, name, GitRepo(folder), settings)

    def delete(self, repo: Repo) -> None:
        """Delete a repository, and those of its large files that no other repository holds or was promised.

        Args:
            repo: The repository.
        """
        with self._scratch_folder() as bin_, suppress(FileNotFoundError):
            with self.writing(repo.kind, repo.name):
                repo.git.folder.rename(bin_ / "repo")
            self._free(GitRepo(bin_ / "repo"), repo.settings.id)

    def promise(self, sha256: str, repo: Repo) -> int | None:
        """Keep a large file for a repository that is about to refer to it: deleting another repository does not remove
        it.

        Args:
            sha256: The file.
            repo: The repository.

        Returns:
            The size in bytes; None where the file is not stored.
        """
        with self._freeing:
            self._promised[sha256].add(repo.settings.id)
            return self.objects.size(sha256)

    def _free(self, git: GitRepo, repo_id: str) -> None:
        """Remove the large files of a repository that is being deleted. A repository that is being moved would be
        overlooked.
        """
        orphans = {sha256 for sha256, holders in self._promised.copy().items() if repo_id in holders}
        orphans |= self.held(git)
        with self._names:
            for kind in KINDS.values() if orphans else ():
                for other in self.repos(kind):
                    orphans -= self.held(other.git)
            with self._freeing:  # a commit that came after we looked has its files promised
                for sha256 in orphans:
                    self._promised[sha256].discard(repo_id)
                    if not self._promised[sha256]:
                        del self._promised[sha256]
                        self.objects.path(sha256).unlink(missing_ok=True)

    def held(self, git: GitRepo) -> set[str]:
        """Return the large files of a whole history, including commits that no ref names any more.

        Args:
            git: The repository.

        Returns:
            Their SHA-256.
        """
        return {it.sha256 for it in self.pointers(git, git.blob_sizes()).values()}

    def move(self, repo: Repo, name: str) -> None:
        """Rename a repository.

        Args:
            repo: The repository.
            name: The new `account/name`.

        Raises:
            Refusal: The name is taken or invalid.
        """
        target = self._folder(repo.kind, name)
        with ExitStack() as locks:
            for one in sorted({repo.name, name}):  # in one order, so that two moves never wait for each other
                locks.enter_context(self.writing(repo.kind, one))
            locks.enter_context(self._names)
            if target.exists():
                raise refusals.exists(f"{name} exists already")
            target.parent.mkdir(parents=True, exist_ok=True)
            repo.git.folder.rename(target)
            flush_folder(target.parent)

    def change(self, repo: Repo, settings: RepoSettings) -> None:
        """Replace the settings of a repository.

        Args:
            repo: The repository.
            settings: Its new settings.
        """
        with self.writing(repo.kind, repo.name):
            _write_settings(repo.git, settings)

    def pointers(self, git: GitRepo, blobs: dict[str, int]) -> dict[str, Pointer]:
        """Select the blobs that stand for large files that are stored here.

        Args:
            git: The repository of the blobs.
            blobs: Object ids with sizes in bytes.

        Returns:
            Object ids with the large files.
        """
        unread = [oid for oid, size in blobs.items() if size in POINTER_SIZES and oid not in self._pointers]
        for oid, content in zip(unread, git.blobs(unread) if unread else (), strict=True):
            self._pointers[oid] = Pointer.parse(content)
        found = {oid: self._pointers.get(oid) for oid in blobs}
        return {oid: it for oid, it in found.items() if it is not None and self.objects.size(it.sha256) is not None}

    @contextmanager
    def _scratch_folder(self) -> Iterator[Path]:
        folder = self.scratch / f"folder-{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def is_repo_name(name: str) -> bool:
    """Tell whether a name is a valid `account/name`.

    Args:
        name: The name.

    Returns:
        True if the Hub accepts it.
    """
    parts = name.split("/")
    return len(parts) == 2 and all(_NAME.fullmatch(part) and not part.endswith(".git") for part in parts)


def repo_folder(root: Path, kind: Kind, name: str) -> Path:
    """Return the folder of a repository.

    Args:
        root: The folder of the Hub.
        kind: The kind of repository.
        name: `account/name`.

    Returns:
        Its git folder, which need not exist.
    """
    return root / "repos" / f"{kind}s" / f"{name}.git"


def organisations(root: Path) -> tuple[str, ...]:
    """Return the namespaces beside the account's own in which it may write.

    Args:
        root: The folder of the Hub, which need not exist.
    """
    path = root / _ORGANISATIONS
    return tuple(path.read_text(encoding="utf-8").split()) if path.exists() else ()


def add_organisations(root: Path, names: Iterable[str]) -> None:
    """Let the account write in further namespaces.

    Args:
        root: The folder of the Hub.
        names: The namespaces.

    Raises:
        UsageError: A name is not a valid namespace.
    """
    path, kept = root / _ORGANISATIONS, [*organisations(root)]
    for name in names:
        if not is_repo_name(f"{name}/x"):
            raise UsageError(f"--organisation {name}: write it in letters, digits, '-', '_', '.'")
        kept += [] if name in kept else [name]
    if kept:
        root.parent.mkdir(parents=True, exist_ok=True)
        root.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, "".join(f"{name}\n" for name in kept).encode())


def _write_settings(git: GitRepo, settings: RepoSettings) -> None:
    """Keep a repo's settings beside its objects."""
    write_whole(git.folder / "hub.json", json.dumps(asdict(settings)).encode())


def token_file(root: Path, role: Role = "write") -> Path:
    """Return the file of a token of an embedded Hub.

    Args:
        root: The folder of the Hub.
        role: Which token.
    """
    return root / _TOKENS[role]


def read_token(root: Path, role: Role = "write") -> str | None:
    """Read the token of an embedded Hub.

    Args:
        root: The folder of the Hub.
        role: Which token.

    Returns:
        The token; None before the first start.
    """
    try:
        return (root / _TOKENS[role]).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
