"""The API of jobs: run, wait, look at, cancel, resume."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from local.engine import queries, store
from local.engine.bodies import read_body
from local.engine.http import (
    ApiError,
    Call,
    Endpoint,
    bad_request,
    not_found,
    parse_id,
    plain_answer,
    result_answer,
    wait_for,
)
from local.engine.jobs import Job
from local.engine.records import record
from local.engine.store import Connection

#: Rows of a list where the caller does not say, and at most.
PAGE, MAX_PAGE = 30, 1000
MAX_NONCE = 2**31 - 1
KINDS = {"p": False, "f": True}


def endpoints() -> Iterator[tuple[str, str, Endpoint]]:
    """Method, path below the workspace, and what answers it."""
    yield "POST", "/jobs/run/{kind}/{path:path}", run
    yield "POST", "/jobs/run_wait_result/{kind}/{path:path}", run_and_wait
    yield "GET", "/jobs/list", list_all
    yield "GET", "/jobs/queue/list", list_queued
    yield "GET", "/jobs/completed/list", list_completed
    for prefix in ("/jobs", "/jobs_u"):
        yield "GET", f"{prefix}/get/{{id}}", get
        yield "GET", f"{prefix}/get_args/{{id}}", arguments
        yield "GET", f"{prefix}/get_logs/{{id}}", logs
        yield "GET", f"{prefix}/get_root_job_id/{{id}}", root_id
        yield "GET", f"{prefix}/completed/get/{{id}}", get_completed
        yield "GET", f"{prefix}/completed/get_result/{{id}}", result
        yield "GET", f"{prefix}/completed/get_result_maybe/{{id}}", result_maybe
        yield "POST", f"{prefix}/queue/cancel/{{id}}", cancel
    yield "POST", "/jobs/completed/delete/{id}", erase
    yield "GET", "/jobs/resume_urls/{id}/{nonce}", resume_urls
    yield "POST", "/jobs/flow/resume/{id}", resume_flow
    yield "POST", "/jobs/flow/user_states/{id}/{key}", set_user_state
    yield "GET", "/jobs/flow/user_states/{id}/{key}", get_user_state


def signed_endpoints() -> Iterator[tuple[str, str, Endpoint]]:
    """Those whose addresses `resume_urls` gives, to be passed on to people without a token."""
    for verb in ("resume", "cancel"):
        for method in ("GET", "POST"):
            yield method, f"/jobs_u/{verb}/{{id}}/{{nonce}}/{{signature}}", decide


def run(call: Call) -> Response:
    """Queue a run; its id may be the caller's."""
    return plain_answer(str(_submit(call)), 201)


async def run_and_wait(call: Call) -> Response:
    job_id = await run_in_threadpool(_submit, call)
    ended = await wait_for(call.engine, job_id, call.request, call.caller.username)
    return result_answer(ended) if ended else plain_answer("", 499)


def get(call: Call) -> Response:
    job = _job(call, call.job_id())
    if job is None:
        raise not_found(f"Job not found at name {call.job_id()}")
    return JSONResponse(record(job, call.engine.name))


def get_completed(call: Call) -> Response:
    return JSONResponse(record(_completed(call), call.engine.name))


def result(call: Call) -> Response:
    return JSONResponse(_completed(call).result)


def result_maybe(call: Call) -> Response:
    job = _job(call, call.job_id())
    done = job is not None and job.state == "done"
    return JSONResponse(
        {
            "completed": done,
            "result": job.result if job and done else None,
            "success": job.success if job and done else None,
            "started": None if job is None else job.state != "queued",
        }
    )


def logs(call: Call) -> Response:
    job = _job(call, call.job_id())
    if job is None:
        raise not_found(f"Job not found at name {call.job_id()}")
    return plain_answer(job.logs)


def arguments(call: Call) -> Response:
    """As they were given: references in them are not followed."""
    job = _job(call, call.job_id())
    if job is None:
        raise not_found(f"Job not found at name {call.job_id()}")
    return JSONResponse(job.args)


def root_id(call: Call) -> Response:
    job = _job(call, call.job_id())
    return JSONResponse(str(job.root_id if job else call.job_id()))


def cancel(call: Call) -> Response:
    job_id = call.job_id()
    reason = call.json().get("reason") if call.body else None
    if not call.engine.cancel(job_id, call.caller.username, reason) and _job(call, job_id) is None:
        raise not_found(f"Job not found at name {job_id}")
    return plain_answer(str(job_id))


def erase(call: Call) -> Response:
    """Forget what a job that is done was given and said."""
    _completed(call)
    call.engine.store.run(lambda connection: connection.execute(queries.ERASE, (call.job_id(),)), 20)
    return JSONResponse(record(_completed(call), call.engine.name))


def list_all(call: Call) -> Response:
    return _listed(call, None)


def list_queued(call: Call) -> Response:
    return _listed(call, False)


def list_completed(call: Call) -> Response:
    return _listed(call, True)


def resume_urls(call: Call) -> Response:
    base = str(call.request.base_url).rstrip("/")
    job_id, nonce = call.job_id(), call["nonce"]
    workspace, end = call.engine.name, f"{job_id}/{nonce}/{call.access.signature(f'{job_id}:{nonce}')}"
    urls = {verb: f"{base}/api/w/{workspace}/jobs_u/{verb}/{end}" for verb in ("resume", "cancel")}
    return JSONResponse({**urls, "approvalPage": f"{base}/approve/{workspace}/{end}"})


