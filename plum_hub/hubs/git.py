"""One bare git repository: what the embedded Hub reads and writes of it, through the `git` binary.

A commit is one `git fast-import` that leaves no ref behind, then one `update-ref` that moves the branch from the parent
it was made on: a process killed between the two leaves unreachable objects and a whole repository.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plum_hub.hubs import refusals
from plum_hub.hubs.objects import write_whole

ZERO = "0" * 40
"""For `update-ref`: the ref must not exist yet."""
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
BRANCHES, TAGS, PULLS = "refs/heads/", "refs/tags/", "refs/pr/"
_BAD_NAME = re.compile(
    r"[\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]|\.\.|@\{|//|^[-/.]|/\.|\.lock(/|$)|[/.]$|^@$"
)  # git-check-ref-format(1)
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_DAMAGE = re.compile(
    rb"warning: ignoring broken ref .*|error: (?:corrupt loose object|unable to unpack|object file) .*"
    rb"|fatal: unable to stream .*"
)
"""What git says of a file of a repository that was changed outside it."""
_LONGEST_NAME = 255
"""Bytes of a file's name; no common file system takes a longer one."""
_CONFIG = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tfsync = committed,reference
\tfsyncMethod = batch
[gc]
\tauto = 0
[uploadpack]
\tallowAnySHA1InWant = true
"""


@dataclass(frozen=True)
class TreeEntry:
    """A path at a commit.

    Attributes:
        path: From the root of the repository.
        kind: `blob` or `tree`.
        oid: git's object id.
        size: In bytes; 0 for a tree.
    """

    path: str
    kind: str
    oid: str
    size: int


@dataclass(frozen=True)
class Ref:
    """A branch or tag.

    Attributes:
        name: Without its prefix.
        commit: The commit it points at.
        time: When that commit, or the annotated tag, was made, in seconds since 1970.
    """

    name: str
    commit: str
    time: int


@dataclass(frozen=True)
class CommitInfo:
    """One commit of a history; `time` is in seconds since 1970."""

    id: str
    title: str
    message: str
    author: str
    time: int


class RefMoved(Exception):  # noqa: N818
    """A ref is not where the caller expected it: it was moved, created or deleted meanwhile."""


class GitRepo:
    """A bare repository. Writers hold the store's lock of this repository; readers need none.

    Args:
        folder: The repository's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "GitRepo":
        """Create an empty repository with HEAD at `main`; far faster than `git init`, and without templates.

        Args:
            folder: A folder that does not exist.

        Returns:
            The repository.
        """
        for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (folder / name).mkdir(parents=True)
        write_whole(folder / "config", _CONFIG.encode())
        write_whole(folder / "HEAD", b"ref: refs/heads/main\n")
        return cls(folder)

    def run(self, *arguments: str, stdin: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
        """Run a git command on this repository.

        Args:
            arguments: The command and its arguments.
            stdin: Its input.
            environment: Additional environment variables.

        Returns:
            Its output.

        Raises:
            subprocess.CalledProcessError: git failed; callers turn expected failures into refusals.
            Refusal: A file of the repository is damaged. Of a ref, git only warns.
        """
        command = ["git", f"--git-dir={self.folder}", *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, env=git_environment(**environment or {})
        )
        if (damage := _DAMAGE.search(done.stderr)) is not None:
            raise refusals.damaged(f"git says: {damage[0].decode(errors='replace')}")
        done.check_returncode()
        return done.stdout

    def refs(self) -> dict[str, tuple[str, str]]:
        """List all refs.

        Returns:
            For each ref the object it names and the commit behind it; the two differ for annotated tags only.
        """
        found = {}
        for line in self.run("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)").decode().splitlines():
            name, oid, peeled = line.split(" ")
            found[name] = (oid, peeled or oid)
        return found

    def dated(self, prefix: str) -> list[Ref]:
        """List branches or tags with their dates.

        Args:
            prefix: `BRANCHES` or `TAGS`.

        Returns:
            Refs, newest first.
        """
        form = "--format=%(refname) %(objectname) %(creatordate:unix) %(*objectname)"
        rows = [line.split(" ") for line in self.run("for-each-ref", form, prefix).decode().splitlines()]
        refs = [Ref(name.removeprefix(prefix), peeled or oid, int(time)) for name, oid, time, peeled in rows]
        return sorted(refs, key=lambda ref: (ref.time, [int(it) for it in re.findall(r"\d+", ref.name)]), reverse=True)

    def commit_of(self, revision: str, refs: dict[str, tuple[str, str]] | None = None) -> str:
        """Resolve a revision: a full SHA, then `refs/…`, a branch, a tag, a short SHA.

        Args:
            revision: What to resolve.
            refs: The result of `refs()`, where the caller has it.

        Returns:
            The commit.

        Raises:
            Refusal: There is no such revision.
        """
        if re.fullmatch(r"[0-9a-f]{40}", revision) is None:
            refs = self.refs() if refs is None else refs
            names = [revision] if revision.startswith("refs/") else [BRANCHES + revision, TAGS + revision]
            for name in ["refs/heads/main"] if revision == "HEAD" else names:
                if name in refs:
                    return refs[name][1]
            if re.fullmatch(r"[0-9a-f]{7,39}", revision) is None:
                raise refusals.revision_missing(revision)
        try:
            return self.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
        except subprocess.CalledProcessError:
            raise refusals.revision_missing(revision) from None

    def entries(self, commit: str, path: str = "", *, recursive: bool = True) -> list[TreeEntry]:
        """List the files and folders below a path.

        Args:
            commit: A commit.
            path: A folder; empty for the root.
            recursive: Whether to descend into folders.

        Returns:
            Entries in git's order; empty where there is no such folder.

        Raises:
            Refusal: A file is damaged.
        """
        arguments = ["ls-tree", "-z", "-l", *(["-r", "-t"] if recursive else [])]
        try:
            listing = self.run(*arguments, f"{commit}:{path}" if path else commit)
        except subprocess.CalledProcessError:
            return []
        prefix = f"{path}/" if path else ""
        entries = []
        for line in listing.decode().split("\0")[:-1]:
            about, name = line.split("\t", 1)
            _mode, kind, oid, size = about.split()
            if size == "BAD":
                raise refusals.damaged(f"object {oid} of git is not readable")
            entries.append(TreeEntry(prefix + name, kind, oid, 0 if size == "-" else int(size)))
        return entries

    def entry(self, commit: str, path: str) -> TreeEntry | None:
        """Find one file or folder.

        Args:
            commit: A commit.
            path: From the root.

        Returns:
            The entry, or None.
        """
        folder, _, _name = path.rpartition("/")
        siblings = self.entries(commit, folder, recursive=False)
        return next((sibling for sibling in siblings if sibling.path == path), None)

    def blob(self, oid: str) -> bytes:
        """Read a blob.

        Args:
            oid: Its object id.

        Returns:
            Its bytes.
        """
        return self.run("cat-file", "blob", oid)

    def blobs(self, oids: Iterable[str]) -> Iterator[bytes]:
        """Read many small blobs in one process.

        Args:
            oids: Their object ids.

        Yields:
            The bytes of each, in order.
        """
        answer = memoryview(self.run("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode()))
        start = 0
        while start < len(answer):
            end = start + bytes(answer[start : start + 128]).index(b"\n")
            size = int(bytes(answer[start:end]).split()[2])
            yield bytes(answer[end + 1 : end + 1 + size])
            start = end + 1 + size + 1

    def blob_sizes(self) -> dict[str, int]:
        """List all blobs, reachable or not.

        Returns:
            Object ids with sizes in bytes.
        """
        form = "--batch-check=%(objecttype) %(objectname) %(objectsize)"
        rows = [line.split() for line in self.run("cat-file", "--batch-all-objects", form).decode().splitlines()]
        return {oid: int(size) for kind, oid, size in rows if kind == "blob"}

    def log(self, revision: str, *paths: str, limit: int | None = None, skip: int = 0) -> list[CommitInfo]:
        """List the history of a revision.

        Args:
            revision: Where it ends; a range `base..head` also works.
            paths: With paths, only commits that touched them.
            limit: At most so many commits.
            skip: How many to leave out at the newest end.

        Returns:
            Commits, newest first.
        """
        window = [f"--skip={skip}", *([f"--max-count={limit}"] if limit is not None else [])]
        output = self.run("log", "-z", "--format=%H%n%an%n%ct%n%B", *window, revision, "--", *paths)
        commits = []
        for record in output.decode().split("\0"):
            if record:
                oid, author, time, body = record.split("\n", 3)
                title, _, message = body.strip().partition("\n")
                commits.append(CommitInfo(oid, title, message.strip(), author, int(time)))
        return commits

    def count(self, revision: str) -> int:
        """Count the commits of a history.

        Args:
            revision: Where it ends.

        Returns:
            The number of commits.
        """
        return int(self.run("rev-list", "--count", revision))

    def write_commit(
        self, parent: str | None, message: str, author: str, changes: Iterable[tuple[str, bytes | None]]
    ) -> str:
        """Store a commit that no ref names yet.

        Args:
            parent: The commit before it; None for the first.
            message: The whole message, title first.
            author: An account name.
            changes: Paths with their new bytes, None to delete; applied in order, and consumed lazily.

        Returns:
            The commit's id.

        Raises:
            subprocess.CalledProcessError: git failed.
        """
        command = ["git", f"--git-dir={self.folder}", "fast-import", "--quiet", "--done"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=git_environment()
        ) as process:
            assert process.stdin is not None
            try:
                with suppress(BrokenPipeError):  # it died, and its stderr says why
                    for piece in _import_stream(parent, message.replace("\0", " "), author, changes):
                        process.stdin.write(piece)
            except BaseException:
                process.kill()
                raise
            finally:
                output, errors = process.communicate()
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command, output, errors)
        return output.decode().strip()

    def write_tree_commit(self, tree: str, message: str, author: str, parent: str | None = None) -> str:
        """Store a commit of an existing tree, which no ref names yet.

        Args:
            tree: The tree's object id.
            message: The whole message.
            author: An account name.
            parent: The commit before it; None for a commit without history.

        Returns:
            The commit's id.
        """
        arguments = ["commit-tree", tree, *(["-p", parent] if parent else [])]
        written = self.run(
            *arguments, stdin=message.replace("\0", " ").encode(errors="replace"), environment=_identity(author)
        )
        return written.decode().strip()

    def merged(self, ours: str, theirs: str, index: Path) -> tuple[str, list[str]]:
        """Merge two commits three-way, by whole files.

        Args:
            ours: The commit to merge into.
            theirs: The commit to merge.
            index: A scratch file for git's index; removed afterwards.

        Returns:
            The merged tree and no conflicts, or an empty string and the paths that both sides changed.
        """
        scratch = {"GIT_INDEX_FILE": str(index)}
        three = [self._fork(ours, theirs), ours, theirs]
        try:
            self.run("read-tree", "-i", "-m", "--aggressive", *three, environment=scratch)
            unmerged = self.run("ls-files", "--unmerged", "-z", environment=scratch).decode().split("\0")[:-1]
            if unmerged:
                return "", sorted({line.split("\t", 1)[1] for line in unmerged})
            return self.run("write-tree", environment=scratch).decode().strip(), []
        finally:
            index.unlink(missing_ok=True)

    def _fork(self, ours: str, theirs: str) -> str:
        """Return the last common commit; the empty tree where a squash left none."""
        try:
            return self.run("merge-base", ours, theirs).decode().strip()
        except subprocess.CalledProcessError:
            return _EMPTY_TREE

    def diff(self, base: str, head: str) -> str:
        """Show what a branch changed since it left its base.

        Args:
            base: The base.
            head: The branch.

        Returns:
            A patch with statistics.
        """
        return self.run("diff", "--stat", "-p", self._fork(base, head), head).decode(errors="replace")

    def patch(self, commit: str) -> str:
        """Show what a commit changed; all of its files for the first commit.

        Args:
            commit: The commit.

        Returns:
            A patch with statistics.
        """
        return self.run("diff-tree", "--root", "--no-commit-id", "-p", "--stat", "-r", commit).decode(errors="replace")

    def tree_of(self, commit: str) -> str:
        """Return the root tree of a commit.

        Args:
            commit: The commit.

        Returns:
            The tree's object id.
        """
        return self.run("rev-parse", f"{commit}^{{tree}}").decode().strip()

    def write_tag(self, name: str, commit: str, message: str, author: str) -> str:
        """Store an annotated tag that no ref names yet.

        Args:
            name: The tag's name.
            commit: What it tags.
            message: Its message.
            author: An account name.

        Returns:
            The tag's object id.
        """
        message = message.replace("\0", " ")
        stamp = self.run("var", "GIT_COMMITTER_IDENT", environment=_identity(author)).decode().strip()
        text = f"object {commit}\ntype commit\ntag {name}\ntagger {stamp}\n\n{message.strip()}\n"
        return self.run("mktag", stdin=text.encode(errors="replace")).decode().strip()

    def move_ref(self, ref: str, new: str | None, old: str) -> None:
        """Move, create or delete a ref, if it is where the caller expects it.

        Args:
            ref: Its full name.
            new: Where to point it; None deletes it.
            old: Where it points now; `ZERO` if it must not exist.

        Raises:
            RefMoved: It was elsewhere; nothing changed.
        """
        try:
            self.run("update-ref", *(["-d", ref, old] if new is None else [ref, new, old]))
        except subprocess.CalledProcessError as error:
            raise RefMoved(error.stderr.decode().strip()) from error

    def lfs_paths(self, commit: str, paths: list[str], index: Path) -> set[str]:
        """Select the paths that the commit's `.gitattributes` put into large-file storage.

        Args:
            commit: The commit.
            paths: Candidates.
            index: A scratch file for git's index; removed afterwards.

        Returns:
            The selected paths.
        """
        scratch = {"GIT_INDEX_FILE": str(index)}
        try:
            self.run("read-tree", commit, environment=scratch)
            names = "".join(f"{path}\0" for path in paths).encode()
            answer = self.run("check-attr", "--cached", "-z", "--stdin", "filter", stdin=names, environment=scratch)
        finally:
            index.unlink(missing_ok=True)
        fields = answer.decode().split("\0")[:-1]
        return {path for path, value in zip(fields[0::3], fields[2::3], strict=True) if value == "lfs"}


def git_environment(**more: str) -> dict[str, str]:
    """Make an environment for git without the user's configuration, hooks or prompts, so that repositories are the
    same on every machine.

    Args:
        more: Additional variables.

    Returns:
        Environment variables.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return (
        kept
        | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C", "GIT_LITERAL_PATHSPECS": "1"}
        | more
    )


def is_ref_name(name: str) -> bool:
    """Tell whether git accepts a name for a branch or tag.

    Args:
        name: The name.

    Returns:
        True if it does.
    """
    return bool(name) and _BAD_NAME.search(name) is None


def is_file_path(path: str) -> bool:
    """Tell whether a path can be stored in a repository that `git fsck --strict` finds clean.

    Args:
        path: From the root.

    Returns:
        True if it can.
    """
    if any(ord(it) < 32 or ord(it) == 127 or 0xD800 <= ord(it) <= 0xDFFF for it in path):
        return False
    if any(len(part.encode()) > _LONGEST_NAME for part in path.split("/")):
        return False
    # Some file systems ignore these characters, or the end of a name: there, too, nothing may write to .git.
    plain = [_IGNORED.sub("", part).partition(":")[0].rstrip(" .").lower() for part in path.split("/")]
    return all(part not in ("", ".", "..") for part in path.split("/")) and not {".git", "git~1"} & set(plain)


def _identity(author: str) -> dict[str, str]:
    return {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", author), ("EMAIL", f"{author}@plum-hub.invalid"))
    }


def _import_stream(
    parent: str | None, message: str, author: str, changes: Iterable[tuple[str, bytes | None]]
) -> Iterator[bytes]:
    """Yield the input of `git fast-import`: one commit on a branch that the same stream deletes again."""
    text = message.encode(errors="replace")
    yield b"commit refs/incoming\nmark :1\n"
    yield (
        f"committer {author} <{author}@plum-hub.invalid> {int(time.time())} +0000\ndata {len(text)}\n".encode()
        + text
        + b"\n"
    )
    if parent is not None:
        yield f"from {parent}\n".encode()
    for path, content in changes:
        quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if content is None:
            yield f"D {quoted}\n".encode()
        else:
            yield f"M 100644 inline {quoted}\ndata {len(content)}\n".encode()
            yield content
            yield b"\n"
    yield f"\nget-mark :1\nreset refs/incoming\nfrom {ZERO}\n\ndone\n".encode()
