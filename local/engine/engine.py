"""The engine: takes jobs in, runs them on its threads, and tells whoever waits when they are done."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from uuid import UUID, uuid4

from local.engine import queries, store, values
from local.engine.expressions import NotFound
from local.engine.flows import PREPROCESSOR, Tree
from local.engine.jobs import FLOW_KINDS, Ended, Job, failure
from local.engine.objects import ObjectStorage
from local.engine.processes import ProcessDied, Processes, Task, TimedOut
from local.engine.queue import Queue
from local.engine.rules import Ending
from local.engine.store import Connection, Store, Unavailable
from local.engine.workspace import Workspace

log = logging.getLogger("engine")

#: Times that the process of a job may die without a result before the job has failed.
MOST_DEATHS = 3
#: Seconds that a caller waits for the engine's own database.
PATIENCE = 20.0


class UnknownTarget(LookupError):
    """There is no such script or flow; the message is Windmill's."""


class JobExists(Exception):
    """The id is another job's; the message is Windmill's, and callers compare it word for word."""


class Engine:
    """Runs the jobs of `workspace`, which lies in the folder `root`. `base_url` is where scripts find our API."""

    def __init__(
        self, workspace: Workspace, root: Path, jobs: Store, processes: Processes, *, name: str, base_url: str,
        token: str, workers: int, storage: ObjectStorage | None = None,
    ) -> None:  # fmt: skip
        self.workspace = workspace
        self.storage = storage
        self.name = name
        self.store = jobs
        self._root = root
        self._processes = processes
        self._base_url = base_url
        self._token = token
        self._queue = Queue()
        self._threads = [Thread(target=self._work, name=f"worker-{i}", daemon=True) for i in range(workers)]
        self._watchers: dict[UUID, list[Callable[[Ended], None]]] = defaultdict(list)
        self._watchers_lock = Lock()

    def start(self) -> None:
        """Take up what an earlier engine left, then run jobs."""

        def take_up(connection: Connection) -> list[Any]:
            values.load_files(connection, self.workspace)
            connection.execute(queries.REQUEUE_RUNNING)
            return connection.execute(queries.OPEN).fetchall()

        self._put_open(self.store.run(take_up))
        self._processes.warm({path: script.content for path, script in self.workspace.scripts.items()})
        for thread in self._threads:
            thread.start()

    def keep_going(self) -> None:
        """To be called every second or so. Raises StoreError when another engine has taken the database.

        After the database was away, a transaction may have been repeated whose first attempt had been committed, and
        then nobody has heard of what it did: jobs that are to run, and jobs that are done.
        """
        self.store.keep_guard()
        if not self.store.was_away.is_set():
            return
        self.store.was_away.clear()
        busy = self._processes.under_way

        def take_up(connection: Connection) -> list[Any]:
            running = [row[0] for row in connection.execute(queries.RUNNING).fetchall()]
            connection.execute(queries.REQUEUE, (list(set(running) - busy()),))
            return connection.execute(queries.OPEN).fetchall()

        self._put_open(self.store.run(take_up, PATIENCE))
        with self._watchers_lock:
            awaited = list(self._watchers)
        done = self.store.run(lambda c: store.jobs(c, queries.DONE, (awaited,)), PATIENCE)
        self._tell(Ended(job.id, bool(job.success), job.result, job.skipped) for job in done)

    def _put_open(self, rows: Iterable[tuple[UUID, str, datetime]]) -> None:
        for job_id, kind, moment in rows:
            self._queue.put(job_id, is_flow=kind in FLOW_KINDS, moment=moment.timestamp())

    def stop(self) -> None:
        """End what runs; it is taken up at the next start."""
        self.store.stopping.set()
        self._queue.close()
        self._processes.close()
        for thread in self._threads:
            thread.join(timeout=5)

    # What callers do ----------------------------------------------------------------------------

    def submit(
        self, path: str, args: dict[str, Any], *, is_flow: bool, by: str, job_id: UUID | None = None,
        moment: datetime | None = None, parent_id: UUID | None = None, trigger: str | None = None,
        schedule: str | None = None, preprocess: bool = False,
    ) -> UUID:  # fmt: skip
        """Queue a run of a script or flow and return its id. Raises UnknownTarget, JobExists, Unavailable."""
        flow = self.workspace.flows.get(path) if is_flow else None
        script = None if is_flow else self.workspace.scripts.get(path)
        if flow is None and (script is None or not script.has_main):
            raise UnknownTarget(f"{'flow' if is_flow else 'script'} not found at name {path}")
        new_id = job_id or uuid4()
        job = Job(
            new_id, new_id, "flow" if is_flow else "script", path, by, parent_id=parent_id, args=args,
            flow=flow.value if flow else None, scheduled_for=moment, timeout=script.timeout if script else None,
            trigger_kind=trigger, schedule_path=schedule, preprocess=preprocess, request=uuid4(),
        )  # fmt: skip

        def insert(connection: Connection) -> bool:
            if store.insert(connection, job):
                return True
            # Ours after all, when the answer to an earlier attempt got lost.
            mine = connection.execute(queries.INSERTED_BY, (job.request, job.id)).fetchone()
            return bool(mine and mine[0])

        if not self.store.run(insert, PATIENCE):
            raise JobExists(f"Job with id {new_id} already exists")
        self._queue.put(new_id, is_flow=is_flow, moment=moment.timestamp() if moment else None)
        return new_id

    def watch(self, job_id: UUID, tell: Callable[[Ended], None]) -> None:
        """Call `tell` once when the job is done, which it may be already. It is called in any thread."""
        with self._watchers_lock:
            self._watchers[job_id].append(tell)
        job = self.store.run(lambda connection: store.get(connection, job_id, whole=True), PATIENCE)
        if job and job.state == "done":
            self._tell([Ended(job.id, bool(job.success), job.result, job.skipped)])

    def forget(self, job_id: UUID) -> None:
        """Nobody waits for this job any more."""
        with self._watchers_lock:
            self._watchers.pop(job_id, None)

    def cancel(self, job_id: UUID, by: str, reason: str | None) -> bool:
        """End a job and its steps; False when it is done already or was never there."""
        message = f"Job canceled: {reason or 'no reason given'} by {by}"
        result = failure("Canceled", message, canceler=by, reason=reason)

        def end(connection: Connection) -> tuple[list[UUID], Tree | None]:
            job = store.get(connection, job_id)
            if job is None:
                return [], None
            tree = Tree(connection, self.workspace, job.root_id)
            row = {"id": job_id, "result": store.Jsonb(result), "by": by, "reason": reason}
            ended = [row[0] for row in connection.execute(queries.CANCEL_TREE, row).fetchall()]
            if ended and job.is_step:
                tree.step_ended(job, Ending(False, result, handled=True))
            return ended, tree

        ended, tree = self.store.run(end, PATIENCE)
        for ended_id in ended:
            self._processes.kill(ended_id)
        if tree:
            self._announce(tree, [Ended(ended_id, False, result) for ended_id in ended])
        return bool(ended)

    def resume(self, job_id: UUID, resume_id: int, payload: Any, *, approved: bool, approver: str | None) -> bool:
        """Give a suspended flow, or the step before its pause, an event; False when there is no such job."""

        def note(connection: Connection) -> UUID | None:
            job = store.get(connection, job_id)
            if job is None:
                return None
            connection.execute(queries.LOCK_TREE, (job.root_id,))
            step, flow_id = (_awaited_step(connection, job_id), job.id) if job.is_flow else (job_id, job.parent_id)
            if step is None:
                return None
            connection.execute(queries.ADD_RESUME, (step, resume_id, store.Jsonb(payload), approved, approver))
            return flow_id or job_id

        flow_id = self.store.run(note, PATIENCE)
        if flow_id is not None:
            self._queue.put(flow_id, is_flow=True)
        return flow_id is not None

    def is_alive(self) -> bool:
        """Whether the engine's database answers."""
        try:
            self.store.run(lambda connection: connection.execute("select 1"), patience=2)
        except Unavailable:
            return False
        return True

    # Running ------------------------------------------------------------------------------------

    def _work(self) -> None:
        while due := self._queue.take():
            try:
                if due.is_flow:
                    self._move_on(due.job_id)
                else:
                    # Before the job counts as running: whoever cancels it then also ends its process.
                    with self._processes.place(due.job_id) as is_ours:
                        if is_ours:
                            self._run(due.job_id)
            except Unavailable:
                # Only when the engine stops: the job is still queued, or running and will be queued again.
                log.info("job %s is left for the next start", due.job_id)
            except Exception:
                # A fault of ours must not take the thread with it, nor leave whoever waits without an answer.
                log.exception("job %s", due.job_id)
                self._give_up(due.job_id)

    def _give_up(self, job_id: UUID) -> None:
        with suppress(Unavailable):
            if job := self.store.run(lambda connection: store.get(connection, job_id), PATIENCE):
                self.cancel(job.root_id, "engine", "an internal error, see the engine's log")

    def _move_on(self, flow_id: UUID) -> None:
        def begin(connection: Connection) -> Tree | None:
            flow = store.get(connection, flow_id)
            if flow is None or flow.state not in ("queued", "suspended"):
                return None
            tree = Tree(connection, self.workspace, flow.root_id)
            tree.begin(flow_id)
            return tree

        if tree := self.store.run(begin):
            self._announce(tree)

    def _run(self, job_id: UUID) -> None:
        """Run a script and record how it ended."""

        def begin(connection: Connection) -> Job | None:
            with store.unlogged(connection):
                return store.start(connection, job_id)

        job = self.store.run(begin)
        if job is None:
            return
        ending = self._ending_of(job)
        if ending is None:
            return

        def end(connection: Connection) -> Tree:
            tree = Tree(connection, self.workspace, job.root_id)
            tree.end(job, ending)
            return tree

        self._announce(self.store.run(end))

    def _ending_of(self, job: Job) -> Ending | None:
        """Run the process of `job`; None when it died and will be tried again."""
        if job.kind == "identity":
            return Ending(True, job.args["previous_result"])
        if job.kind == "flowscript":
            assert job.code is not None
            content, inline = str(job.code["content"]), str(job.code["content"])
        else:
            script = self.workspace.scripts.get(job.path)
            if script is None:
                return self._failed(job, "NotFound", f"script not found at name {job.path}")
            content, inline = script.content, None
        try:
            args = self.store.run(lambda connection: values.resolved(connection, job.args))
        except NotFound as error:
            return self._failed(job, "NotFound", str(error))
        function = "preprocessor" if job.key == PREPROCESSOR else "main"
        task = Task(job.id, job.path, inline, args, self._environment(job), job.preprocess, job.timeout, function)
        deaths = job.deaths
        while True:
            try:
                outcome, output = self._processes.run(task, content)
                break
            except TimedOut:
                message = f"the job took longer than its {job.timeout:g} s and was ended"
                return self._failed(job, "ExecutionErr", message)
            except ProcessDied as error:
                deaths += 1
                if self.store.stopping.is_set():
                    return None
                if deaths >= MOST_DEATHS:
                    return self._failed(job, "ExecutionErr", f"the job's process died {MOST_DEATHS} times", str(error))
                if not self._may_run_again(job, str(error)):
                    return None
        if "error" in outcome:
            result = {"error": outcome["error"] | ({"step_id": job.step_id} if job.step_id else {})}
            return Ending(False, result, logs=output, args=outcome.get("args"))
        return Ending(True, outcome["result"], logs=output, args=outcome.get("args"))

    def _failed(self, job: Job, name: str, message: str, logs: str = "") -> Ending:
        more = {"step_id": job.step_id} if job.step_id else {}
        return Ending(False, failure(name, message, **more), logs=logs)

    def _may_run_again(self, job: Job, output: str) -> bool:
        """Note that the process of `job` died; False when the job was cancelled, which may be why."""
        note = f"{output}\nthe job's process died: it runs again\n"
        return bool(self.store.run(lambda connection: connection.execute(queries.NOTE_DEATH, (note, job.id)).rowcount))

    def _environment(self, job: Job) -> dict[str, str]:
        """What Windmill tells a script about itself."""
        state_path = f"u/{job.created_by}/{job.path.replace('/', '_')}"
        flow = {"WM_FLOW_JOB_ID": str(job.parent_id), "WM_ROOT_FLOW_JOB_ID": str(job.root_id)} if job.is_step else {}
        return {
            "WM_WORKSPACE": self.name,
            "WM_TOKEN": self._token,
            "WM_BASE_URL": self._base_url,
            "BASE_INTERNAL_URL": self._base_url,
            "WM_JOB_ID": str(job.id),
            "WM_JOB_PATH": job.path,
            "WM_USERNAME": job.created_by,
            "WM_PERMISSIONED_AS": f"u/{job.created_by}",
            "WM_STATE_PATH": state_path,
            "WM_STATE_PATH_NEW": state_path,
            "WM_FLOW_STEP_ID": job.step_id or "",
            "WM_SCHEDULE_PATH": job.schedule_path or "",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": os.environ.get("HOME", "/"),
            **flow,
        }

    def _announce(self, tree: Tree, also: Iterable[Ended] = ()) -> None:
        for job, moment in tree.queued:
            self._queue.put(job.id, is_flow=job.is_flow, moment=moment.timestamp() if moment else None)
        self._tell([*also, *tree.ended])

    def _tell(self, ended: Iterable[Ended]) -> None:
        for item in ended:
            with self._watchers_lock:
                watchers = self._watchers.pop(item.job_id, [])
            for tell in watchers:
                tell(item)


def _awaited_step(connection: Connection, flow_id: UUID) -> UUID | None:
    """The step whose events a suspended flow waits for."""
    flow = store.get(connection, flow_id)
    if flow is None or flow.state != "suspended" or flow.status is None:
        return None
    return UUID(flow.status["modules"][flow.status["step"] - 1]["job"])
