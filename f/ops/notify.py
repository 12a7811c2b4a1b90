# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Tell people of open alerts and hand-overs: every minute, by a schedule."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from f.lib.alerts import raise_alert, resolve_alert
from f.lib.database import Connection, connect, tenant
from f.lib.logs import log, logged
from f.ops import notice_queries
from f.ops.channels import ChannelFailed, send_to
from f.ops.news import HANDOVER, News, alert_news, handover_news, severity_numbers

#: An open alert that recurs is told again after this time.
AGAIN_AFTER = timedelta(hours=6)

#: After a notice a channel rests this long from alerts, so that an incident is a few messages; hand-overs do not wait.
REST = timedelta(minutes=5)

#: Things told in one run, and channels used at once; the next run goes on.
MOST = 500
MOST_CHANNELS = 25

#: Seconds for all channels of a run together, which are used side by side: a slow one holds up nobody.
SECONDS = 30

#: Failures in a row after which a channel is an alert itself.
PATIENCE = 3


@logged
def main(database: dict, smtp: dict | None = None, local_addresses: str | None = None) -> dict:
    """Purpose: whoever is responsible learns of what needs a person, once.

    Input: the `postgresql` resource, the `smtp` resource, and "true" where webhooks may lead inside the network.

    A channel that does not work is tried again after 1, 2, 4 … minutes, an hour at most, and is an alert itself after
    three times; others go on. Returns how many channels were told, how many failed, and how many hand-overs nobody
    has been told of.
    """
    with connect(database) as connection:
        told, failed = tell_all(connection, smtp, may_be_local=local_addresses == "true")
        return {"told": told, "failed": failed, "untold_handovers": follow_untold(connection)}


def tell_all(connection: Connection, smtp: dict[str, Any] | None, *, may_be_local: bool) -> tuple[int, int]:
    """Tell every channel what is due. Returns how many took it, and how many did not."""
    values = {"severities": Jsonb(severity_numbers()), "again_after": AGAIN_AFTER, "rest": REST, "most": MOST}
    due: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for item in connection.execute(notice_queries.DUE_NOTICES, values).fetchall():
        due[item["channel_id"]].append(item)
    jobs: list[tuple[dict[str, Any], list[dict[str, Any]], Sequence[News]]] = []
    for items in list(due.values())[:MOST_CHANNELS]:
        with bound(connection, items[0]["channel_organization_id"]):
            channel = connection.execute(notice_queries.CLAIM_CHANNEL, items[0]).fetchone()
        if channel is None:
            continue  # another run has it
        found = read_news(connection, items)
        jobs.append((channel, [item for item in items if item["item_id"] in found], list(found.values())))

    def telling(channel: dict[str, Any], news: Sequence[News]) -> Callable[[], None]:
        return lambda: send_to(channel, news, smtp, may_be_local=may_be_local) if news else None

    errors = side_by_side([telling(channel, news) for channel, _, news in jobs], SECONDS)
    for (channel, items, news), error in zip(jobs, errors, strict=True):
        states = {item.id: item.state for item in news}
        record(connection, channel, items, states, error)
    return errors.count(None), len(errors) - errors.count(None)


def read_news(connection: Connection, items: list[dict[str, Any]]) -> dict[Any, News]:
    """What a channel is to be told, by id; each organisation's in a transaction of its own."""
    groups: dict[tuple[Any, str], list[Any]] = defaultdict(list)
    for item in items:
        groups[item["organization_id"], item["source"]].append(item["item_id"])
    found: dict[Any, News] = {}
    for (organization_id, source), item_ids in groups.items():
        query, make = notice_queries.READ_ALERTS, alert_news
        if source == HANDOVER:
            query, make = notice_queries.READ_HANDOVERS, handover_news
        with bound(connection, organization_id):
            values = {"organization_id": organization_id, "item_ids": item_ids}
            for row in connection.execute(query, values).fetchall():
                found[row["id"]] = make(row)
    return found


def side_by_side(calls: Sequence[Callable[[], None]], seconds: float) -> list[str | None]:
    """Why each call failed, or None. What is not done in time is left behind: this process ends soon."""
    errors: list[str | None] = [f"no answer within {seconds:g} s"] * len(calls)

    def run(number: int, call: Callable[[], None]) -> None:
        try:
            call()
            errors[number] = None
        except ChannelFailed as error:
            errors[number] = str(error)
        except Exception as error:  # noqa: BLE001  # one channel must not keep the others from being used
            errors[number] = type(error).__name__

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(calls)]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return list(errors)


def record(
    connection: Connection,
    channel: dict[str, Any],
    items: list[dict[str, Any]],
    states: dict[str, str],
    error: str | None,
) -> None:
    """What the channel has been told, or that it did not work."""
    channel_id, owner = str(channel["channel_id"]), channel["channel_organization_id"]
    with bound(connection, owner):
        if error is None:
            connection.execute(notice_queries.CHANNEL_TOLD, channel)
            for item in items:
                connection.execute(notice_queries.STORE_NOTICE, {**item, "state": states[str(item["item_id"])]})
            resolve_alert(connection, owner, "channel_failing", channel_id)
        else:
            failed = connection.execute(notice_queries.CHANNEL_FAILED, {**channel, "error": error}).fetchone()
            if failed and failed["failures"] >= PATIENCE:
                raise_alert(connection, owner, "channel_failing", channel_id, {"reason": error})
    for item in (item for item in items if item["source"] == HANDOVER):
        with tenant(connection, item["organization_id"]):
            statement = notice_queries.HANDOVER_NOT_TOLD if error else notice_queries.HANDOVER_TOLD
            connection.execute(statement, {**item, "error": error})
            if error is None:
                resolve_alert(connection, item["organization_id"], "handover_not_told", str(item["item_id"]))
    log(
        "channel",
        level="warning" if error else "info",
        channel_id=channel_id,
        kind=channel["kind"],
        items=len(items),
        error=error,
    )


def follow_untold(connection: Connection) -> int:
    """Alerts for hand-overs that nobody could be told of; after a day they have failed. Returns how many."""
    untold = connection.execute(notice_queries.UNTOLD_HANDOVERS, {"most": MOST}).fetchall()
    for row in untold:
        with tenant(connection, row["organization_id"]):
            if row["is_over"]:
                connection.execute(notice_queries.HANDOVER_FAILED, row)
            raise_alert(connection, row["organization_id"], "handover_not_told", str(row["notification_id"]), {})
    return len(untold)


def bound(connection: Connection, organization_id: Any) -> AbstractContextManager[Any]:
    """A transaction of the organisation, or of the installation where it is None."""
    return connection.transaction() if organization_id is None else tenant(connection, organization_id)
