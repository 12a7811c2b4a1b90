"""A flow with its inner flows and steps, as one transaction sees it: their rows, and what expressions see of them."""

from functools import partial
from typing import Any
from uuid import UUID

from local.engine import queries, store, values
from local.engine.expressions import NotFound, Scope, is_true
from local.engine.jobs import Job
from local.engine.store import Connection


class View:
    """Rows of the tree below `root_id`, which stays locked until the transaction ends."""

    def __init__(self, connection: Connection, root_id: UUID) -> None:
        self._connection = connection
        self._flows: dict[UUID, Job] = {}
        #: What is large and seldom changes, as it stands in the rows.
        self._stored: dict[UUID, dict[str, Any]] = {}
        connection.execute(queries.LOCK_TREE, (root_id,))

    # Rows ---------------------------------------------------------------------------------------

    def flow(self, flow_id: UUID) -> Job | None:
        if flow_id not in self._flows:
            job = store.get(self._connection, flow_id)
            if job is None or not job.is_flow:
                return None
            self.add(job)
        return self._flows[flow_id]

    def add(self, flow: Job) -> None:
        """A flow whose row is as `flow` says."""
        self._flows[flow.id] = flow
        self._stored[flow.id] = {"args": flow.args, "items": flow.items}

    def is_new(self, flow: Job, name: str) -> bool:
        """Whether a value was replaced since it was read or written; True once."""
        value = getattr(flow, name)
        if self._stored[flow.id][name] is value:
            return False
        self._stored[flow.id][name] = value
        return True

    def current(self, flow: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """The step that the flow is at: its definition and its state."""
        assert flow.status is not None and flow.flow is not None
        index = flow.status["step"]
        return flow.flow["modules"][index], flow.status["modules"][index]

    def results(self, job_ids: list[str]) -> list[Any]:
        return store.results(self._connection, [UUID(job_id) for job_id in job_ids])

    def args_of(self, job_id: str | None) -> dict[str, Any]:
        row = self._connection.execute(queries.GET_ARGS, (job_id,)).fetchone() if job_id else None
        return dict(row[0]) if row else {}

    # Results of steps ---------------------------------------------------------------------------

    def previous_result(self, flow: Job) -> Any:
        """The result of the step before the current one; before the first that is the flow's input."""
        assert flow.status is not None
        index = flow.status["step"]
        return self._result(flow.status["modules"][index - 1]) if index > 0 else flow.args

    def note_leaf(self, scope_id: UUID, state: dict[str, Any]) -> None:
        """Let steps after a loop or branch refer to the steps in it."""
        noted = {name: state[name] for name in ("job", "flow_jobs") if name in state}
        scope = self.flow(scope_id)
        if scope:
            scope.leaf_jobs[state["id"]] = noted
        self._connection.execute(queries.SET_LEAF, (store.Jsonb({state["id"]: noted}), scope_id))

    def _result_of(self, flow: Job, name: str) -> Any:
        """The result of the step `name`, of this flow or of one around it in the same file. Raises NotFound."""
        current: Job | None = flow
        while current is not None and current.status is not None:
            for state in current.status["modules"]:
                if state["id"] == name and state["type"] in ("Success", "Failure"):
                    return self._result(state)
            if name in current.leaf_jobs:
                return self._result(current.leaf_jobs[name])
            current = self.flow(current.parent_id) if current.kind == "flownode" and current.parent_id else None
        raise NotFound(f"no result of a step {name}")

    def _result(self, state: dict[str, Any]) -> Any:
        if state.get("flow_jobs") is not None:
            return self.results(state["flow_jobs"])
        return self.results([state["job"]])[0] if state.get("job") else None

    # Events that a suspended flow waits for -----------------------------------------------------

    def events(self, flow: Job) -> list[dict[str, Any]]:
        """Events for the step before the current one."""
        assert flow.status is not None
        index = flow.status["step"]
        last = flow.status["modules"][index - 1].get("job") if index > 0 else None
        return store.rows(self._connection, queries.RESUMES, (UUID(last),)) if last else []

    def resumes(self, flow: Job) -> dict[str, Any]:
        """What expressions see of the events that the step before has waited for."""
        assert flow.status is not None and flow.flow is not None
        index = flow.status["step"]
        modules = flow.flow["modules"]
        if not 0 < index < len(modules) or not modules[index - 1].get("suspend"):
            return {}
        events = self.events(flow)
        payloads = [event["value"] for event in events]
        if unapproved := flow.status["modules"][index - 1].get("unapproved"):
            payloads.append(unapproved)
        approvers = [event["approver"] or "anonymous" for event in events]
        return {"resume": payloads[-1] if payloads else None, "resumes": payloads, "approvers": approvers}

    # What expressions see -----------------------------------------------------------------------

    def scope(
        self, flow: Job, previous: Any, previous_id: str = "", /, *, flow_input: dict[str, Any] | None = None,
        **names: Any,
    ) -> Scope:  # fmt: skip
        """`previous` is the result of the step before, `previous_id` that step; `names` are more than usual."""
        return Scope(
            names={"previous_result": previous, "resume": None, "resumes": [], "approvers": [], **names},
            flow_input=flow.args if flow_input is None else flow_input,
            lookup=partial(self._lookup, flow),
            flow_env=(flow.flow or {}).get("flow_env") or {},
            has_results=True,
            previous_id=previous_id,
        )

    def holds(self, predicate: dict[str, Any], flow: Job, result: Any, **names: Any) -> bool:
        """Whether a predicate of the definition is true. Raises ExpressionError."""
        return is_true(predicate["expr"], self.scope(flow, result, result=result, **names))

    def _lookup(self, flow: Job, kind: str, name: str) -> Any:
        if kind == "result":
            return self._result_of(flow, name)
        if kind == "variable":
            return values.variable(self._connection, name)
        if kind == "resource":
            return values.resource(self._connection, name)
        root = self.flow(flow.root_id)
        return ((root and root.status) or {}).get("user_states", {}).get(name)
