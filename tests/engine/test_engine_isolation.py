"""What a job finds when it begins: nothing of the job before it, and nothing of the engine's."""

from collections.abc import Callable
from pathlib import Path

import pytest
from engines import TOKEN, Engine, code, find_process, flow, is_alive, wait_until

FILES = {
    "f/a/globals.py": """
import json
import f.a.library as library
def main():
    seen = [library.COUNT, getattr(json, "left_behind", None)]
    library.COUNT += 1
    json.left_behind = "here"
    return seen
""",
    "f/a/library.py": "COUNT = 0",
    "f/a/environment.py": """
import os
def main(change: bool):
    seen = dict(os.environ)
    if change: os.environ["LEFT"] = "behind"
    return seen
""",
    "f/a/directory.py": """
import os, pathlib
def main():
    seen = [os.getcwd(), os.listdir()]
    pathlib.Path("left").write_text("behind")
    os.makedirs("elsewhere"); os.chdir("elsewhere")
    return seen
""",
    "f/a/descriptors.py": """
import os
def main():
    seen = []
    for number in os.listdir("/proc/self/fd"):
        try:
            seen.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    os.open("/etc/hostname", os.O_RDONLY); open("/etc/passwd")
    return seen
""",
    "f/a/imports.py": """
import importlib
def main(name): return importlib.import_module(name).__name__
""",
    "f/a/changing.py": "def main(): return 1",
    "f/a/uses_changing.py": "from f.a.changing import main as inner\ndef main(): return inner()",
    "f/a/children.py": """
import subprocess, time
def main(seconds: str, wait: bool):
    child = subprocess.Popen(["sleep", seconds])
    print(child.pid, flush=True)
    if wait: time.sleep(300)
    return child.pid
""",
    "f/a/process.py": "import os\ndef main(): return [os.getpid(), os.getppid()]",
    "f/a/inline.flow": flow(
        code(
            "a",
            """
from __future__ import annotations
import dataclasses, enum, pickle
@dataclasses.dataclass
class Item:
    name: str
def main(): return dataclasses.asdict(pickle.loads(pickle.dumps(Item("x"))))
""",
        )
    ),
}


@pytest.fixture(scope="module", params=["warm", "fresh"])
def engine(make_engine: Callable[..., Engine], request: pytest.FixtureRequest) -> Engine:
    return make_engine(FILES, *(["--fresh"] if request.param == "fresh" else []))


def test_globals_of_modules_do_not_survive(engine: Engine) -> None:
    assert [engine.result("p", "f/a/globals") for _ in range(3)] == [[0, None]] * 3


def test_the_environment_does_not_survive(engine: Engine) -> None:
    engine.result("p", "f/a/environment", {"change": True})
    assert "LEFT" not in engine.result("p", "f/a/environment", {"change": False})


def test_a_job_has_an_empty_directory_of_its_own_that_is_gone_afterwards(engine: Engine) -> None:
    (first, found), (second, again) = (engine.result("p", "f/a/directory") for _ in range(2))
    assert found == again == []
    assert first != second
    wait_until(lambda: not Path(first).exists() and not Path(second).exists())


def test_open_files_do_not_survive(engine: Engine) -> None:
    first = engine.result("p", "f/a/descriptors")
    second = engine.result("p", "f/a/descriptors")
    assert not [name for name in second if name.startswith("/etc")]
    assert len(first) == len(second)
    assert len([name for name in second if name.startswith(("socket:", "pipe:"))]) <= 3


def test_the_environment_has_no_secret_of_the_engine(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(FILES, started=False)
    engine.environment = {"META_APP_SECRETS": "1:hidden", "PGPASSWORD": "hidden", "PYTHONPATH": "/hidden"}
    seen = engine.start().result("p", "f/a/environment", {"change": False})
    assert "hidden" not in str(seen)
    assert TOKEN not in seen.values()
    assert {name for name in seen if not name.startswith("WM_")} <= {
        "BASE_INTERNAL_URL", "HOME", "LANG", "LC_CTYPE", "PATH", "TZ",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["local", "local.engine", "gateway", "tests", "runner", "db"])
def test_a_script_cannot_import_what_lies_beside_the_workspace(engine: Engine, name: str) -> None:
    assert engine.error("p", "f/a/imports", {"name": name})["name"] == "ModuleNotFoundError"


def test_a_change_of_a_script_counts_from_the_next_run_on(engine: Engine) -> None:
    for expected in (1, 2, 3):
        # As quick as this: the same length, and within the same second.
        (engine.workspace / "f/a/changing.py").write_text(f"def main(): return {expected}")
        assert engine.result("p", "f/a/changing") == expected
        assert engine.result("p", "f/a/uses_changing") == expected


def test_children_that_a_script_leaves_behind_end_with_it(engine: Engine) -> None:
    child = engine.result("p", "f/a/children", {"seconds": "300", "wait": False})
    wait_until(lambda: not is_alive(child))


def test_a_cancelled_job_ends_with_its_children(engine: Engine) -> None:
    seconds = str(1_000_000 + engine.port)
    job_id = engine.queue("p", "f/a/children", {"seconds": seconds, "wait": True})
    wait_until(lambda: find_process(f"sleep {seconds}"))
    engine.api("POST", f"jobs_u/queue/cancel/{job_id}", json={})
    wait_until(lambda: not find_process(f"sleep {seconds}"))


def test_inline_code_is_a_module_like_any_other(engine: Engine) -> None:
    assert engine.result("f", "f/a/inline") == {"name": "x"}


def test_every_job_is_a_process_of_its_own(engine: Engine) -> None:
    assert len({engine.result("p", "f/a/process")[0] for _ in range(3)}) == 3


def test_a_trap_runs_in_each_jobs_process_before_its_script(
    make_engine: Callable[..., Engine], tmp_path: Path, engine: Engine
) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text("import os\ndef arm(job): os.environ['TRAPPED'] = job['path']")
    trapped = make_engine(FILES, "--trap", str(trap))
    assert trapped.result("p", "f/a/environment", {"change": False})["TRAPPED"] == "f/a/environment"
    assert "TRAPPED" not in engine.result("p", "f/a/environment", {"change": False})
