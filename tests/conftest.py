"""What all tests share: none of them reads or writes the user's own cache."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("TIMESFORMER_CACHE")
    os.environ["TIMESFORMER_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["TIMESFORMER_CACHE"]
    else:
        os.environ["TIMESFORMER_CACHE"] = before
