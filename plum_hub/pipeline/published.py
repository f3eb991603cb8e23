"""`--suites REPO@TAG`: take instructions and test suites from a published dataset.

The costly step is paid for once, and many policies are sampled against the same suites.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plum_hub.errors import HubError, RecipeError
from plum_hub.loading import fetch_pinned
from plum_hub.recipe import SuitesConfig
from plum_hub.records import Instruction, TestSuite
from plum_hub.release.reading import config_files, instruction_of, read_rows, suite_of

GENERATE = "generate"
"""The value of `suites.source` that has the generator write the suites."""
ROWS = "rows"
"""The value of `suites.source` for tests that the rows of the instructions' own source have."""


def resolve_suites(config: SuitesConfig) -> SuitesConfig:
    """Pin the commit that `REPO@TAG` stands for.

    Args:
        config: The section of the recipe.

    Returns:
        The settings with their revision; unchanged for `generate` and `rows`.

    Raises:
        RecipeError: The source is neither `generate` nor `REPO@TAG`.
        HubError: There is no such repository or revision.
    """
    if config.source in (GENERATE, ROWS):
        return config
    return config.model_copy(update={"revision": release_folder(config).name})


def published_suites(config: SuitesConfig) -> Iterator[tuple[Instruction, TestSuite]]:
    """Read every instruction of a release with its suite.

    Args:
        config: The section of the recipe.

    Yields:
        Pairs of an instruction and a suite.

    Raises:
        RecipeError: The source is not of the form `REPO@TAG`.
        HubError: The release cannot be downloaded, is damaged, or has no test suites.
    """
    files = config_files(release_folder(config), "test_suites")
    if not files:
        raise HubError(
            f"{config.source}: has no test suites; name a dataset published by plum-hub; or, if its rows have tests of "
            f"their own, name their column as in  --suites {config.source}:COLUMN"
        )
    with reading_release(config.source):
        for row in read_rows(files):
            yield instruction_of(row), suite_of(row)


@contextmanager
def reading_release(source: str) -> Iterator[None]:
    """Turn errors in the content of a release, raised within the block, into one that names the release.

    Args:
        source: Name of the release, for the message.

    Yields:
        Nothing.

    Raises:
        HubError: The content is damaged, or was not published by plum-hub.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise HubError(
            f"{source}: was not published by plum-hub, or is damaged ({type(error).__name__}: {str(error)[:200]}); "
            "name another version, or check it with  plum-hub verify"
        ) from error


def release_folder(config: SuitesConfig) -> Path:
    """Download a release.

    Args:
        config: The section of the recipe.

    Returns:
        The local folder with its files. Its name is the commit.

    Raises:
        RecipeError: The source is not of the form `REPO@TAG`.
        HubError: The release cannot be downloaded, or its tag has moved since it was first used here.
        RunError: `$PLUM_HUB_HOME` cannot be written, or its record of versions is damaged.
    """
    repo, _, tag = config.source.partition("@")
    if "/" not in repo or not tag:
        raise RecipeError(
            f"suites.source: {config.source}: write it as REPO@TAG, as in  --suites me/plum-starter@v1.0.0"
        )
    return fetch_pinned(repo, config.revision or tag, config.hub).folder
