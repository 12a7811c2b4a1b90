"""Engines that tests share, and ways to start their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from engines import Engine, Files, write_files

from local.postgres import Cluster
from local.processes import free_port


@pytest.fixture(scope="session")
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def make_engine(cluster: Cluster, engine_cache: Path) -> Iterator[Callable[..., Engine]]:
    """`make_engine(files, "--fresh")` is a running engine with a workspace and database of its own."""
    made: list[Engine] = []

    def make(files: Files, *options: str, started: bool = True, database_url: str | None = None) -> Engine:
        name = f"engine_{uuid4().hex[:12]}"
        place = engine_cache / name
        workspace = write_files(place / "workspace", files)
        (workspace / "f").mkdir(parents=True, exist_ok=True)
        engine = Engine(workspace, free_port(), database_url or cluster.url(name), place / "data", options)
        made.append(engine)
        return engine.start() if started else engine

    yield make
    for engine in made:
        if engine.process and engine.process.poll() is None:
            engine.kill()


@pytest.fixture(scope="module")
def engine(make_engine: Callable[..., Engine], request: pytest.FixtureRequest) -> Engine:
    """One engine for all tests of a module: it serves the module's FILES."""
    return make_engine(request.module.FILES)
