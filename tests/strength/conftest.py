"""What several modules share: a judge, and a run that left weak suites out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from plum_hub.execution import Judge
from tests.rehearsal import command, plum_hub
from tests.strength.weak import STRONG, write_weak


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(1) as open_judge:
        yield open_judge


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that left weak suites out."""
    folder = tmp_path_factory.mktemp("filtered")
    write_weak(folder)
    done = plum_hub(command(folder, "-q", *STRONG))
    assert done.returncode == 0, done.stderr
    return folder
