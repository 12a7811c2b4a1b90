"""One look at everything: what is wrong is named with the way out."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from fakes import error, lost_answer
from pytest_httpserver import HTTPServer

from db import manage
from f.ops import health
from f.ops.news import KINDS
from u.admin import check_health

GUIDE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


@pytest.fixture
def healthy(office, httpserver: HTTPServer):
    httpserver.expect_request("/ready").respond_with_data("ok")
    office.values["f/ops/gateway_url"] = httpserver.url_for("/")
    for path in health.SCHEDULES:
        office.schedules.append({"path": path, "script_path": path, "enabled": True})
        office.keep(f"run of {path}", path)
    return office


def look(**arguments) -> dict[str, tuple[str, str, str]]:
    rows = check_health.main(**arguments)
    assert all(set(row) == {"state", "check", "found", "way_out"} for row in rows)
    return {row["check"]: (row["state"], row["found"], row["way_out"]) for row in rows}


def test_all_is_well_but_that_nobody_would_be_told(platform, healthy):
    assert look(only_findings=True) == {
        "channels of operators": ("look", "none: nobody is told of alerts", "Being told")
    }
    assert look()["gateway"] == ("ok", "ready", "") and look()["database: migrations"][0] == "ok"
    assert platform.rows("select * from audit_log") == []


def test_what_is_wrong_is_named_gravest_first(platform, healthy):
    platform.whatsapp.reactions = [lost_answer, error(190)]
    platform.converse("hi")
    platform.converse("hello?")
    platform.load(platform.delivery("x", phone_number_id="1"))
    platform.owner.execute("update webhook_events set stored_at = now() - interval '10 minutes'")
    platform.owner.execute("update system_alerts set first_at = now() - interval '20 minutes'")
    platform.owner.execute(
        "update conversations set lease_holder = gen_random_uuid(), lease_until = now() - interval '5 minutes'"
    )
    rows = check_health.main(only_findings=True)
    assert [row["state"] for row in rows] == sorted((row["state"] for row in rows), key=health.ORDER.index)
    found = {row["check"]: (row["state"], row["way_out"]) for row in rows}
    assert found["numbers held"] == ("bad", "A number is held")
    assert found["alert: number_needs_operator"] == ("bad", "A number is held")
    assert found["alert: reply_uncertain"] == ("look", '"uncertain"')
    assert found["messages waiting"] == ("bad", "No reply")
    assert found["leases left"] == ("bad", "Nothing runs")
    assert found["messages unrouted"] == ("look", "A number that nobody knows")
    assert found["alerts untold"] == ("look", "Being told")
    assert "10 min" in look()["messages waiting"][1]


def test_every_schedule_is_looked_at():
    files = Path(__file__).parents[2].glob("f/*/*.schedule.yaml")
    assert {yaml.safe_load(file.read_text())["script_path"] for file in files} == set(health.SCHEDULES)


def test_schedules_that_are_missing_off_or_behind(platform, healthy):
    healthy.schedules.pop(2)
    healthy.schedules[1]["enabled"] = False
    healthy.kept["run of f/ops/sweep"]["created_at"] = (datetime.now(UTC) - timedelta(minutes=7)).isoformat()
    found = look()
    assert found["schedule f/ops/sweep"] == ("bad", "succeeded 7 min ago", "Nothing runs")
    assert found["schedule f/ops/notify"][:2] == ("bad", "it is switched off")
    assert found["schedule f/agent/refresh_tools"][:2] == ("bad", "there is none: ./dev push")


def test_runs_that_no_worker_takes(platform, healthy):
    at = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
    later = (datetime.now(UTC) + timedelta(minutes=3)).isoformat()
    healthy.queue = [
        {"running": False, "created_at": at, "scheduled_for": at},
        {"running": True, "created_at": at, "scheduled_for": at},
        {"running": False, "created_at": at, "scheduled_for": later},
    ]
    assert look()["queue"] == ("bad", "a run waits for 3 min, 1 runs wait: are there workers?", "Nothing runs")


def test_a_gateway_that_does_not_answer(platform, healthy, httpserver):
    httpserver.clear()
    httpserver.expect_request("/ready").respond_with_data("no", status=503)
    assert look()["gateway"] == ("bad", "HTTP 503 at /ready", "Meta's deliveries are refused")
    healthy.values["f/ops/gateway_url"] = "http://127.0.0.1:9"
    assert look()["gateway"][:2] == ("bad", "ConnectError")
    healthy.values.clear()
    assert look()["gateway"][0] == "look"


def test_a_model_without_a_key(platform, healthy):
    platform.owner.execute(
        "update chatbots set model_provider = 'openai', model_name = 'm', model_resource_path = 'f/agent/openai'"
    )
    assert look()["model openai"] == (
        "bad",
        "f/agent/openai has no key",
        "The fallback text instead of an answer",
    )
    healthy.resources["f/agent/openai"] = {"api_key": "sk-secret"}
    found = look()
    assert found["model openai"][0] == "ok" and "sk-secret" not in str(found)


def test_a_database_that_is_away_or_behind(platform, healthy):
    platform.owner.execute("update schema_migrations set version = 0")
    assert look()["database: migrations"][0] == "bad"
    healthy.resources["f/lib/database"] = {**platform.database, "password": "wrong"}
    found = look()
    assert found["database"] == ("bad", "OperationalError", "The database is away")
    assert found["gateway"][0] == "ok", "the rest is looked at all the same"


def test_windmill_that_refuses(platform, healthy):
    healthy.refusals["schedules/list"] = 403
    assert look()["Windmill"][0] == "bad"


def test_every_way_out_is_a_heading_of_the_guide(platform, healthy):
    headings = set(re.findall(r"^## (.+)$", GUIDE, re.MULTILINE))
    source = Path(health.__file__).read_text() + Path(check_health.__file__).read_text()
    assert set(health.WAYS_OUT.values()) <= headings and health.WAYS_OUT.keys() == KINDS.keys()
    named = set(re.findall(r'"((?:A|The|Nothing|Windmill|Meta\'s|Being|No) [^"{]+)"', source)) - {
        "The database is away"
    }
    assert "Nothing runs" in named
    assert "The database is away" in headings and "Windmill is away" in headings


def test_the_schema_that_scripts_need_is_the_newest():
    assert max(migration.version for migration in manage.migrations()) == health.SCHEMA
