"""Moves flows on: which step comes next when one has ended. Windmill's rules, as far as `definitions` lets flows in.

Everything happens in one transaction under the lock of the outermost flow's row, so that two steps that end at the
same time follow each other, and a kill at any point leaves the state before or the state after.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from local.engine import queries, store
from local.engine.expressions import ExpressionError, Scope, is_true
from local.engine.jobs import NO_JOB, Ended, Job, failure
from local.engine.rules import (
    LOOPS,
    SINGLE,
    Ending,
    at_once_of,
    expression_failed,
    is_simple,
    may_fail,
    outcome,
    retry_pause,
    seconds_of,
    transformed,
    with_iter,
)
from local.engine.store import Connection
from local.engine.view import View
from local.engine.workspace import Workspace

#: Seconds that a suspended flow waits where its definition says nothing.
SUSPEND_SECONDS = 30 * 60
#: Longest sleep or wait: ten years. What is computed may be any number.
MOST_SECONDS = 10 * 365 * 24 * 60 * 60
#: Rounds of a loop that may need no process: after so many, whoever wants to cancel it gets a chance.
ROUNDS_AT_ONCE = 100
PREPROCESSOR = "preprocessor"
FAILURE = "failure"


class Tree:
    """A flow with its inner flows and steps, for the length of a transaction. Also serves a job without a flow."""

    def __init__(self, connection: Connection, workspace: Workspace, root_id: UUID) -> None:
        self._connection = connection
        self._workspace = workspace
        self._view = View(connection, root_id)
        self._todo: deque[Callable[[], None]] = deque()
        #: Flows that moved on, whose rows are written once all has settled.
        self._moved: dict[UUID, Job] = {}
        #: For the caller, once it has committed: jobs to run, and when; and jobs that are done.
        self.queued: list[tuple[Job, datetime | None]] = []
        self.ended: list[Ended] = []

    def begin(self, flow_id: UUID) -> None:
        """Start a queued flow, or take up one that waited for an event or its end."""
        flow = self._view.flow(flow_id)
        if flow and flow.state == "queued":
            self._begin(flow)
        elif flow and flow.state == "suspended":
            self._moved[flow.id] = flow
            self._enter(flow, self._view.previous_result(flow))
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
        for flow in self._moved.values():
            if flow.state != "done":
                self._save(flow)

    def _save(self, flow: Job) -> None:
        row = {"id": flow.id, "status": store.Jsonb(flow.status), "state": flow.state, "until": flow.suspend_until}
        self._connection.execute(queries.SAVE_FLOW, row)
        for name, query in (("args", queries.SAVE_ARGS), ("items", queries.SAVE_ITEMS)):
            value = getattr(flow, name)
            if self._view.is_new(flow, name):
                self._connection.execute(query, (None if value is None else store.Jsonb(value), flow.id))

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
        flow = self._view.flow(job.parent_id)
        if flow is None or flow.status is None or flow.flow is None or flow.state == "done":
            return
        self._moved[flow.id] = flow
        if job.key == PREPROCESSOR:
            self._preprocessed(flow, job, ending)
        elif job.key == FAILURE:
            self._failure_handled(flow, job, ending)
        else:
            module, state = self._view.current(flow)
            if "[" in job.key:
                self._iteration_ended(flow, module, state, int(job.key[job.key.rindex("[") + 1 : -1]), ending)
            else:
                state["job"] = str(job.id)
                self._module_ended(flow, module, state, ending)

    def _preprocessed(self, flow: Job, job: Job, ending: Ending) -> None:
        assert flow.status is not None and flow.flow is not None
        flow.status["preprocessor_module"]["type"] = outcome(ending.success)
        if not ending.success:
            if not self._tried_again(flow, flow.flow["preprocessor_module"], job, ending):
                self._finish(flow, ending)
            return
        flow.status.pop("retry", None)
        given = ending.result
        flow.args = given if isinstance(given, dict) else {} if given is None else {"value": given}
        flow.status["step"] = 0
        self._enter_first(flow)

    def _failure_handled(self, flow: Job, job: Job, ending: Ending) -> None:
        assert flow.status is not None and flow.flow is not None
        flow.status["failure_module"] |= {"type": outcome(ending.success), "job": str(job.id)}
        if not ending.success and self._tried_again(flow, flow.flow["failure_module"], job, ending):
            return
        recovers = isinstance(ending.result, dict) and ending.result.get("recover") is True
        self._finish(flow, Ending(ending.success and recovers, ending.result, handled=True))

    def _tried_again(self, flow: Job, module: dict[str, Any], job: Job, ending: Ending) -> bool:
        """Whether a failure module or preprocessor has another attempt, which then begins."""
        assert job.key is not None
        pause = self._next_pause(flow, module, str(job.id), ending.result)
        if pause is None:
            return False
        arguments = self._view.args_of(str(job.id))
        self._start_single(flow, module, job.key, ending.result, moment=_after(pause), arguments=arguments)
        return True

    def _iteration_ended(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], index: int, ending: Ending
    ) -> None:
        value = module["value"]
        succeeded = state["flow_jobs_success"]
        succeeded[index] = ending.success
        jobs = state["flow_jobs"]
        if state["parallel"]:
            if None in succeeded:
                self._release_held(flow, module, state)
                return
            ok = all(success or may_fail(value, i) for i, success in enumerate(succeeded))
            # As in Windmill: of rounds that run side by side, the last to end says whether the flow is stopped.
            whole = Ending(ok, self._view.results(jobs), stop=ending.stop, handled=ending.handled)
            self._module_ended(flow, module, state, whole)
            return
        ok = ending.success or may_fail(value, index)
        count = len(value["branches"]) if value["type"] == "branchall" else len(flow.items or [])
        is_last = value["type"] != "whileloopflow" and index + 1 >= count
        if ending.stop is not None and value["type"] == "branchall":
            result = self._view.results(jobs) if is_last else ending.result
            self._module_ended(flow, module, state, Ending(True, result, stop=ending.stop))
            return
        try:
            stops = ending.stop is not None or self._stops_loop(flow, module, jobs, ending)
            if ok and not stops and not is_last:
                self._start_iteration(flow, module, state, index + 1, ending.result)
                return
        except ExpressionError as error:
            self._finish(flow, expression_failed(error))
            return
        if not ok and value["type"] == "whileloopflow":
            self._module_ended(flow, module, state, Ending(False, ending.result, handled=ending.handled))
        else:
            self._module_ended(flow, module, state, Ending(ok, self._view.results(jobs), handled=ending.handled))

    def _stops_loop(self, flow: Job, module: dict[str, Any], jobs: list[str], ending: Ending) -> bool:
        """Whether a loop's own `stop_after_if` ends it after this round."""
        predicate = module.get("stop_after_if")
        if predicate is None or not ending.success or module["value"]["type"] not in LOOPS:
            return False
        names = {"all_iters": self._view.results(jobs)} if "all_iters" in predicate["expr"] else {}
        return self._view.holds(predicate, flow, ending.result, **names)

    def _module_ended(self, flow: Job, module: dict[str, Any], state: dict[str, Any], ending: Ending) -> None:
        assert flow.status is not None and flow.flow is not None
        flow.items = None
        state["type"] = outcome(ending.success)
        for name in ("iterator", "parallel", "while_loop"):
            state.pop(name, None)
        if flow.scope_id:
            self._view.note_leaf(flow.scope_id, state)
        try:
            if not ending.success:
                self._module_failed(flow, module, ending)
                return
            flow.status.pop("retry", None)
            stop = self._stop(flow, module, state, ending)
        except ExpressionError as error:
            self._finish(flow, expression_failed(error))
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

    def _stop(self, flow: Job, module: dict[str, Any], state: dict[str, Any], ending: Ending) -> dict[str, Any] | None:
        """The predicate that ends the flow after this module; None when it goes on."""
        if ending.stop is not None:
            return {"skip_if_stopped": ending.stop}
        # One that had nothing to go through has ended like a single step.
        is_group = bool(state.get("flow_jobs"))
        predicate = module.get("stop_after_all_iters_if" if is_group else "stop_after_if")
        if predicate is not None and self._view.holds(predicate, flow, ending.result):
            return dict(predicate)
        return None

    def _module_failed(self, flow: Job, module: dict[str, Any], ending: Ending) -> None:
        assert flow.status is not None and flow.flow is not None
        _, state = self._view.current(flow)
        pause = self._next_pause(flow, module, state.get("job"), ending.result)
        if pause is not None:
            # With the arguments of the attempt before; one whose expressions threw has none.
            is_single = module["value"]["type"] in SINGLE
            arguments = (self._view.args_of(state.get("job")) or None) if is_single else None
            self._start_module(flow, module, self._view.previous_result(flow), _after(pause), arguments)
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

    def _next_pause(self, flow: Job, module: dict[str, Any], job_id: str | None, result: Any) -> float | None:
        """Seconds until the next attempt at a step that failed, which is noted; None when there is none."""
        assert flow.status is not None
        retry = module.get("retry") or {}
        failed = flow.status.get("retry") or {"fail_count": 0, "failed_jobs": []}
        pause = retry_pause(retry, failed["fail_count"])
        if pause is None:
            return None
        if retry.get("retry_if") is not None and not self._view.holds(retry["retry_if"], flow, result):
            return None
        flow.status["retry"] = {
            "fail_count": failed["fail_count"] + 1,
            "failed_jobs": [*failed["failed_jobs"], job_id],
        }
        return pause

    def _finish(self, flow: Job, ending: Ending) -> None:
        """The flow is done: a stop early ends the flow around it only where that is one in the same file."""
        stop = ending.stop if flow.kind == "flownode" else None
        self._save(flow)
        self._end(flow, Ending(ending.success, ending.result, ending.skipped, stop, ending.handled))

    # Steps that begin -------------------------------------------------------------------------

    def _begin(self, flow: Job) -> None:
        assert flow.flow is not None
        flow.state = "running"
        self._moved[flow.id] = flow
        self._connection.execute(queries.START_FLOW, (flow.id,))
        modules = flow.flow["modules"]
        flow.status = {
            "step": 0,
            "modules": [{"id": module["id"], "type": "WaitingForPriorSteps"} for module in modules],
            "failure_module": {"id": FAILURE, "type": "WaitingForPriorSteps"},
            "preprocessor_module": None,
            "cleanup_module": {},
        }
        if flow.preprocess and flow.flow.get("preprocessor_module"):
            flow.status |= {"step": -1, "preprocessor_module": {"id": PREPROCESSOR, "type": "InProgress"}}
            self._start_single(flow, flow.flow["preprocessor_module"], PREPROCESSOR, None, arguments=flow.args)
        else:
            self._enter_first(flow)

    def _enter_first(self, flow: Job) -> None:
        assert flow.flow is not None
        try:
            if not flow.flow["modules"]:
                self._finish(flow, Ending(True, flow.args))
            elif flow.flow.get("skip_expr") and is_true(flow.flow["skip_expr"], self._view.scope(flow, {})):
                self._finish(flow, Ending(True, "stopped early", skipped=True, stop=True))
            else:
                self._enter(flow, flow.args)
        except ExpressionError as error:
            self._finish(flow, expression_failed(error))

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
                moment = _after(seconds_of(before["sleep"], self._view.scope(flow, result, result=result)))
            except ExpressionError as error:
                self._finish(flow, expression_failed(error))
                return
        self._start_module(flow, flow.flow["modules"][index], result, moment)

    def _start_module(
        self, flow: Job, module: dict[str, Any], result: Any, moment: datetime | None,
        arguments: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        assert flow.status is not None
        value = module["value"]
        state = {"id": module["id"], "type": "InProgress"}
        flow.status["modules"][flow.status["step"]] = state
        previous_id = self._previous_id(flow)
        try:
            if module.get("skip_if") and self._view.holds(module["skip_if"], flow, result, **self._view.resumes(flow)):
                state["skipped"] = True
                self._start_identity(flow, module, result, moment)
            elif (module.get("mock") or {}).get("enabled"):
                self._start_identity(flow, module, module["mock"].get("return_value"), moment)
            elif value["type"] == "identity":
                self._start_identity(flow, module, result, moment)
            elif value["type"] in LOOPS:
                self._start_loop(flow, module, state, result, previous_id, moment)
            elif value["type"] == "branchall":
                self._start_group(flow, module, state, len(value["branches"]), value["parallel"], result, moment)
            elif value["type"] == "branchone":
                self._start_branch(flow, module, state, result, previous_id, moment)
            else:
                state["type"] = "WaitingForExecutor"
                self._start_single(
                    flow, module, module["id"], result, previous_id=previous_id, moment=moment, arguments=arguments
                )
        except ExpressionError as error:
            self._finish(flow, expression_failed(error))

    def _start_identity(self, flow: Job, module: dict[str, Any], result: Any, moment: datetime | None) -> None:
        """A step that only passes `result` on: at once, unless it is to happen later."""
        job = self._step(flow, module["id"], "identity", f"{flow.path}/{module['id']}", module["id"])
        job.args, job.scheduled_for = {"previous_result": result}, moment
        if moment:
            self._insert(job)
        else:
            self._insert_ended(job, Ending(True, result))

    def _start_loop(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], result: Any, previous_id: str,
        moment: datetime | None,
    ) -> None:  # fmt: skip
        value = module["value"]
        if value["type"] == "whileloopflow":
            self._start_group(flow, module, state, None if value["modules"] else 0, False, result, moment)
            return
        scope = self._view.scope(flow, result, previous_id, **self._view.resumes(flow))
        items = transformed(value["iterator"], scope)
        if not isinstance(items, list):
            found = type(items).__name__
            self._finish(flow, Ending(False, failure("Anyhow", f"Expected a list to iterate over, found: {found}")))
            return
        flow.items = items
        count = len(items) if value["modules"] else 0
        self._start_group(flow, module, state, count, value["parallel"], result, moment)

    def _start_group(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], count: int | None, parallel: bool,
        result: Any, moment: datetime | None,
    ) -> None:  # fmt: skip
        """Start a loop or all branches: `count` of them, None when nobody knows."""
        state |= {"flow_jobs": [], "flow_jobs_success": [], "parallel": parallel}
        if module["value"]["type"] == "whileloopflow":
            state["while_loop"] = True
        if count == 0:
            self._pass_by(flow, module, state)
            return
        if not parallel or count is None:
            self._start_iteration(flow, module, state, 0, result, moment=moment)
            return
        at_once = at_once_of(module["value"].get("parallelism"), self._view.scope(flow, result), count)
        for index in range(count):
            self._start_iteration(
                flow, module, state, index, result, place="queued" if index < at_once else "held", moment=moment
            )

    def _pass_by(self, flow: Job, module: dict[str, Any], state: dict[str, Any]) -> None:
        """A loop over nothing, or a branch without steps."""
        state |= {"job": str(NO_JOB), "flow_jobs": [], "flow_jobs_success": []}
        self._module_ended(flow, module, state, Ending(True, []))

    def _start_iteration(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], index: int, result: Any, *,
        place: str = "running", moment: datetime | None = None,
    ) -> None:  # fmt: skip
        """Start one round of a loop or one branch of all: at once, or as a job in the queue, or held back.

        `result` is that of the step or round before.
        """
        assert flow.flow is not None and flow.status is not None
        value = module["value"]
        key = f"{module['id']}[{index}]"
        args = flow.args
        if value["type"] in LOOPS:
            item = flow.items[index] if flow.items is not None else index
            args = with_iter(args, {"index": index, "value": item})
            state["iterator"] = {"index": index}
        modules = value["branches"][index]["modules"] if value["type"] == "branchall" else value["modules"]
        if value["type"] in LOOPS and not state["parallel"] and is_simple(modules, flow.flow):
            job = self._single(flow, modules[0], key, args, step_id=module["id"])
            transforms = modules[0]["value"]["input_transforms"]
            previous = result if flow.status["step"] else flow.args
            scope = self._view.scope(flow, previous, flow_input=args)
            job.scheduled_for = moment
            self._note_iteration(state, job, index)
            self._insert_single(job, transforms, scope)
            return
        job = self._step(flow, key, "flownode", f"{flow.path}/{value['type']}-{index}", module["id"])
        job.args = args
        job.flow = {"modules": modules, "failure_module": flow.flow.get("failure_module")}
        job.scope_id = flow.scope_id or flow.id
        if index % ROUNDS_AT_ONCE == ROUNDS_AT_ONCE - 1 and place == "running":
            place = "queued"
        job.state, job.scheduled_for = place, moment
        self._note_iteration(state, job, index)
        self._insert(job)

    def _note_iteration(self, state: dict[str, Any], job: Job, index: int) -> None:
        state["job"] = str(job.id)
        state["flow_jobs"][index:] = [str(job.id)]
        state["flow_jobs_success"][index:] = [None]

    def _start_branch(
        self, flow: Job, module: dict[str, Any], state: dict[str, Any], result: Any, previous_id: str,
        moment: datetime | None,
    ) -> None:  # fmt: skip
        assert flow.flow is not None
        value = module["value"]
        scope = self._view.scope(flow, result, previous_id, result=result, **self._view.resumes(flow))
        chosen = next((i for i, branch in enumerate(value["branches"]) if is_true(branch["expr"], scope)), None)
        state["branch_chosen"] = {"type": "default"} if chosen is None else {"type": "branch", "branch": chosen}
        modules = value["default"] if chosen is None else value["branches"][chosen]["modules"]
        if not modules:
            self._pass_by(flow, module, state)
            return
        job = self._step(flow, module["id"], "flownode", f"{flow.path}/branchone-{chosen}", module["id"])
        job.args = flow.args
        job.flow = {"modules": modules, "failure_module": flow.flow.get("failure_module")}
        job.scope_id = flow.scope_id or flow.id
        job.state, job.scheduled_for = ("queued", moment) if moment else ("running", None)
        state["job"] = str(job.id)
        self._insert(job)

    def _start_single(
        self, flow: Job, module: dict[str, Any], key: str, result: Any, *, previous_id: str = "",
        moment: datetime | None = None, arguments: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Start a script, inline code or another flow as a step; `arguments` instead of its transforms."""
        job = self._single(flow, module, key, flow.args, step_id=module["id"])
        job.scheduled_for = moment
        if key not in (FAILURE, PREPROCESSOR):
            self._view.current(flow)[1]["job"] = str(job.id)
        transforms = module["value"]["input_transforms"]
        if arguments is not None:
            transforms = {name: {"type": "static", "value": value} for name, value in arguments.items()}
        self._insert_single(job, transforms, self._view.scope(flow, result, previous_id, **self._view.resumes(flow)))

    def _single(self, flow: Job, module: dict[str, Any], key: str, flow_input: dict[str, Any], *, step_id: str) -> Job:
        value = module["value"]
        kind = {"script": "script", "flow": "flow"}.get(value["type"], "flowscript")
        job = self._step(flow, key, kind, value.get("path") or f"{flow.path}/{module['id']}", step_id)
        if kind == "flowscript":
            job.code = {"content": value.get("content") or "", "lock": value.get("lock")}
        elif kind == "flow" and job.path in self._workspace.flows:
            job.flow = self._workspace.flows[job.path].value
        elif kind == "script" and job.path in self._workspace.scripts:
            job.timeout = self._workspace.scripts[job.path].timeout
        if module.get("timeout"):
            job.timeout = seconds_of(module["timeout"], self._view.scope(flow, None, flow_input=flow_input)) or None
        return job

    def _insert_single(self, job: Job, transforms: dict[str, Any], scope: Scope) -> None:
        """Insert a step with its arguments. An expression that throws is a failure of the step."""
        try:
            job.args = {name: transformed(transform, scope) for name, transform in transforms.items()}
        except ExpressionError as error:
            self._insert_ended(job, expression_failed(error))
            return
        known = {"script": self._workspace.scripts.keys(), "flow": self._workspace.flows.keys()}
        if job.kind in known and job.path not in known[job.kind]:
            result = failure("NotFound", f"{job.kind} not found at name {job.path}", step_id=job.step_id)
            self._insert_ended(job, Ending(False, result))
        else:
            self._insert(job)

    def _step(self, flow: Job, key: str, kind: str, path: str, step_id: str) -> Job:
        return Job(
            uuid4(), flow.root_id, kind, path, flow.created_by, parent_id=flow.id, key=key, attempt=_attempt(flow),
            step_id=step_id, schedule_path=flow.schedule_path, trigger_kind=flow.trigger_kind,
        )  # fmt: skip

    def _insert(self, job: Job) -> None:
        """Insert a step. An inner part of a flow begins here and now, unless its state or time says otherwise.

        Another flow takes its turn in the queue: it may call itself, and then nothing here would ever end.
        """
        if job.kind != "flownode" or (job.scheduled_for and job.state != "held"):
            job.state = "queued"
        store.insert(self._connection, job)
        if job.state == "running":
            self._view.add(job)
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
                row = self._connection.execute(queries.RELEASE_HELD, (flow.id, key, _attempt(flow))).fetchone()
                if row and (released := store.get(self._connection, row[0])):
                    self.queued.append((released, None))
                    return

    def _previous_id(self, flow: Job) -> str:
        assert flow.status is not None and flow.flow is not None
        index = flow.status["step"]
        return str(flow.flow["modules"][index - 1]["id"]) if index > 0 else ""

    # Waiting for people -----------------------------------------------------------------------

    def _may_resume(self, flow: Job, suspend: dict[str, Any]) -> bool:
        """Whether enough events have come; if not, the flow is suspended, or ends when it was refused or is late."""
        assert flow.status is not None
        index = flow.status["step"]
        state = flow.status["modules"][index]
        events = self._view.events(flow)
        refused = next((event for event in events if not event["approved"]), None)
        required = int(suspend["required_events"])
        now = datetime.now(UTC)
        if refused is None and len(events) >= required:
            return True
        is_late = flow.suspend_until is not None and flow.suspend_until <= now
        if refused is None and not is_late:
            if flow.suspend_until is None:
                patience = min(suspend.get("timeout") or SUSPEND_SECONDS, MOST_SECONDS)
                flow.suspend_until = now + timedelta(seconds=patience)
                self.queued.append((flow, flow.suspend_until))
            flow.state = "suspended"
            state |= {"type": "WaitingForEvents", "count": required, "suspend": required - len(events)}
            return False
        if refused:
            ending = failure("SuspendedDisapproved", f"Disapproved by {refused['approver'] or 'unknown'}")
        else:
            ending = failure("SuspendedTimedOut", "Timed out waiting to be resumed")
        if suspend.get("continue_on_disapprove_timeout"):
            flow.status["modules"][index - 1]["unapproved"] = ending
            return True
        state["type"] = "Failure"
        self._finish(flow, Ending(False, ending))
        return False


def _after(seconds: float) -> datetime | None:
    return datetime.now(UTC) + timedelta(seconds=min(seconds, MOST_SECONDS)) if seconds else None


def _attempt(flow: Job) -> int:
    """How often the step that the flow is at has failed and was tried again."""
    return int(((flow.status or {}).get("retry") or {}).get("fail_count", 0))
