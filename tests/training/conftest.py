"""One tiny model and one toy set for the whole room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.tiny import write_tiny_model
from tests.training import toy


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write(tmp_path_factory.mktemp("rows") / "rows.jsonl", toy.rows())


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the processes that a test compares with: the order of sums decides the last bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
