# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""The desk at which every admin call is served: who calls, for which organisation, and the record of what was done.

Two kinds of callers. On the route it is an API key: an operator's, or a tenant's with the scope `admin`, which
is bound to its own organisation whatever the request says. In Windmill's own forms it is a Windmill user, and
Windmill's permission on f/admin is what makes an operator of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from psycopg.types.json import Jsonb

from f.admin import queries
from f.lib.api_auth import Caller, authenticate, hold, serving
from f.lib.database import Connection, tenant
from f.lib.http import ApiError, flag, invalid, refuse_problem, text
from f.lib.windmill import start_script

DATABASE = "f/admin/database"

#: Seconds after which a run that saw a secret is erased; well above what a call takes.
ERASE_SECONDS = 60


class Record(Protocol):
    def __call__(self, target: str, target_id: str | None, *, old: Any = None, new: Any = None) -> None:
        """Write down what was done; `old` and `new` have neither secrets nor customers' words."""


class Desk:
    """One call. `connection` is the role manager's."""

    def __init__(self, connection: Connection, caller: Caller, action: str):
        self.connection = connection
        self.caller = caller
        self._action = action

    @property
    def is_operator(self) -> bool:
        return self.caller.organization_id is None

    def organization(self, wanted: Any) -> str:
        """The id of the organisation to act for: a key's own, or the one that an operator names by slug or id."""
        name = None if wanted is None else text("organization", wanted)
        if self.caller.organization_id is None:
            if name is None:
                raise invalid("organization", "is missing: operators say for whom, by slug or id")
            found = self.connection.execute(queries.ROUTE_ORGANIZATION, {"wanted": name}).fetchone()
            if not found or found["organization_id"] is None:
                raise ApiError(404, "not_found", "there is no such organization")
            return str(found["organization_id"])
        own = self.caller.organization_id
        if name is not None:
            with tenant(self.connection, own):
                row = self.connection.execute(queries.READ_ORGANIZATION, {"organization_id": own}).fetchone()
            if name not in (own, row and row["slug"]):
                raise ApiError(403, "other_organization", "this key is for another organization")
        return own

    def place(self, wanted: Any, operators: Any) -> str | None:
        """As `organization`; None where an operator says `operators` instead: what is the installation's own."""
        if operators is None or not flag("operators", operators):
            return self.organization(wanted)
        if wanted is not None:
            raise invalid("operators", "and organization are two places: name one")
        self.require_operator()
        return None

    def require_operator(self) -> None:
        """Raises ApiError 403 for a tenant's key."""
        if not self.is_operator:
            raise ApiError(403, "operators_only", "only operators of the installation may do this")

    @contextmanager
    def work(self, organization_id: str | None) -> Iterator[Record]:
        """A transaction for one organisation (None: the installation), in which the caller's key stays valid.

        What is not recorded is not done: a block that ends without a record is undone.
        """
        recorded = []

        def record(target: str, target_id: str | None, *, old: Any = None, new: Any = None) -> None:
            values = {
                "organization_id": organization_id,
                "actor_kind": self.caller.kind,
                "actor": self.caller.id,
                "action": self._action,
                "target": target,
                "target_id": target_id,
                "old": None if old is None else Jsonb(old),
                "new": None if new is None else Jsonb(new),
                "job_id": os.environ.get("WM_JOB_ID"),
            }
            self.connection.execute(queries.RECORD, values)
            recorded.append(target)

        # A tenant's key is a row of its organisation; an operator's is asked for by a function.
        with tenant(self.connection, organization_id or ""):
            hold(self.connection, self.caller)
            yield record
            if not recorded:
                raise AssertionError(f"{self._action} was not recorded")

    @contextmanager
    def reading(self, organization_id: str) -> Iterator[None]:
        """A transaction that only looks something up for a `work` to come."""
        with tenant(self.connection, organization_id):
            yield

    def keep(
        self, known: dict[str, Any] | None, change: str, add: str, values: dict[str, Any], taken: ApiError
    ) -> dict[str, Any]:
        """Change the row that is `known`, or add one, in a `work`. Returns it, or what `add` returns. Raises `taken`
        when somebody else has added it."""
        if known:
            self.connection.execute(change, values)
            return known
        added = self.connection.execute(add, values).fetchone()
        if added is None:
            raise taken
        return added

    def chatbot_id(self, keys: dict[str, Any]) -> str:
        """Of the slug `chatbot`, in the caller's transaction. Raises ApiError 404."""
        found = self.connection.execute(queries.FIND_CHATBOT, keys).fetchone()
        if found is None:
            raise ApiError(404, "not_found", "there is no chatbot of this slug")
        return str(found["id"])

    def erase_this_run(self) -> None:
        """Have the run's arguments and result erased soon. Before a secret is shown or kept: raises when it cannot."""
        start_script("f/admin/erase_run", {"job_id": os.environ["WM_JOB_ID"]}, ERASE_SECONDS)


@contextmanager
def open_desk(action: str, request: dict[str, Any] | None, *, operators_only: bool = False) -> Iterator[Desk]:
    """Serve a call of `action`. `request` is the route's, None in Windmill's form. Raises ApiError."""
    with serving(DATABASE) as connection:
        if request is None:
            caller = Caller("windmill", os.environ.get("WM_USERNAME") or "unknown")
        else:
            caller = authenticate(connection, request, operators=True)
        desk = Desk(connection, caller, action)
        if request is not None:
            if operators_only:
                desk.require_operator()
            caller.require("admin")
            refuse_problem(request)
        yield desk