def resume_flow(call: Call) -> Response:
    payload = read_body(call.body, "application/json").value if call.body else None
    if not call.engine.resume(call.job_id(), 0, payload, approved=True, approver=call.caller.username):
        raise not_found(f"Job not found at name {call.job_id()}")
    return Response(None, 201)


def decide(call: Call) -> Response:
    """What the links of `resume_urls` do."""
    approved = call.request.url.path.split("/jobs_u/")[1].startswith("resume")
    payload = read_body(call.body, "application/json").value if call.body else None
    nonce = call["nonce"]
    if not nonce.isdecimal() or int(nonce) > MAX_NONCE:
        raise bad_request("the resume id is a number")
    if not call.engine.resume(call.job_id(), int(nonce), payload, approved=approved, approver=call.caller.username):
        raise not_found(f"Job not found at name {call.job_id()}")
    return Response(None, 201)


def set_user_state(call: Call) -> Response:
    value = store.Jsonb(read_body(call.body, "application/json").value)
    row = {"id": call.job_id(), "key": call["key"], "value": value}
    call.engine.store.run(lambda c: c.execute(queries.SET_USER_STATE, row), 20)
    return Response(None, 200)


def get_user_state(call: Call) -> Response:
    job = _job(call, call.job_id())
    states = ((job and job.status) or {}).get("user_states", {})
    return JSONResponse(states.get(call["key"]))


def _submit(call: Call) -> UUID:
    kind, path = call["kind"], call["path"]
    if kind not in KINDS:
        raise not_found(f"no such way to run: {kind}")
    call.require(f"jobs:run:{'flows' if KINDS[kind] else 'scripts'}:{path}")
    query = call.request.query_params
    body = read_body(call.body, call.request.headers.get("content-type", ""), raw_string=query.get("raw") == "true")
    args = body.arguments(wrapped=query.get("wrap_body") == "true")
    script = None if KINDS[kind] else call.engine.workspace.scripts.get(path)
    preprocess = script is not None and script.has_preprocessor and query.get("skip_preprocessor") != "true"
    if preprocess:
        event = {"kind": "webhook", "body": body.value, "raw_string": body.raw_string}
        args = {"event": {**event, "query": dict(query), "headers": dict(call.request.headers)}}
    parent = query.get("parent_job")
    return call.engine.submit(
        path,
        args,
        is_flow=KINDS[kind],
        by=call.caller.username,
        job_id=parse_id(query["job_id"]) if query.get("job_id") else None,
        moment=_moment(query.get("scheduled_for"), query.get("scheduled_in_secs")),
        parent_id=parse_id(parent) if parent else None,
        preprocess=preprocess,
    )


def _moment(at: str | None, seconds: str | None) -> datetime | None:
    try:
        if at:
            moment = datetime.fromisoformat(at).astimezone()
        elif seconds:
            moment = datetime.fromtimestamp(datetime.now().timestamp() + float(seconds)).astimezone()
        else:
            return None
    except (ValueError, OverflowError, OSError) as error:
        raise bad_request(str(error)) from None
    if not 1970 <= moment.year < 2200:
        raise bad_request(f"{moment.isoformat()} is no moment that a run could be meant for")
    return moment


def _job(call: Call, job_id: UUID) -> Job | None:
    return call.engine.store.run(lambda connection: store.get(connection, job_id, whole=True), 20)


def _completed(call: Call) -> Job:
    job = _job(call, call.job_id())
    if job is None or job.state != "done":
        raise not_found(f"Completed Job not found at name {call.job_id()}")
    return job


def _listed(call: Call, completed: bool | None) -> Response:
    query = call.request.query_params
    try:
        size = min(max(int(query.get("per_page") or PAGE), 1), MAX_PAGE)
        page = max(int(query.get("page") or 1), 1)
        after, before = (_time(query.get(name)) for name in ("created_after", "created_before"))
    except ValueError as error:
        raise ApiError(400, f"Bad request: {error}") from None
    filters = {
        "completed": completed,
        "path": query.get("script_path_exact"),
        "prefix": query.get("script_path_start"),
        "success": None if query.get("success") is None else query["success"] == "true",
        "after": after,
        "before": before,
        "steps": query.get("is_flow_step") == "true" if "is_flow_step" in query else None,
        "schedule": query.get("schedule_path"),
        "parent": query.get("parent_job"),
        "trigger": query.get("trigger_kind"),
        "size": size,
        "offset": (page - 1) * size,
        "newest_first": query.get("order_desc", "true") == "true",
    }

    def read(connection: Connection) -> list[Job]:
        return store.jobs(connection, queries.LIST, filters)

    return JSONResponse([_row(job, call.engine.name) for job in call.engine.store.run(read, 20)])


def _row(job: Job, workspace: str) -> dict[str, Any]:
    """A job in a list: without what may be large."""
    large = ("args", "result", "logs", "flow_status", "raw_flow")
    return {name: value for name, value in record(job, workspace).items() if name not in large}


def _time(text: str | None) -> datetime | None:
    # In a query an unescaped `+` arrives as a blank.
    return datetime.fromisoformat(text.replace(" ", "+")) if text else None
