"""A message that had to wait for the database waits for what the same person wrote before it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fakes import FakeWindmill
from steps import Platform

from f.whatsapp.load_context import LATE_SECONDS


def received(seconds_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()


@pytest.mark.parametrize(
    ("seconds_ago", "failures", "merge_seconds"),
    [(0, 3, 2), (0, 0, 2), (5, 0, 6), (30, 0, 12), (30, 3, LATE_SECONDS), (600, 20, LATE_SECONDS), (7200, 1, 12)],
)
def test_only_after_a_failed_attempt(
    platform: Platform, windmill: FakeWindmill, seconds_ago: float, failures: int, merge_seconds: float
) -> None:
    job_id = str(uuid4())
    status = {"step": 0, "retry": {"fail_count": failures, "failed_jobs": []}} if failures else {"step": 0}
    windmill.runs[job_id] = {"id": job_id, "flow_status": status}
    loaded = platform.load(platform.delivery(received_at=received(seconds_ago)), job_id)
    assert loaded["merge_seconds"] == pytest.approx(merge_seconds, abs=0.5)
    (lease,) = platform.rows("select extract(epoch from lease_until - now()) as seconds from conversations")
    expected = 60 + (LATE_SECONDS if merge_seconds == LATE_SECONDS else 0)
    assert expected - 20 < lease["seconds"] <= expected, "the lease holds from the end of the pause"


def test_also_when_windmill_does_not_tell(platform: Platform, windmill: FakeWindmill) -> None:
    loaded = platform.load(platform.delivery(received_at=received(30)), str(uuid4()))
    assert loaded["merge_seconds"] == LATE_SECONDS
