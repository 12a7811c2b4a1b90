from collections.abc import Iterator

import pytest
from shelf import Shelf
from systems import Database

from f.lib.database import connect


@pytest.fixture
def shelf(seeded_database: Database) -> Iterator[Shelf]:
    with connect(seeded_database.app_resource) as connection:
        made = Shelf(connection, seeded_database.owner_url)
        yield made
        made.owner.close()
