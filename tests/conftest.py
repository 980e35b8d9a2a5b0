"""What all tests share: none of them reads or writes the user's own cache."""

import multiprocessing
import os
import sys
from collections.abc import Iterator

import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("TIMESFORMER_CACHE")
    os.environ["TIMESFORMER_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["TIMESFORMER_CACHE"]
    else:
        os.environ["TIMESFORMER_CACHE"] = before


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch looks for lost loader workers three times a second, not every five seconds."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.3,))


@pytest.fixture
def forked() -> Iterator[None]:
    """Loader workers are forked, so that they see what a test replaced; skipped where processes can't be forked safely.

    Linux forks by default only before Python 3.14.
    """
    if sys.platform != "linux":
        pytest.skip("loader workers are started anew here and would not see what the test replaces")
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("fork", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)
