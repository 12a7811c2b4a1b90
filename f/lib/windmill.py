# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""The few calls of Windmill's API that short scripts need. Importing `wmill` takes ten times as long."""

import os
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx


class WindmillError(Exception):
    """Windmill did not do what it was asked. The text names paths, never values. `status` None: it did not answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def get_resource(path: str) -> dict[str, Any]:
    """The value of a resource with its variables filled in."""
    value = _call("GET", f"resources/get_value_interpolated/{path}").json()
    if not isinstance(value, dict):
        raise WindmillError(f"resource {path} is not an object")
    return value


def put_secret(path: str, value: str, description: str) -> None:
    """Keep `value` as the secret variable `path`, whether there is one already or not."""
    if _call("GET", f"variables/exists/{path}").json() is True:
        _call("POST", f"variables/update/{path}", {"value": value, "is_secret": True, "description": description})
    else:
        body = {"path": path, "value": value, "is_secret": True, "description": description}
        _call("POST", "variables/create", body)


def event_as_sent(event: dict[str, Any]) -> dict[str, Any]:
    """The request of a route as it came, from the run's record.

    In the `event` that a preprocessor gets, Windmill has followed `$var:`, `$res:` and `$WM_TOKEN` in query, path,
    headers and text: what somebody sends could fetch a secret. What is stored is what was sent. Outside of Windmill
    nothing was followed.
    """
    job_id = os.environ.get("WM_JOB_ID")
    if not job_id or not any(event.get(part) for part in ("query", "params", "raw_string")):
        return event
    return dict(_call("GET", f"jobs_u/get_args/{job_id}").json()["event"])


def take_object(key: str, most: int) -> tuple[bytes | None, str]:
    """A file out of the workspace's object storage, and its content type; None when it has more than `most` bytes.

    Afterwards it is not there any more, whatever happened.
    """
    query = urlencode({"file_key": key})
    try:
        about = _call("GET", f"job_helpers/load_file_metadata?{query}").json()
        kind = str(about.get("mime_type") or "")
        if int(about["size_in_bytes"]) > most:
            return None, kind
        return _call("GET", f"job_helpers/download_s3_file?{query}", seconds=30).content, kind
    finally:
        delete_object(key)


def delete_object(key: str) -> None:
    """Remove a file from the workspace's object storage."""
    _call("DELETE", f"job_helpers/delete_s3_file?{urlencode({'file_key': key})}")


def start_script(path: str, arguments: dict[str, Any], in_seconds: int) -> None:
    """Queue a run of the script `path` that begins after `in_seconds`."""
    _call("POST", f"jobs/run/p/{path}?scheduled_in_secs={in_seconds}", arguments)


def erase_run(job_id: str) -> None:
    """Forget the arguments, the result and the log of a run that is done."""
    _call("POST", f"jobs/completed/delete/{job_id}")


def erase_run_with_steps(job_id: str) -> int:
    """`erase_run` of a flow's run and of each of its steps, which were given the same. Returns how many; 0 when
    Windmill does not know it (any more), or has not ended it."""
    steps = list_runs("completed", parent_job=job_id, per_page=1000)
    erased = 0
    for known in (*(step["id"] for step in steps), job_id):
        try:
            erase_run(known)
        except WindmillError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        else:
            erased += 1
    return erased


def list_runs(which: str, **filters: Any) -> list[dict[str, Any]]:
    """Runs that are "completed", or wait or run ("queue"), by Windmill's filters."""
    query = urlencode(filters)
    rows = _call("GET", f"jobs/{which}/list?{query}").json()
    return rows if isinstance(rows, list) else []


def has_succeeded(job_id: str) -> bool:
    """Whether a run has ended well; also False when Windmill does not know it (any more)."""
    try:
        return _call("GET", f"jobs_u/completed/get_result_maybe/{job_id}").json().get("success") is True
    except WindmillError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        return False


def is_open(job_id: UUID | str) -> bool:
    """Whether a run waits or works; False when it has ended, or Windmill does not know it (any more)."""
    try:
        return _call("GET", f"jobs_u/get/{job_id}").json().get("type") == "QueuedJob"
    except WindmillError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        return False


def list_schedules() -> list[dict[str, Any]]:
    rows = _call("GET", "schedules/list?per_page=1000").json()
    return rows if isinstance(rows, list) else []


@cache
def _client() -> httpx.Client:
    """One for the process: making one takes longer than a call."""
    return httpx.Client(timeout=5)


def _call(method: str, path: str, body: Any = None, seconds: float = 5) -> httpx.Response:
    url = f"{os.environ['BASE_INTERNAL_URL']}/api/w/{os.environ['WM_WORKSPACE']}/{path}"
    headers = {"authorization": f"Bearer {os.environ['WM_TOKEN']}"}
    try:
        response = _client().request(method, url, headers=headers, json=body, timeout=seconds)
    except httpx.TransportError as error:
        raise WindmillError(f"{method} {path.partition('?')[0]}: {type(error).__name__}") from error
    if response.is_error:
        raise WindmillError(f"{method} {path.partition('?')[0]}: HTTP {response.status_code}", response.status_code)
    return response
