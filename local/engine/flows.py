"""Moves flows on: which step comes next when one has ended. Windmill's rules, as far as `definitions` lets flows in.

Everything happens in one transaction under the lock of the outermost flow's row, so that two steps that end at the
same time follow each other, and a kill at any point leaves the state before or the state after.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from local.engine import queries, store, values
from local.engine.expressions import ExpressionError, NotFound, Scope, evaluate, is_true
from local.engine.jobs import NO_JOB, Ended, Job, failure
from local.engine.store import Connection
from local.engine.workspace import Workspace

#: Seconds that a suspended flow waits where its definition says nothing, and the longest pause before a retry.
SUSPEND_SECONDS = 30 * 60
MAX_RETRY_SECONDS = 6 * 3600
PREPROCESSOR = "preprocessor"
FAILURE = "failure"
LOOPS = ("forloopflow", "whileloopflow")


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    success: bool
    result: Any
    #: Counts as skipped: a caller that waits for it is told so.
    skipped: bool = False
    #: An inner flow that was stopped early: whether the flow around it counts as skipped by that. None: not stopped.
    stop: bool | None = None
    #: A failure module has seen the error already.
    handled: bool = False
    logs: str = ""
    #: What a preprocessor made of the arguments.
    args: dict[str, Any] | None = None


class Tree:
    """A flow with its inner flows and steps, for the length of a transaction. Also serves a job without a flow."""

    def __init__(self, connection: Connection, workspace: Workspace, root_id: UUID) -> None:
        self._connection = connection
        self._workspace = workspace
        self._flows: dict[UUID, Job] = {}
        self._todo: deque[Callable[[], None]] = deque()
        #: For the caller, once it has committed: jobs to run, and when; and jobs that are done.
        self.queued: list[tuple[Job, datetime | None]] = []
        self.ended: list[Ended] = []
        connection.execute(queries.LOCK_TREE, (root_id,))

    def begin(self, flow_id: UUID) -> None:
        """Start a queued flow, or take up one that waited for an event or its end."""
        flow = self._flow(flow_id)
        if flow and flow.state == "queued":
            self._begin(flow)
        elif flow and flow.state == "suspended":
            self._enter(flow, self._previous_result(flow))
        self._settle()

    def end(self, job: Job, ending: Ending) -> None:
        """Record how `job` ended and move on the flow that it is a step of."""
        self._end(job, ending)
        self._settle()

    def step_ended(self, job: Job, ending: Ending) -> None:
        """Move on the flow whose step `job` somebody else has ended."""
        self._step_ended(job, ending)
        self._settle()

    def _settle(self) -> None:
        while self._todo:
            self._todo.popleft()()
        for flow in self._flows.values():
            if flow.state != "done":
                self._save(flow)

    def _save(self, flow: Job) -> None:
        self._connection.execute(
            queries.SAVE_FLOW,
            {
                "id": flow.id,
                "status": store.Jsonb(flow.status),
                "args": store.Jsonb(flow.args),
                "items": None if flow.items is None else store.Jsonb(flow.items),
                "state": flow.state,
                "suspend_until": flow.suspend_until,
            },
        )

    def _end(self, job: Job, ending: Ending) -> None:
        row = {
            "id": job.id,
            "success": ending.success,
            "skipped": ending.skipped,
            "result": store.Jsonb(ending.result),
            "logs": ending.logs,
            "args": None if ending.args is None else store.Jsonb(ending.args),
        }
        if self._connection.execute(queries.FINISH, row).rowcount:
            self._ended(job, ending)

    def _ended(self, job: Job, ending: Ending) -> None:
        job.state = "done"
        self.ended.append(Ended(job.id, ending.success, ending.result, ending.skipped))
        if job.is_step:
            self._todo.append(partial(self._step_ended, job, ending))

    # Steps that end ---------------------------------------------------------------------------

    def _step_ended(self, job: Job, ending: Ending) -> None:
        assert job.parent_id is not None and job.key is not None
        flow = self._flow(job.parent_id)
        if flow is None or flow.status is None or flow.flow is None or flow.state == "done":
            return
        if job.key == PREPROCESSOR:
            self._preprocessed(flow, ending)
        elif job.key == FAILURE:
            flow.status["failure_module"] |= {"type": _outcome(ending.success), "job": str(job.id)}
            recovers = isinstance(ending.result, dict) and ending.result.get("recover") is True
            self._finish(flow, Ending(ending.success and recovers, ending.result, handled=True))
        else:
            module, state = self._current(flow)
            if "[" in job.key:
                self._iteration_ended(flow, module, state, int(job.key[job.key.rindex("[") + 1 : -1]), ending)
            else:
                state["job"] = str(job.id)
                self._module_ended(flow, module, state, ending)

    def _preprocessed(self, flow: Job, ending: Ending) -> None:
        assert flow.status is not None
        flow.status["preprocessor_module"]["type"] = _outcome(ending.success)
        if not ending.success:
            self._finish(flow, ending)
            return
        flow.args = ending.result if isinstance(ending.result, dict) else {}
        flow.status["step"] = 0
        self._enter(flow, flow.args)

    def _iteration_ended(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], index: int, ending: Ending
    ) -> None:
        value = module["value"]
        succeeded = state["flow_jobs_success"]
        succeeded[index] = ending.success
        jobs = [UUID(job_id) for job_id in state["flow_jobs"]]
        if state["parallel"]:
            if None in succeeded:
                self._release_held(flow, module, state)
                return
            ok = all(success or _may_fail(value, i) for i, success in enumerate(succeeded))
            self._module_ended(flow, module, state, Ending(ok, self._results(jobs), handled=ending.handled))
            return
        ok = ending.success or _may_fail(value, index)
        try:
            stops = ending.stop is not None or (
                ending.success
                and value["type"] in LOOPS
                and module.get("stop_after_if") is not None
                and self._holds(module["stop_after_if"], flow, ending.result, all_iters=self._results(jobs))
            )
        except ExpressionError as error:
            self._finish(flow, _expression_failed(error))
            return
        count = len(value["branches"]) if value["type"] == "branchall" else len(flow.items or [])
        is_last = value["type"] != "whileloopflow" and index + 1 >= count
        if ok and not stops and not is_last:
            self._start_iteration(flow, module, state, index + 1)
        elif not ok and value["type"] == "whileloopflow":
            self._module_ended(flow, module, state, Ending(False, ending.result, handled=ending.handled))
        else:
            self._module_ended(flow, module, state, Ending(ok, self._results(jobs), handled=ending.handled))

    def _module_ended(self, flow: Job, module: dict[str, Any], state: dict[str, Any], ending: Ending) -> None:
        assert flow.status is not None and flow.flow is not None
        flow.items = None
        state["type"] = _outcome(ending.success)
        for name in ("iterator", "parallel", "while_loop"):
            state.pop(name, None)
        if flow.scope_id:
            self._note_leaf(flow.scope_id, state)
        try:
            if not ending.success:
                self._module_failed(flow, module, ending)
                return
            flow.status.pop("retry", None)
            stop = self._stop(flow, module, ending)
        except ExpressionError as error:
            self._finish(flow, _expression_failed(error))
            return
        flow.status["step"] += 1
        if stop is not None and stop.get("error_message"):
            self._finish(flow, Ending(False, failure("EarlyStopError", str(stop["error_message"])), handled=True))
        elif stop is not None:
            skips = bool(stop.get("skip_if_stopped"))
            if skips:
                state["skipped"] = True
            self._finish(flow, Ending(True, ending.result, skipped=skips, stop=skips))
        elif flow.status["step"] == len(flow.flow["modules"]):
            self._finish(flow, Ending(True, ending.result))
        else:
            self._enter(flow, ending.result)

    def _stop(self, flow: Job, module: dict[str, Any], ending: Ending) -> dict[str, Any] | None:
        """The predicate that ends the flow after this module; None when it goes on."""
        if ending.stop is not None:
            return {"skip_if_stopped": ending.stop}
        is_group = module["value"]["type"] in (*LOOPS, "branchall")
        predicate = module.get("stop_after_all_iters_if" if is_group else "stop_after_if")
        if predicate is not None and self._holds(predicate, flow, ending.result):
            return dict(predicate)
        return None

    def _module_failed(self, flow: Job, module: dict[str, Any], ending: Ending) -> None:
        assert flow.status is not None and flow.flow is not None
        failed = flow.status.get("retry") or {"fail_count": 0, "failed_jobs": []}
        pause = self._retry_pause(flow, module.get("retry"), failed["fail_count"], ending.result)
        if pause is not None:
            _, state = self._current(flow)
            failed = {"fail_count": failed["fail_count"] + 1, "failed_jobs": [*failed["failed_jobs"], state.get("job")]}
            flow.status["retry"] = failed
            moment = datetime.now(UTC) + timedelta(seconds=pause) if pause else None
            self._start_module(flow, module, self._previous_result(flow), moment, failed["fail_count"])
            return
        flow.status.pop("retry", None)
        if module.get("continue_on_error"):
            flow.status["step"] += 1
            if flow.status["step"] < len(flow.flow["modules"]):
                self._enter(flow, ending.result)
            else:
                self._finish(flow, ending)
        elif flow.flow.get("failure_module") and not ending.handled:
            flow.status["step"] = len(flow.flow["modules"])
            flow.status["failure_module"] |= {"type": "InProgress", "parent_module": module["id"]}
            self._start_single(flow, flow.flow["failure_module"], FAILURE, ending.result, previous_id=module["id"])
        else:
            self._finish(flow, ending)

    def _retry_pause(self, flow: Job, retry: dict[str, Any] | None, failures: int, result: Any) -> float | None:
        """Seconds until the next attempt; None when there is none. Constant attempts come first and count on."""
        retry = retry or {}
        constant, exponential = retry.get("constant") or {}, retry.get("exponential") or {}
        first = constant.get("attempts") or 0
        if failures >= first + (exponential.get("attempts") or 0):
            return None
        if retry.get("retry_if") is not None and not self._holds(retry["retry_if"], flow, result):
            return None
        if failures < first:
            return float(constant.get("seconds") or 0)
        pause = (exponential.get("multiplier") or 1) * float(exponential["seconds"]) ** (failures + 1)
        jitter = pause * (exponential.get("random_factor") or 0) / 100
        return min(pause + random.uniform(-jitter, jitter), MAX_RETRY_SECONDS)  # noqa: S311  # no secret

    def _finish(self, flow: Job, ending: Ending) -> None:
        """The flow is done: a stop early ends the flow around it only where that is one in the same file."""
        stop = ending.stop if flow.kind == "flownode" else None
        self._save(flow)
        self._end(flow, Ending(ending.success, ending.result, ending.skipped, stop, ending.handled))

    # Steps that begin -------------------------------------------------------------------------

    def _begin(self, flow: Job) -> None:
        assert flow.flow is not None
        flow.state = "running"
        self._connection.execute(queries.START_FLOW, (flow.id,))
        modules = flow.flow["modules"]
        flow.status = {
            "step": 0,
            "modules": [{"id": module["id"], "type": "WaitingForPriorSteps"} for module in modules],
            "failure_module": {"id": FAILURE, "type": "WaitingForPriorSteps"},
            "preprocessor_module": None,
            "cleanup_module": {},
        }
        try:
            if flow.flow.get("skip_expr") and is_true(flow.flow["skip_expr"], self._scope(flow, {}, "")):
                self._finish(flow, Ending(True, "stopped early", skipped=True, stop=True))
                return
        except ExpressionError as error:
            self._finish(flow, _expression_failed(error))
            return
        if flow.preprocess and flow.flow.get("preprocessor_module"):
            flow.status |= {"step": -1, "preprocessor_module": {"id": PREPROCESSOR, "type": "InProgress"}}
            self._start_single(flow, flow.flow["preprocessor_module"], PREPROCESSOR, None, arguments=flow.args)
        elif modules:
            self._enter(flow, flow.args)
        else:
            self._finish(flow, Ending(True, flow.args))

    def _enter(self, flow: Job, result: Any) -> None:
        """Start the next step, unless it has to wait for an event. `result` is that of the step before."""
        assert flow.status is not None and flow.flow is not None
        index = flow.status["step"]
        before = flow.flow["modules"][index - 1] if index else {}
        moment = None
        if (before.get("suspend") or {}).get("required_events") and not self._may_resume(flow, before["suspend"]):
            return
        flow.state, flow.suspend_until = "running", None
        if before.get("sleep") is not None:
            try:
                moment = datetime.now(UTC) + timedelta(seconds=self._sleep_seconds(flow, before, result))
            except ExpressionError as error:
                self._finish(flow, _expression_failed(error))
                return
        self._start_module(flow, flow.flow["modules"][index], result, moment)

    def _sleep_seconds(self, flow: Job, module: dict[str, Any], result: Any) -> float:
        scope = self._scope(flow, result, "", result=result)
        seconds = _transformed(module["sleep"], scope)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise ExpressionError(f"Expected a number of seconds to sleep, found: {seconds!r}")
        return float(seconds)

    def _start_module(
        self, flow: Job, module: dict[str, Any], result: Any, moment: datetime | None, attempt: int = 0
    ) -> None:
        assert flow.status is not None
        value = module["value"]
        state = {"id": module["id"], "type": "InProgress"}
        flow.status["modules"][flow.status["step"]] = state
        previous_id = self._previous_id(flow)
        try:
            if module.get("skip_if") and self._holds(module["skip_if"], flow, result, **self._resumes(flow)):
                self._start_identity(flow, module, state, result, skipped=True)
            elif (module.get("mock") or {}).get("enabled"):
                self._start_identity(flow, module, state, module["mock"].get("return_value"))
            elif value["type"] == "identity":
                self._start_identity(flow, module, state, result)
            elif value["type"] in LOOPS:
                self._start_loop(flow, module, state, result, previous_id, moment)
            elif value["type"] == "branchall":
                self._start_group(flow, module, state, len(value["branches"]), value["parallel"], moment)
            elif value["type"] == "branchone":
                self._start_branch(flow, module, state, result, previous_id, moment, attempt)
            else:
                state["type"] = "WaitingForExecutor"
                self._start_single(
                    flow, module, module["id"], result, previous_id=previous_id, moment=moment, attempt=attempt
                )
        except ExpressionError as error:
            self._finish(flow, _expression_failed(error))

    def _start_identity(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], result: Any, skipped: bool = False
    ) -> None:
        job = self._step(flow, module["id"], "identity", f"{flow.path}/{module['id']}", module["id"])
        job.args = {"previous_result": result}
        if skipped:
            state["skipped"] = True
        self._insert_ended(job, Ending(True, result))

    def _start_loop(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], result: Any, previous_id: str,
        moment: datetime | None,
    ) -> None:  # fmt: skip
        value = module["value"]
        if value["type"] == "whileloopflow":
            self._start_group(flow, module, state, None, False, moment)
            return
        scope = self._scope(flow, result, previous_id, **self._resumes(flow))
        items = _transformed(value["iterator"], scope)
        if not isinstance(items, list):
            found = type(items).__name__
            self._finish(flow, Ending(False, failure("Anyhow", f"Expected a list to iterate over, found: {found}")))
            return
        flow.items = items
        self._start_group(flow, module, state, len(items), value["parallel"], moment)

    def _start_group(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], count: int | None, parallel: bool,
        moment: datetime | None,
    ) -> None:  # fmt: skip
        """Start a loop or all branches: `count` of them, None when nobody knows."""
        state |= {"flow_jobs": [], "flow_jobs_success": [], "parallel": parallel}
        if module["value"]["type"] == "whileloopflow":
            state["while_loop"] = True
        if count == 0:
            state["job"] = str(NO_JOB)
            self._module_ended(flow, module, state, Ending(True, []))
            return
        if not parallel or count is None:
            self._start_iteration(flow, module, state, 0, moment=moment)
            return
        at_once = count
        if module["value"].get("parallelism") is not None:
            at_once = int(_transformed(module["value"]["parallelism"], self._scope(flow, None, "")) or count)
        for index in range(count):
            self._start_iteration(flow, module, state, index, "queued" if index < at_once else "held", moment)

    def _start_iteration(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], index: int, place: str = "running",
        moment: datetime | None = None,
    ) -> None:  # fmt: skip
        """Start one round of a loop or one branch of all: at once, or as a job in the queue, or held back."""
        assert flow.flow is not None
        value = module["value"]
        key = f"{module['id']}[{index}]"
        args = flow.args
        if value["type"] in LOOPS:
            item = flow.items[index] if flow.items is not None else index
            args = _with_iter(args, {"index": index, "value": item})
            state["iterator"] = {"index": index}
        modules = value["branches"][index]["modules"] if value["type"] == "branchall" else value["modules"]
        if value["type"] in LOOPS and not state["parallel"] and _is_simple(modules, flow.flow):
            job = self._single(flow, modules[0], key, args, step_id=module["id"])
            transforms = modules[0]["value"]["input_transforms"]
            scope = self._scope(flow, self._previous_result(flow), "", flow_input=args)
            job.scheduled_for = moment
            self._note_iteration(state, job, index)
            self._insert_single(job, transforms, scope)
            return
        job = self._step(flow, key, "flownode", f"{flow.path}/{value['type']}-{index}", module["id"])
        job.args = args
        job.flow = {"modules": modules, "failure_module": flow.flow.get("failure_module")}
        job.scope_id = flow.scope_id or flow.id
        job.state, job.scheduled_for = place, moment
        self._note_iteration(state, job, index)
        self._insert(job)

    def _note_iteration(self, state: dict[str, Any], job: Job, index: int) -> None:
        state["job"] = str(job.id)
        state["flow_jobs"][index:] = [str(job.id)]
        state["flow_jobs_success"][index:] = [None]

    def _start_branch(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], result: Any, previous_id: str,
        moment: datetime | None, attempt: int,
    ) -> None:  # fmt: skip
        assert flow.flow is not None
        value = module["value"]
        scope = self._scope(flow, result, previous_id, result=result, **self._resumes(flow))
        chosen = next((i for i, branch in enumerate(value["branches"]) if is_true(branch["expr"], scope)), None)
        state["branch_chosen"] = {"type": "default"} if chosen is None else {"type": "branch", "branch": chosen}
        modules = value["default"] if chosen is None else value["branches"][chosen]["modules"]
        job = self._step(flow, module["id"], "flownode", f"{flow.path}/branchone-{chosen}", module["id"], attempt)
        job.args = flow.args
        job.flow = {"modules": modules, "failure_module": flow.flow.get("failure_module")}
        job.scope_id = flow.scope_id or flow.id
        job.state, job.scheduled_for = ("queued", moment) if moment else ("running", None)
        state["job"] = str(job.id)
        self._insert(job)

    def _start_single(
        self, flow: Job, module: dict[str, Any], key: str, result: Any, *, previous_id: str = "",
        moment: datetime | None = None, attempt: int = 0, arguments: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Start a script, inline code or another flow as a step; `arguments` instead of its transforms."""
        job = self._single(flow, module, key, flow.args, step_id=module["id"], attempt=attempt)
        job.scheduled_for = moment
        if arguments is not None:
            job.args = arguments
            self._insert(job)
            return
        transforms = module["value"].get("input_transforms") or {}
        self._insert_single(job, transforms, self._scope(flow, result, previous_id, **self._resumes(flow)))

    def _single(
        self, flow: Job, module: dict[str, Any], key: str, flow_input: dict[str, Any], *, step_id: str, attempt: int = 0
    ) -> Job:
        value = module["value"]
        kind = {"script": "script", "flow": "flow"}.get(value["type"], "flowscript")
        job = self._step(flow, key, kind, value.get("path") or f"{flow.path}/{module['id']}", step_id, attempt)
        if kind == "flowscript":
            job.code = {"content": value.get("content") or "", "lock": value.get("lock")}
        elif kind == "flow" and job.path in self._workspace.flows:
            job.flow = self._workspace.flows[job.path].value
        timeout = module.get("timeout")
        job.timeout = _transformed(timeout, self._scope(flow, None, "", flow_input=flow_input)) if timeout else None
        return job

    def _insert_single(self, job: Job, transforms: dict[str, Any], scope: Scope) -> None:
        """Insert a step with its arguments. An expression that throws is a failure of the step."""
        try:
            job.args = {name: _transformed(transform, scope) for name, transform in transforms.items()}
        except ExpressionError as error:
            self._insert_ended(job, _expression_failed(error))
            return
        known = {"script": self._workspace.scripts.keys(), "flow": self._workspace.flows.keys()}
        if job.kind in known and job.path not in known[job.kind]:
            result = failure("NotFound", f"{job.kind} not found at name {job.path}", step_id=job.step_id)
            self._insert_ended(job, Ending(False, result))
        else:
            self._insert(job)

    def _step(self, flow: Job, key: str, kind: str, path: str, step_id: str, attempt: int = 0) -> Job:
        return Job(
            uuid4(), flow.root_id, kind, path, flow.created_by, parent_id=flow.id, key=key, attempt=attempt,
            step_id=step_id, schedule_path=flow.schedule_path, trigger_kind=flow.trigger_kind,
        )  # fmt: skip

    def _insert(self, job: Job) -> None:
        """Insert a step. One that is a flow begins here and now, unless its state or time says otherwise."""
        if not job.is_flow or (job.scheduled_for and job.state != "held"):
            job.state = "queued"
        elif job.kind == "flow":
            job.state = "running"
        store.insert(self._connection, job)
        if job.state == "running":
            self._flows[job.id] = job
            self._todo.append(partial(self._begin, job))
        elif job.state == "queued":
            self.queued.append((job, job.scheduled_for))

    def _insert_ended(self, job: Job, ending: Ending) -> None:
        job.state, job.success, job.result = "done", ending.success, ending.result
        store.insert(self._connection, job)
        self._ended(job, ending)

    def _release_held(self, flow: Job, module: dict[str, Any], state: dict[str, Any]) -> None:
        """Let the next round that was held back begin, now that one has ended."""
        for index, success in enumerate(state["flow_jobs_success"]):
            if success is None:
                key = f"{module['id']}[{index}]"
                row = self._connection.execute(queries.RELEASE_HELD, (flow.id, key, 0)).fetchone()
                if row and (released := store.get(self._connection, row[0])):
                    self.queued.append((released, None))
                    return

    # Waiting for people -----------------------------------------------------------------------

    def _may_resume(self, flow: Job, suspend: dict[str, Any]) -> bool:
        """Whether enough events have come; if not, the flow is suspended, or ends when it was refused or is late."""
        assert flow.status is not None
        index = flow.status["step"]
        state = flow.status["modules"][index]
        events = self._events(flow)
        refused = next((event for event in events if not event["approved"]), None)
        required = int(suspend["required_events"])
        now = datetime.now(UTC)
        if refused is None and len(events) >= required:
            return True
        is_late = flow.suspend_until is not None and flow.suspend_until <= now
        if refused is None and not is_late:
            if flow.suspend_until is None:
                flow.suspend_until = now + timedelta(seconds=suspend.get("timeout") or SUSPEND_SECONDS)
                self.queued.append((flow, flow.suspend_until))
            flow.state = "suspended"
            state |= {"type": "WaitingForEvents", "count": required, "suspend": required - len(events)}
            return False
        if suspend.get("continue_on_disapprove_timeout"):
            return True
        if refused:
            ending = failure("SuspendedDisapproved", f"Disapproved by {refused['approver'] or 'unknown'}")
        else:
            ending = failure("SuspendedTimedOut", "Timed out waiting to be resumed")
        state["type"] = "Failure"
        self._finish(flow, Ending(False, ending))
        return False

    def _events(self, flow: Job) -> list[dict[str, Any]]:
        assert flow.status is not None
        index = flow.status["step"]
        jobs = [flow.id]
        if index > 0 and (last := flow.status["modules"][index - 1].get("job")):
            jobs.append(UUID(last))
        return store.rows(self._connection, queries.RESUMES, (jobs,))

    def _resumes(self, flow: Job) -> dict[str, Any]:
        """What expressions see of the events that the step before has waited for."""
        assert flow.status is not None and flow.flow is not None
        index = flow.status["step"]
        modules = flow.flow["modules"]
        if not 0 < index < len(modules) or not modules[index - 1].get("suspend"):
            return {}
        events = self._events(flow)
        payloads = [event["value"] for event in events]
        approvers = [event["approver"] or "anonymous" for event in events]
        return {"resume": payloads[-1] if payloads else None, "resumes": payloads, "approvers": approvers}

    # What expressions see ---------------------------------------------------------------------

    def _scope(
        self, flow: Job, previous: Any, previous_id: str, /, *, flow_input: dict[str, Any] | None = None, **names: Any
    ) -> Scope:
        return Scope(
            names={"previous_result": previous, "resume": None, "resumes": [], "approvers": [], **names},
            flow_input=flow.args if flow_input is None else flow_input,
            lookup=partial(self._lookup, flow),
            flow_env=(flow.flow or {}).get("flow_env") or {},
            has_results=True,
            previous_id=previous_id,
        )

    def _holds(self, predicate: dict[str, Any], flow: Job, result: Any, **names: Any) -> bool:
        return is_true(predicate["expr"], self._scope(flow, result, "", result=result, **names))

    def _lookup(self, flow: Job, kind: str, name: str) -> Any:
        if kind == "result":
            return self._result_of(flow, name)
        if kind == "variable":
            return values.variable(self._connection, name)
        if kind == "resource":
            return values.resource(self._connection, name)
        root = self._flow(flow.root_id)
        return ((root and root.status) or {}).get("user_states", {}).get(name)

    def _result_of(self, flow: Job, name: str) -> Any:
        """The result of the step `name`, of this flow or of one around it in the same file. Raises NotFound."""
        current: Job | None = flow
        while current is not None and current.status is not None:
            for state in current.status["modules"]:
                if state["id"] == name and state["type"] in ("Success", "Failure"):
                    return self._result(state)
            if name in current.leaf_jobs:
                return self._result(current.leaf_jobs[name])
            current = self._flow(current.parent_id) if current.kind == "flownode" and current.parent_id else None
        raise NotFound(f"no result of a step {name}")

    def _result(self, state: dict[str, Any]) -> Any:
        if state.get("flow_jobs") is not None:
            return self._results([UUID(job_id) for job_id in state["flow_jobs"]])
        return self._results([UUID(state["job"])])[0] if state.get("job") else None

    def _results(self, job_ids: list[UUID]) -> list[Any]:
        return store.results(self._connection, job_ids)

    def _previous_result(self, flow: Job) -> Any:
        assert flow.status is not None
        index = flow.status["step"]
        return self._result(flow.status["modules"][index - 1]) if index > 0 else flow.args

    def _previous_id(self, flow: Job) -> str:
        assert flow.status is not None and flow.flow is not None
        index = flow.status["step"]
        return str(flow.flow["modules"][index - 1]["id"]) if index > 0 else ""

    def _note_leaf(self, scope_id: UUID, state: dict[str, Any]) -> None:
        """Let steps after a loop or branch refer to the steps in it."""
        noted = {name: state[name] for name in ("job", "flow_jobs") if name in state}
        scope = self._flow(scope_id)
        if scope:
            scope.leaf_jobs[state["id"]] = noted
        self._connection.execute(queries.SET_LEAF, (store.Jsonb({state["id"]: noted}), scope_id))

    # Rows ---------------------------------------------------------------------------------------

    def _flow(self, flow_id: UUID) -> Job | None:
        if flow_id not in self._flows:
            job = store.get(self._connection, flow_id)
            if job is None or not job.is_flow:
                return None
            self._flows[flow_id] = job
        return self._flows[flow_id]

    def _current(self, flow: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """The step that the flow is at: its definition and its state."""
        assert flow.status is not None and flow.flow is not None
        index = flow.status["step"]
        return flow.flow["modules"][index], flow.status["modules"][index]


def _outcome(success: bool) -> str:
    return "Success" if success else "Failure"


def _expression_failed(error: ExpressionError) -> Ending:
    return Ending(False, failure("ExecutionErr", f"Error during isolated evaluation of an expression:\n{error}"))


def _transformed(transform: dict[str, Any], scope: Scope) -> Any:
    return transform["value"] if transform["type"] == "static" else evaluate(transform["expr"], scope)


def _may_fail(value: dict[str, Any], index: int) -> bool:
    """Whether the failure of one round of a loop, or of one branch of all, is not the failure of all."""
    branches = value.get("branches")
    return bool(branches[index]["skip_failure"] if branches else value["skip_failures"])


def _with_iter(args: dict[str, Any], item: dict[str, Any], name: str = "iter") -> dict[str, Any]:
    """`args` with `iter`; that of a loop around this one becomes `iter_parent`."""
    outer = _with_iter(args, args[name], f"{name}_parent") if name in args else args
    return {**outer, name: item}


def _is_simple(modules: list[dict[str, Any]], flow: dict[str, Any]) -> bool:
    """A loop over one plain script needs no inner flow: each round is that script's job, named as the loop."""
    if len(modules) != 1 or flow.get("failure_module"):
        return False
    known = {"id", "value", "summary", "timeout"}
    given = {key for key, value in modules[0].items() if value not in (None, False)}
    return modules[0]["value"]["type"] in ("script", "rawscript") and given <= known
