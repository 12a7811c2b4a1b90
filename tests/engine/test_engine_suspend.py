"""Flows that wait for people."""

from typing import Any

import httpx
import pytest
from engines import Engine, Js, branch_one, code, fail, flow, give, wait_until

SEES = "def main(**seen): return seen"
SEEN = {
    "resume": Js("resume"),
    "resumes": Js("resumes"),
    "approvers": Js("approvers"),
    "previous": Js("previous_result"),
}
FILES = {
    "f/a/waits.flow": flow(
        give("a", 1, suspend={"required_events": 1, "timeout": 60}), code("b", SEES, SEEN), give("c", Js("results.b"))
    ),
    "f/a/waits_for_two.flow": flow(give("a", 1, suspend={"required_events": 2, "timeout": 60}), code("b", SEES, SEEN)),
    "f/a/waits_twice.flow": flow(
        give("a", 1, suspend={"required_events": 1}),
        give("b", Js("resume"), suspend={"required_events": 1}),
        give("c", Js("[results.b, resume]")),
    ),
    "f/a/waits_at_the_end.flow": flow(give("a", 1, suspend={"required_events": 1, "timeout": 60})),
    "f/a/short.flow": flow(
        give("a", 1, suspend={"required_events": 1, "timeout": 1}), give("b", 2), failure_module=give("failure", "seen")
    ),
    "f/a/goes_on.flow": flow(
        give("a", 1, suspend={"required_events": 1, "timeout": 1, "continue_on_disapprove_timeout": True}),
        code("b", SEES, SEEN),
    ),
    "f/a/in_branch.flow": flow(
        branch_one("c", {"true": [give("a", 1, suspend={"required_events": 1}), give("b", Js("resume"))]}, []),
        give("after", Js("results.c")),
    ),
    "f/a/never.flow": flow(fail("a", suspend={"required_events": 1}), give("b", 1)),
}


def suspended(engine: Engine, name: str) -> str:
    job_id = engine.queue("f", f"f/a/{name}")
    wait_until(lambda: engine.job(job_id).get("suspend", 0) > 0)
    return job_id


def resume(engine: Engine, job_id: str, payload: object) -> None:
    assert engine.api("POST", f"jobs/flow/resume/{job_id}", json=payload).status_code == 201


def first_step(engine: Engine, job_id: str) -> str:
    return str(engine.job(job_id)["flow_status"]["modules"][0]["job"])


def test_a_resume_lets_the_flow_go_on_with_its_payload(engine: Engine) -> None:
    job_id = suspended(engine, "waits")
    resume(engine, job_id, {"good": "日本"})
    seen = engine.finished(job_id)["result"]
    assert seen == {"resume": {"good": "日本"}, "resumes": [{"good": "日本"}], "approvers": ["admin"], "previous": 1}


def test_every_event_that_is_required_must_come(engine: Engine) -> None:
    job_id = suspended(engine, "waits_for_two")
    for nonce, payload in ((1, "first"), (1, "again"), (2, "second")):
        assert engine.job(job_id)["type"] == "QueuedJob"
        urls = engine.api("GET", f"jobs/resume_urls/{first_step(engine, job_id)}/{nonce}").json()
        assert httpx.post(urls["resume"], json=payload, params={"approver": f"ann{nonce}"}).status_code == 201
    seen = engine.finished(job_id)["result"]
    assert (seen["resumes"], seen["approvers"]) == (["first", "second"], ["ann1", "ann2"])


def test_each_pause_needs_an_event_of_its_own(engine: Engine) -> None:
    job_id = suspended(engine, "waits_twice")
    resume(engine, job_id, "one")
    wait_until(
        lambda: engine.job(job_id).get("flow_status", {}).get("step") == 2 and engine.job(job_id)["suspend"] == 1
    )
    resume(engine, job_id, "two")
    assert engine.finished(job_id)["result"] == ["one", "two"]


def test_a_pause_after_the_last_step_is_one(engine: Engine) -> None:
    job_id = suspended(engine, "waits_at_the_end")
    resume(engine, job_id, {})
    assert engine.finished(job_id)["result"] == 1


def test_a_pause_in_a_branch_is_resumed_by_its_step(engine: Engine) -> None:
    job_id = engine.queue("f", "f/a/in_branch")

    def inner() -> list[dict[str, Any]]:
        listed = engine.api("GET", "jobs/queue/list", params={"parent_job": job_id}).json()
        return [row for row in listed if row["suspend"]]

    wait_until(inner)
    resume(engine, inner()[0]["id"], "yes")
    assert engine.finished(job_id)["result"] == "yes"


def test_a_refusal_ends_the_flow(engine: Engine) -> None:
    job_id = suspended(engine, "waits")
    urls = engine.api("GET", f"jobs/resume_urls/{first_step(engine, job_id)}/1").json()
    assert httpx.get(urls["cancel"], params={"approver": "ann"}).status_code == 201
    error = engine.finished(job_id)["result"]["error"]
    assert (error["name"], error["message"]) == ("SuspendedDisapproved", "Disapproved by ann")


@pytest.mark.parametrize("part", ["id", "nonce", "signature"])
def test_a_link_that_was_changed_is_refused(engine: Engine, part: str) -> None:
    job_id = suspended(engine, "waits")
    step = first_step(engine, job_id)
    url = engine.api("GET", f"jobs/resume_urls/{step}/1").json()["resume"]
    changed = {"id": url.replace(step, job_id), "nonce": url.replace("/1/", "/2/"), "signature": url + "0"}[part]
    assert httpx.post(changed, json={}).status_code == 401


def test_a_flow_that_nobody_resumes_in_time_fails(engine: Engine) -> None:
    error = engine.finished(engine.queue("f", "f/a/short"))["result"]["error"]
    assert error["name"] == "SuspendedTimedOut"


def test_a_flow_may_go_on_without_approval_and_sees_why(engine: Engine) -> None:
    seen = engine.finished(engine.queue("f", "f/a/goes_on"))["result"]
    assert seen["resume"]["error"]["name"] == "SuspendedTimedOut"


def test_a_step_that_fails_does_not_wait(engine: Engine) -> None:
    assert engine.error("f", "f/a/never")["message"] == "broken"


def test_a_suspended_flow_can_be_cancelled(engine: Engine) -> None:
    job_id = suspended(engine, "waits")
    engine.api("POST", f"jobs_u/queue/cancel/{job_id}", json={})
    assert engine.finished(job_id)["canceled"] is True


def test_what_does_not_wait_cannot_be_resumed(engine: Engine) -> None:
    job_id = suspended(engine, "waits")
    resume(engine, job_id, {})
    engine.finished(job_id)
    assert engine.api("POST", f"jobs/flow/resume/{job_id}", json={}).status_code == 404


def test_a_suspended_flow_waits_on_over_a_restart(engine: Engine) -> None:
    short, long = suspended(engine, "short"), suspended(engine, "waits")
    engine.kill()
    engine.start()
    assert engine.finished(short)["result"]["error"]["name"] == "SuspendedTimedOut"
    resume(engine, long, "late")
    assert engine.finished(long)["result"]["resume"] == "late"
