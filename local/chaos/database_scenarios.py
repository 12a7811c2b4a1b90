"""PostgreSQL goes away, runs full, cuts connections and refuses transactions."""

import random
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event

import psycopg

from local.chaos.findings import Findings
from local.chaos.scenario import Run, scenario
from local.chaos.step_scenarios import STEPS, Point, case_at, points
from local.chaos.world import Case

DISK = "220m"


@scenario()
def database_restarts(run: Run) -> Findings:
    """The platform's and the engine's database restarted every 5 to 40 s under load, also by a crash."""
    world = run.world
    times = 2 if run.size.short else max(4, min(20, run.size.share(1 / 50)))
    seconds = times * (4 if run.size.short else 25)

    def write(case: Case) -> None:
        time.sleep(random.uniform(0, seconds))  # noqa: S311  # no secret
        world.write(case)

    cases = [world.case("database restarts", write) for _ in range(run.size.share(1 / 10, 20))]

    def restart() -> None:
        installation = world.installation
        for number in range(times):
            time.sleep(random.uniform(2, 4) if run.size.short else random.uniform(5, 40))  # noqa: S311  # no secret
            cluster = (installation.platform, installation.engine_cluster)[number % 2]
            how = (signal.SIGINT, signal.SIGQUIT)[number // 2 % 2]
            run.say(f"{cluster.home.name}: {how.name}")
            installation.stop_database(cluster, how)
            installation.start_database(cluster)

    return run.wave(cases, at_once=len(cases), meanwhile=restart)


@scenario()
def database_down(run: Run) -> Findings:
    """The platform's database away for ten minutes while messages are accepted: afterwards all are answered, each
    person's in order."""
    world = run.world
    seconds = 10 if run.size.short else min(600, run.size.share(2, 60))
    installation = world.installation

    def write(case: Case) -> None:
        for number in range(3):
            if number:
                time.sleep(seconds / 3)
            world.write(case)

    cases = [world.case("database down", write) for _ in range(min(100, run.size.share(1 / 10, 3)))]
    run.say(f"down for {seconds} s")
    installation.stop_database(installation.platform)

    def come_back() -> None:
        time.sleep(seconds)
        installation.start_database(installation.platform)
        for case in cases:
            case.trouble_ended_at = time.time()

    return run.wave(cases, at_once=len(cases), meanwhile=come_back)


def refused_cases(run: Run, places: list[Point]) -> list[Case]:
    """At each commit: a deadlock, a serialization failure, a connection cut in mid-transaction."""
    commits = [p for p in places if p[0] == "plain" and p[1] in STEPS and p[2].startswith("before commit")]
    writes = [
        p for p in places if p[0] == "plain" and p[1] in STEPS and p[2].startswith("after ") and "POST" not in p[2]
    ]
    times = max(1, min(5, run.size.each))
    cases = [case_at(run, place, "raise", error=error) for place in commits for _ in range(times)
             for error in ("DeadlockDetected", "SerializationFailure")]  # fmt: skip
    return cases + [case_at(run, place, "cut") for place in writes for _ in range(times)]


@scenario()
def transactions_refused(run: Run) -> Findings:
    """Deadlocks and serialization failures at each commit, connections cut after each write: the step runs again."""
    return run.wave(refused_cases(run, points(run)))


@scenario()
def real_deadlocks(run: Run) -> Findings:
    """A deadlock that PostgreSQL itself resolves against the step."""
    world = run.world
    cases = [world.case("deadlock") for _ in range(run.size.share(1 / 100, 3))]

    def interlock() -> None:
        """Lock a table that the step wants last, then the conversation that it has already."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with psycopg.connect(world.installation.platform.url("chatbots")) as connection:
                connection.execute("set deadlock_timeout = '20s'")
                connection.execute("lock table webhook_events in exclusive mode")
                time.sleep(0.5)
                connection.execute("select 1 from conversations for update")
            time.sleep(0.5)

    return run.wave(cases, at_once=len(cases), meanwhile=interlock)


@scenario(alone=True)
def disk_full(run: Run) -> Findings:
    """The platform's database on a disk that runs full: what was accepted is answered once there is room again."""
    installation, world = run.world.installation, run.world
    home = installation.platform.home
    with ExitStack() as undone:
        installation.stop_database(installation.platform)
        if problem := mount(home, undone):
            installation.start_database(installation.platform)
            return Findings(skipped=problem)
        # The disk must be free of users before it is taken away.
        undone.callback(installation.stop_database, installation.platform)
        installation.start_database(installation.platform)
        run.wave([world.case("before") for _ in range(3)])
        filler = home / "cluster" / "filler"
        full = Event()

        def write(case: Case) -> None:
            full.wait(60)
            for _ in range(3):
                world.write(case)
                time.sleep(1)

        cases = [world.case("disk full", write) for _ in range(run.size.share(1 / 100, 5))]

        def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(1 << 16)):
                        pass
                except OSError as error:
                    run.say(f"full: {error.strerror}")
            # What was allocated before would last for a while: use it up.
            with (
                suppress(psycopg.Error),
                psycopg.connect(installation.platform.superuser_url, autocommit=True) as server,
            ):
                for _ in range(20):
                    server.execute(
                        "select pg_logical_emit_message(true, 'chaos', repeat('x', 1000000)), pg_switch_wal()"
                    )
            full.set()
            time.sleep(10 if run.size.short else 40)
            filler.unlink()
            if installation.platform.process is None or installation.platform.process.poll() is not None:
                run.say("the server had ended: starting it again")
                installation.stop_database(installation.platform)
                installation.start_database(installation.platform)
            for case in cases:
                case.trouble_ended_at = time.time()

        return run.wave(cases, at_once=len(cases), meanwhile=fill)


def mount(home: Path, undone: ExitStack) -> str:
    """Put the folder's contents on a small disk in memory. Returns why that is not possible."""
    beside = home.with_name(f"{home.name}.aside")
    home.rename(beside)
    home.mkdir(mode=0o711)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=711", "tmpfs", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        home.rmdir()
        beside.rename(home)
        return f"no disk in memory: {done.stderr.strip() or 'mount is not allowed here'}"
    undone.callback(subprocess.run, ["umount", "--lazy", str(home)], check=False)
    subprocess.run(["cp", "-a", f"{beside}/.", str(home)], check=True)
    return ""
