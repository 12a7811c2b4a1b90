"""Operators' forms as Windmill runs them, through the whole running system."""

from typing import Any

import pytest
from systems import RunningStack, until
from test_full_flow import Person, run_script

from f.lib.ids import message_job_id
from f.ops.health import SCHEDULES

SLUG = "harbour-dental"


@pytest.fixture
def person(stack: RunningStack) -> Person:
    return Person(stack)


def run(stack: RunningStack, job_id: Any) -> dict[str, Any]:
    return dict(stack.windmill("GET", f"jobs_u/get/{job_id}").json())


def test_the_system_is_well_and_says_so(stack: RunningStack) -> None:
    rows = run_script(stack, "u/admin/check_health")
    found = {row["check"]: row for row in rows}
    for check in ("database as app", "database as manager", "database: migrations", "gateway", "queue", "model demo"):
        assert found[check]["state"] == "ok", found[check]
    assert {check for check in found if check.startswith("schedule ")} == {f"schedule {path}" for path in SCHEDULES}


def test_another_prompt_is_tried_on_what_was_asked(stack: RunningStack, person: Person) -> None:
    (wamid,) = person.write("How much is a check-up?")
    person.outcomes(wamid)
    with stack.connect() as connection:
        (turn,) = connection.execute("select turn_id from webhook_events where wamid = %s", [wamid]).fetchone()
    facts = [{"topic": "Prices", "text": "Check-ups cost nothing this week."}]
    tried = run_script(stack, "u/admin/try_prompt", organization=SLUG, turn_id=str(turn), facts=facts)
    assert tried["answer"] == "Check-ups cost nothing this week." and "£52" in tried["then"]["answer"]
    assert len(person.replies(1)) == 1


def test_a_person_is_forgotten_in_the_database_and_in_windmill(stack: RunningStack, person: Person) -> None:
    (wamid,) = person.write("Do you know wordtoforget?")
    person.outcomes(wamid)
    job_id = message_job_id(person.number, wamid)
    # The outcome is there shortly before the run has ended.
    until(lambda: run(stack, job_id)["type"] == "CompletedJob")
    steps = stack.windmill("GET", f"jobs/completed/list?parent_job={job_id}").json()
    assert "wordtoforget" in str(run(stack, job_id)["args"]) and len(steps) == 3
    assert any("wordtoforget" in str(run(stack, step["id"])["args"]) for step in steps)

    done = run_script(stack, "u/admin/erase_person", organization=SLUG, person=f"+{person.wa_id}")
    assert done["state"] == "erased" and done["erased"]["runs in Windmill"] == 4
    for known in (job_id, *(step["id"] for step in steps)):
        kept = run(stack, known)
        assert "wordtoforget" not in str(kept) and wamid not in str(kept.get("logs"))
    with stack.connect() as connection:
        query = "select count(*) from contacts where wa_id = %s"
        assert connection.execute(query, [person.wa_id]).fetchone() == (0,)
    again = run_script(stack, "u/admin/erase_person", organization=SLUG, person=person.wa_id)
    assert again["state"] == "nothing to erase" and again["erased_at"]

    (wamid,) = person.write("Hello, I am new here")
    assert person.outcomes(wamid) == [("answered", "delivery: sent")]
