"""`--suites REPO@TAG`: take instructions and test suites from a published dataset, so that the costly step is paid for
once and many policies are sampled against the same suites."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plum_hub.errors import HubError, RecipeError
from plum_hub.hubs.client import choose_target, connected, fetch_repo
from plum_hub.recipe import SuitesConfig
from plum_hub.records import Instruction, TestSuite
from plum_hub.release.reading import config_files, instruction_of, read_rows, suite_of

GENERATE = "generate"


def resolve_suites(config: SuitesConfig) -> SuitesConfig:
    """The settings with the commit that `REPO@TAG` stands for; as they are for `generate`.

    Raises:
        RecipeError: it is neither.
        HubError: no such repository or revision.
    """
    if config.source == GENERATE:
        return config
    return config.model_copy(update={"revision": release_folder(config).name})


def published(config: SuitesConfig) -> Iterator[tuple[Instruction, TestSuite]]:
    """Every instruction of a release with its suite.

    Raises:
        RecipeError: the source is not written as `REPO@TAG`.
        HubError: the release cannot be had, or has no test suites.
    """
    files = config_files(release_folder(config), "test_suites")
    if not files:
        raise HubError(
            f"{config.source}: has no test suites; name a dataset that plum-hub published with --suites REPO@TAG"
        )
    with as_published(config.source):
        for row in read_rows(files):
            yield instruction_of(row), suite_of(row)


@contextmanager
def as_published(source: str) -> Iterator[None]:
    """Read the rows or the manifest of a release.

    Args:
        source: its name, for the message.

    Raises:
        HubError: they are damaged, or another program's.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise HubError(
            f"{source}: is not as plum-hub publishes a dataset ({type(error).__name__}: {str(error)[:200]}); name "
            "another version, or look at it with  plum-hub verify"
        ) from error


def release_folder(config: SuitesConfig) -> Path:
    """The release's files on this machine; the folder is named after the commit.

    Raises:
        RecipeError: the source is not written as `REPO@TAG`.
        HubError: the release cannot be had.
    """
    repo, _, tag = config.source.partition("@")
    if "/" not in repo or not tag:
        raise RecipeError(
            f"suites.source: {config.source}: write it as REPO@TAG, as in  --suites me/plum-starter@v1.0.0"
        )
    first = choose_target(config.hub)
    try:
        with connected(first) as target:
            return fetch_repo(repo, config.revision or tag, target)
    except HubError:
        if not (config.hub == "auto" and first.embedded):
            raise
        return fetch_repo(repo, config.revision or tag, choose_target("public"))  # anybody may read there
