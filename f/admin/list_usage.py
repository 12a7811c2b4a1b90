# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""List what an organisation used in a month: messages, calls of models, tokens, and its plan"""

from datetime import UTC, datetime
from typing import Any

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http


@http.answering()
def main(organization: str | None = None, month: str | None = None, request: dict | None = None) -> dict:
    """Purpose: what an organisation has used, beside what its plan allows.

    organization: slug or id; a tenant's key may leave it out
    month: such as 2026-11, in UTC; left out, the present one
    request: filled in by the HTTP route; leave it empty

    `counted` is what the plan's limits are about: turns, and tokens of prompts and answers.
    """
    with open_desk("list_usage", request) as desk:
        organization_id = desk.organization(organization)
        begin, end = bounds_of(month)
        values = {"organization_id": organization_id, "begin": begin, "end": end}
        with desk.work(organization_id) as record:
            plan = desk.connection.execute(queries.READ_ORGANIZATION, values).fetchone()
            messages = desk.connection.execute(queries.MONTH_MESSAGES, values).fetchone()
            counted = desk.connection.execute(queries.MONTH_QUOTA, values).fetchone()
            days = http.plain(desk.connection.execute(queries.MONTH_USAGE, values).fetchall())
            record("usage", f"{begin:%Y-%m}")
        assert plan is not None
        names = ("calls", "prompt_tokens", "completion_tokens", "estimated_cost")
        return {
            "month": f"{begin:%Y-%m}",
            "plan": {
                "code": plan["plan"],
                "monthly_messages": plan["monthly_messages"],
                "monthly_tokens": plan["monthly_tokens"],
            },
            "counted": counted or {"messages": 0, "tokens": 0, "reserved_tokens": 0},
            "messages": messages,
            "models": {name: sum(day[name] for day in days) for name in names},
            "days": days,
        }


def bounds_of(month: Any) -> tuple[datetime, datetime]:
    """Beginning of the month and of the next one."""
    if month is None:
        month = f"{datetime.now(UTC):%Y-%m}"
    http.text("month", month, pattern=r"20[0-9]{2}-(0[1-9]|1[0-2])", what="a month such as 2026-11")
    year, number = int(month[:4]), int(month[5:])
    begin = datetime(year, number, 1, tzinfo=UTC)
    return begin, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
