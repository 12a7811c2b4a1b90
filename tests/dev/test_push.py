"""`./dev push`: the real `wmill` CLI and our own calls, against a strict stand-in of Windmill's API."""

import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_windmill import ADMIN, Call, FakeWindmill, Refusal, Workspace
from systems import run_dev

from local import bootstrap, sync
from local.bootstrap import BootstrapError
from local.install import ROOT, InstallError, wmill
from local.processes import free_port
from local.push import GATEWAY_SCOPES, Options, Push, PushError
from local.sync import SyncError
from local.windmill import Windmill, WindmillError

VALUES = {
    "APP_PASSWORD": "first-word",
    "MANAGER_PASSWORD": "manager-word",
    "DATABASE_HOST": "db",
    "DATABASE_NAME": "chatbots",
    "MCP_SIGNING_KEY": "k" * 32,
    "EXCHANGE_SIGNING_KEY": "e" * 32,
}
#: A CLI that finds nothing to do, for tests of all the rest.
NO_FILES = ["sh", "-c", "echo '{\"changes\": []}'"]


@pytest.fixture(scope="session")
def cli() -> list[str]:
    try:
        return wmill()
    except InstallError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the wmill CLI cannot be installed: {error}")


@pytest.fixture
def windmill() -> Iterator[FakeWindmill]:
    with FakeWindmill() as served:
        yield served
    assert served.unexpected == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository that a test may change: some scripts, a flow, a schedule."""
    return make_tree(tmp_path)


def make_tree(path: Path) -> Path:
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("f/lib", "f/ops", "f/whatsapp/webhook_processor__flow", "resources"):
        shutil.copytree(ROOT / name, path / name, ignore=skipped)
    for file in (
        "wmill.yaml",
        "wmill-lock.yaml",
        *(str(p.relative_to(ROOT)) for p in ROOT.glob("f/*/folder.meta.yaml")),
    ):
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, path / file)
    return path


class Pusher:
    """`push(...)` is one run of `./dev push` in `tree`; it returns what was said."""

    def __init__(self, tree: Path, windmill: FakeWindmill, cli: list[str]) -> None:
        self.tree, self.windmill, self.cli = tree, windmill, cli
        self.values = dict(VALUES)

    def __call__(self, *, token: str = ADMIN, workspace: str = "shop", url: str | None = None, **options: Any) -> str:
        said: list[str] = []
        catalogue = bootstrap.read_catalogue(self.values, self.tree / "resources" / "catalogue.yaml", complete=False)
        server = Windmill(url or self.windmill.url, workspace, token)
        self.done = Push(self.tree, server, catalogue, self.cli, Options(**options), said.append).run()
        return "\n".join(said)

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.tree / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    @property
    def held(self) -> Workspace:
        return self.windmill.workspaces["shop"]


@pytest.fixture
def push(tree: Path, windmill: FakeWindmill, cli: list[str]) -> Pusher:
    return Pusher(tree, windmill, cli)


@pytest.fixture(scope="session")
def first_push(cli: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the server holds after a first push."""
    with FakeWindmill() as served:
        Pusher(make_tree(tmp_path_factory.mktemp("tree")), served, cli)()
        return served.state()


@pytest.fixture
def pushed(push: Pusher, first_push: dict[str, Any]) -> Pusher:
    """After a first push."""
    push.windmill.restore(first_push)
    return push


@pytest.fixture
def settled(pushed: Pusher) -> Pusher:
    """After a first push, and the files are not what the test is about."""
    pushed.cli = NO_FILES
    return pushed


def test_the_whole_repository_goes_over_and_a_second_push_has_nothing_to_do(
    windmill: FakeWindmill, cli: list[str], tmp_path: Path
) -> None:
    key = tmp_path / "gateway-token"
    command = ["push", "--base-url", windmill.url, "--workspace", "chatbots", "--token", ADMIN]
    first = run_dev(*command, "--token-file", str(key), environment=os.environ | VALUES)
    held = windmill.workspaces["chatbots"]

    sources = {str(p.relative_to(ROOT))[:-3]: p.read_text() for p in ROOT.glob("[fu]/**/*.py") if "__" not in str(p)}
    assert {path: script["content"] for path, script in held.scripts.items()} == sources
    for path, script in held.scripts.items():
        metadata = yaml.safe_load((ROOT / f"{path}.script.yaml").read_text())
        assert script["lock"].strip() == (ROOT / f"{path}.script.lock").read_text().strip()
        assert (script["schema"], script["summary"]) == (metadata["schema"], metadata["summary"])
    flows = {str(p.parent.relative_to(ROOT)).removesuffix("__flow"): p for p in ROOT.glob("[fu]/**/flow.yaml")}
    assert held.flows.keys() == flows.keys()
    assert all(held.flows[path]["value"] == yaml.safe_load(file.read_text())["value"] for path, file in flows.items())
    schedules = {str(p.relative_to(ROOT)).removesuffix(".schedule.yaml") for p in ROOT.glob("f/**/*.schedule.yaml")}
    assert held.schedules.keys() == schedules and all(schedule["enabled"] for schedule in held.schedules.values())
    assert held.folders.keys() == {path.name for path in (ROOT / "f").iterdir() if path.is_dir()}
    assert all(folder["extra_perms"]["g/admins"] is True for folder in held.folders.values())
    assert all(folder["extra_perms"]["g/operators"] is False for folder in held.folders.values())
    assert held.groups.keys() == {"admins", "operators"}
    assert held.variables["f/lib/database_password"]["value"] == "first-word"
    assert held.resources["f/lib/database"]["value"]["password"] == "$var:f/lib/database_password"
    assert windmill.settings == {"retention_period_secs": 7 * 24 * 3600, "custom_tags": ["documents"]}

    (token,) = windmill.tokens
    assert windmill.tokens[token]["scopes"] == GATEWAY_SCOPES
    assert windmill.tokens[token]["workspace_id"] == "chatbots"
    assert key.read_text() == f"{token}\n" and stat.S_IMODE(key.stat().st_mode) == 0o600
    assert token not in first.stdout and ADMIN not in first.stdout

    windmill.changes.clear()
    second = run_dev(*command, "--token-file", str(key), environment=os.environ | dict.fromkeys(VALUES, ""))
    assert (second.stdout, windmill.changes) == ("nothing to do\n", [])


def test_check_says_what_would_change_and_changes_nothing(push: Pusher, windmill: FakeWindmill) -> None:
    said = push(check=True).splitlines()
    assert not push.done
    assert (windmill.changes, list(windmill.workspaces)) == ([], ["admins"])
    for line in ("create workspace shop", "create group operators", "create variable f/lib/database_password",
                 "keep runs for 7 days", "add f/ops/sweep.schedule.yaml", "create the gateway's token"):  # fmt: skip
        assert f"would {line}" in said


def test_check_ends_well_only_when_nothing_would_change(pushed: Pusher) -> None:
    assert (pushed(check=True), pushed.done) == ("nothing to do", True)
    pushed.edit("f/lib/ids.py", '"""', '"""Changed. ')
    assert pushed(check=True) == "would change f/lib/ids.py"
    assert not pushed.done and pushed.windmill.changes == []


def test_check_ends_with_status_1(windmill: FakeWindmill, cli: list[str]) -> None:
    command = ["push", "--base-url", windmill.url, "--workspace", "chatbots", "--token", ADMIN, "--check"]
    done = run_dev(*command, environment=os.environ | VALUES, check=False)
    assert done.returncode == 1 and "would create workspace chatbots" in done.stdout


def test_only_what_was_changed_or_deleted_goes_over(pushed: Pusher) -> None:
    pushed.edit("f/ops/queries.py", '"""', '"""Changed. ')
    for end in (".py", ".script.yaml", ".script.lock"):
        (pushed.tree / f"f/lib/ids{end}").unlink()
    said = pushed().splitlines()
    assert "  change f/ops/queries.py" in said and "  delete f/lib/ids.py" in said
    assert "warning: schemas, locks or hashes are not up to date: ./dev metadata" in said
    calls = [path for _, path, _ in pushed.windmill.changes if "/scripts/" in path]
    assert calls == ["/w/shop/scripts/archive/p/f/lib/ids", "/w/shop/scripts/create"]
    assert "Changed. " in pushed.held.scripts["f/ops/queries"]["content"]
    assert "f/lib/ids" not in pushed.held.scripts


def test_every_missing_value_is_named_and_nothing_is_done(push: Pusher, windmill: FakeWindmill) -> None:
    push.values = {"DATABASE_NAME": "chatbots"}
    with pytest.raises(
        BootstrapError,
        match="APP_PASSWORD, DATABASE_HOST, EXCHANGE_SIGNING_KEY, MANAGER_PASSWORD, MCP_SIGNING_KEY: set them",
    ):
        push()
    assert (windmill.changes, list(windmill.workspaces)) == ([], ["admins"])


def test_what_exists_keeps_its_value_unless_forced(settled: Pusher) -> None:
    settled.held.variables["f/agent/openai_api_key"]["value"] = "typed in by hand"
    settled.values |= {"APP_PASSWORD": "second-word"}
    assert settled() == "nothing to do"
    assert settled(force=True) == "update variable f/lib/database_password"
    assert settled.held.variables["f/lib/database_password"]["value"] == "second-word"
    assert settled.held.variables["f/agent/openai_api_key"]["value"] == "typed in by hand"
    settled.values = {}
    assert settled(force=True) == "nothing to do"


def test_a_resource_type_of_the_server_will_do_if_it_knows_our_properties(windmill: FakeWindmill) -> None:
    windmill.workspaces["shop"] = Workspace()
    names = ("host", "port", "user", "password", "dbname", "sslmode", "root_certificate_pem")
    shared = {"name": "postgresql", "description": "", "schema": {"properties": {name: {} for name in names}}}
    windmill.workspaces["admins"].types = {
        "postgresql": shared,
        "openai_compatible": {"name": "openai_compatible", "description": "", "schema": {"properties": {}}},
    }
    catalogue = bootstrap.read_catalogue(VALUES)
    bootstrap.apply(catalogue, windmill.url, "shop", ADMIN)
    assert windmill.workspaces["shop"].types.keys() == catalogue["resource_types"].keys() - {"postgresql"}
    assert windmill.workspaces["admins"].types["postgresql"] is shared
    assert bootstrap.apply(catalogue, windmill.url, "shop", ADMIN) == []


def test_a_changed_resource_type_is_updated_and_looked_at_again(settled: Pusher) -> None:
    settled.edit("resources/catalogue.yaml", "version: {type: string}", "version: {type: string, default: v24.0}")
    assert settled() == "update resource type whatsapp_cloud_api"
    assert settled() == "nothing to do"

    def forgetful(call: Call) -> None:
        if call.path.endswith("/resources/type/update/whatsapp_cloud_api"):
            call.body = {}

    settled.windmill.before = forgetful
    settled.edit("resources/catalogue.yaml", "default: v24.0", "default: v25.0")
    with pytest.raises(BootstrapError, match="took the change of resource type whatsapp_cloud_api and did not"):
        settled()


def test_a_wrong_token_is_named(push: Pusher) -> None:
    with pytest.raises(PushError, match="does not accept the token: GET /users/whoami: 401 Unauthorized"):
        push(token="wrong")


def test_a_server_that_is_not_there_or_not_windmill_is_named(push: Pusher, httpserver: Any) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(WindmillError, match=f"Windmill at {nowhere} cannot be reached"):
        push(url=nowhere)
    httpserver.expect_request("/api/version").respond_with_data("<html>Welcome</html>")
    with pytest.raises(WindmillError, match="not as Windmill does: is it the right address"):
        push(url=httpserver.url_for(""))
    httpserver.clear()
    httpserver.expect_request("/api/version").respond_with_data(
        "", status=301, headers={"location": "https://windmill.example.org/api/version"}
    )
    with pytest.raises(WindmillError, match=r"leads on to https://windmill\.example\.org"):
        push(url=httpserver.url_for(""))
    with pytest.raises(WindmillError, match=r"cannot be used|cannot be reached"):
        push(url="windmill.example.org")


def test_who_may_not_push_is_told_before_anything_is_done(settled: Pusher) -> None:
    settled.windmill.add_user("his", "jo")
    with pytest.raises(PushError, match="jo is no administrator of the workspace shop"):
        settled(token="his")
    settled.windmill.users["his"]["stranger"] = True
    with pytest.raises(PushError, match="the token's user does not belong to the workspace shop"):
        settled(token="his")
    with pytest.raises(PushError, match=r"create workspace other: .*403 Only superadmin can create workspaces"):
        settled(token="his", workspace="other")
    assert [path for _, path, _ in settled.windmill.changes if path != "/workspaces/create"] == []


def test_retention_is_only_shortened_and_only_by_a_superadmin(settled: Pusher) -> None:
    settled.windmill.settings["retention_period_secs"] = 3600
    assert settled() == "nothing to do"
    settled.windmill.settings["retention_period_secs"] = 30 * 24 * 3600
    settled.windmill.add_user("hers", "admin")
    assert settled(token="hers", no_token=True).startswith("note: how long runs are kept")
    assert settled.windmill.settings["retention_period_secs"] == 30 * 24 * 3600
    assert settled() == "keep runs for 7 days"


def test_a_tag_is_made_known_and_missed_where_nobody_listens(settled: Pusher) -> None:
    script = next((settled.tree / "f").glob("**/*.script.yaml"))
    script.write_text(script.read_text() + "tag: large\n")
    settled.windmill.settings["custom_tags"] = ["gpu"]
    told = settled(force=True)
    assert "make the tags large known to the server" in told
    assert "warning: no worker listens to the tag large, what has it waits: docs/windmill.md" in told
    assert settled.windmill.settings["custom_tags"] == ["gpu", "large"]
    settled.windmill.worker_tags.add("large")
    assert settled() == "nothing to do"


def test_a_refused_group_stops_nothing(settled: Pusher) -> None:
    """The Community Edition has three groups in all."""
    settled.windmill.workspaces["other"] = Workspace(groups={"admins": {}, "operators": {}})
    del settled.held.groups["operators"], settled.held.variables["f/agent/openai_api_key"]
    said = settled().splitlines()
    assert said[0].startswith("warning: could not create group operators: POST /w/shop/groups/create: 400")
    assert said[1:] == ["create variable f/agent/openai_api_key"]


def test_a_push_that_ended_half_way_is_finished_by_the_next(push: Pusher, windmill: FakeWindmill) -> None:
    def refuse(call: Call) -> None:
        if call.path.endswith("/scripts/create") and call.body["path"] == "f/ops/queries":
            raise Refusal(500, "the disk is full")

    windmill.before = refuse
    with pytest.raises(
        SyncError, match=r"(?s)the next push goes on from there.*f/ops/queries.*the disk is full"
    ) as caught:
        push()
    assert ADMIN not in str(caught.value) and "node:internal" not in str(caught.value)
    assert "f/lib/ids" in push.held.scripts and "f/ops/sweep" not in push.held.scripts
    assert windmill.tokens == {}
    # The repository has gone on meanwhile: what the half push left is still known as ours.
    windmill.before = lambda call: None
    push.edit("f/lib/ids.py", '"""', '"""Changed. ')
    assert "change f/lib/ids.py" in push()
    assert "f/ops/sweep" in push.held.scripts and len(windmill.tokens) == 1


def test_what_was_changed_in_windmill_is_shown_and_not_overwritten(pushed: Pusher) -> None:
    held = pushed.held
    held.scripts["f/lib/ids"]["content"] += "\n# by hand\n"
    held.flows["f/whatsapp/webhook_processor"]["summary"] = "By hand"
    held.scripts["f/ops/by_hand"] = held.scripts["f/ops/queries"] | {"path": "f/ops/by_hand"}
    del held.schedules["f/ops/sweep"]
    pushed.edit("f/ops/queries.py", '"""', '"""Changed. ')
    with pytest.raises(PushError) as caught:
        pushed()
    told = str(caught.value)
    for line in ("change f/lib/ids.py", "change f/whatsapp/webhook_processor__flow/flow.yaml",
                 "delete f/ops/by_hand.py", "add f/ops/sweep.schedule.yaml"):  # fmt: skip
        assert f"  {line}\n" in told
    assert "change f/ops/queries.py" not in told
    assert pushed.windmill.changes == []

    pushed(force=True)
    assert "by hand" not in held.scripts["f/lib/ids"]["content"]
    assert "f/ops/by_hand" not in held.scripts and "f/ops/sweep" in held.schedules


def test_the_command_it_names_brings_the_changes_here(pushed: Pusher) -> None:
    pushed.held.scripts["f/lib/ids"]["content"] += "\n# by hand\n"
    with pytest.raises(PushError) as caught:
        pushed()
    line = next(line for line in str(caught.value).splitlines() if " sync pull " in line)
    # Relative to the repository, where the CLI is; the tree of this test has none.
    command = [word.replace("$TOKEN", ADMIN) for word in shlex.split(line)]
    subprocess.run(command, cwd=pushed.tree, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert (pushed.tree / "f/lib/ids.py").read_text().endswith("# by hand\n")
    assert pushed() == "nothing to do"
    pushed.edit("f/lib/ids.py", "# by hand", "# and on")
    assert pushed(check=True) == "would change f/lib/ids.py"


def test_a_step_that_was_changed_and_one_that_was_added_in_the_editor_come_back(pushed: Pusher) -> None:
    """docs/change-a-flow.md, with the real CLI."""
    held, flow_file = pushed.held, pushed.tree / "f/whatsapp/webhook_processor__flow/flow.yaml"
    steps = held.flows["f/whatsapp/webhook_processor"]["value"]["modules"]
    steps[2]["retry"]["constant"]["attempts"] = 7
    given = {"turn": {"type": "javascript", "expr": "results.load_context.turn"}}
    step = {"type": "script", "path": "f/whatsapp/note_it", "input_transforms": given}
    steps.insert(1, {"id": "note_it", "summary": "Note it", "value": step})
    schema = {"type": "object", "properties": {"turn": {"type": "object"}}, "required": ["turn"]}
    script = {"path": "f/whatsapp/note_it", "content": "def main(turn: dict):\n    return turn\n", "schema": schema}
    held.scripts["f/whatsapp/note_it"] = held.scripts["f/ops/queries"] | script | {"lock": "# py: 3.11\n"}
    with pytest.raises(PushError) as caught:
        pushed()
    for line in ("delete f/whatsapp/note_it.py", "change f/whatsapp/webhook_processor__flow/flow.yaml"):
        assert f"  {line}\n" in str(caught.value)
    guide = (ROOT / "docs" / "change-a-flow.md").read_text()
    assert str(caught.value).splitlines()[0] in guide

    old = flow_file.read_text()
    line = next(line for line in str(caught.value).splitlines() if " sync pull " in line)
    command = [word.replace("$TOKEN", ADMIN) for word in shlex.split(line)]
    dry = ["--dry-run" if word == "--yes" else word for word in command]
    subprocess.run(dry, cwd=pushed.tree, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert flow_file.read_text() == old, "only shown"
    subprocess.run(command, cwd=pushed.tree, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert pushed() == "nothing to do"
    pulled = yaml.safe_load(flow_file.read_text())
    assert [module["id"] for module in pulled["value"]["modules"]][:2] == ["load_context", "note_it"]
    assert "#" in old and "#" not in flow_file.read_text(), "comments do not come back, as the guide says"
    assert (pushed.tree / "f/whatsapp/note_it.py").read_text() == script["content"]

    # By hand: the old file with the change in it. It means the same, so there is nothing to push.
    retry = "constant: {{attempts: {}, seconds: 2}}\n        exponential: {{attempts: 6, multiplier: 1,"
    by_hand = old.replace(retry.format(3), retry.format(7))
    added = "    - id: note_it\n      summary: Note it\n      value:\n        type: script\n"
    added += "        path: f/whatsapp/note_it\n        input_transforms:\n"
    added += "          turn: {type: javascript, expr: results.load_context.turn}\n"
    flow_file.write_text(by_hand.replace("    - id: generate_reply\n", f"{added}    - id: generate_reply\n"))
    assert pushed() == "nothing to do"


def test_a_workspace_that_was_filled_by_other_means_is_not_overwritten(pushed: Pusher) -> None:
    push = pushed
    del push.held.resources[sync.MEMORY]
    push.edit("f/lib/ids.py", '"""', '"""Changed. ')
    with pytest.raises(PushError, match=r"or never pushed from here(?s:.*)change f/lib/ids.py"):
        push()
    push.edit("f/lib/ids.py", "Changed. ", "")
    assert push() == "nothing to do"
    push.edit("f/lib/ids.py", '"""', '"""Changed. ')
    assert push(check=True) == "would change f/lib/ids.py"


def test_what_windmill_writes_in_its_own_way_is_told_and_still_known_as_ours(pushed: Pusher) -> None:
    def normalise(call: Call) -> None:
        if "/schedules/update/" in call.path:
            call.body["timezone"] = "Etc/UTC"

    pushed.windmill.before = normalise
    pushed.edit("f/ops/sweep.schedule.yaml", "timezone: UTC", "timezone: Europe/Madrid")
    assert "warning: Windmill gives back other than was pushed: f/ops/sweep.schedule.yaml" in pushed()
    assert pushed(check=True) == "would change f/ops/sweep.schedule.yaml"


BREAKAGES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "syntax": (
        "f/ops/sweep.py",
        lambda text: text + "\ndef broken(:\n",
        r"f/ops/sweep\.py, line \d+: invalid syntax",
    ),
    "key_of_a_module": (
        "f/whatsapp/webhook_processor__flow/flow.yaml",
        lambda text: text.replace("stop_after_if: {", "stop_afterif: {", 1),
        r"webhook_processor__flow/flow\.yaml: value\.modules\[0\] \(load_context\)\.stop_afterif",
    ),
    "key_of_a_flow": (
        "f/whatsapp/webhook_processor__flow/flow.yaml",
        lambda text: text + "\ntimeuot: 3\n",
        r"webhook_processor__flow/flow\.yaml: flow\.timeuot",
    ),
    "yaml": ("f/ops/sweep.schedule.yaml", lambda text: text + "\n  - [", r"sweep\.schedule\.yaml: not YAML"),
    "cron": (
        "f/ops/sweep.schedule.yaml",
        lambda text: text.replace("*/30 * * * * *", "every now and then"),
        r"sweep\.schedule\.yaml: schedule: 'every now and then'",
    ),
}


def test_a_script_without_its_metadata_is_named(push: Pusher, windmill: FakeWindmill, tree: Path) -> None:
    (tree / "f/lib/ids.script.lock").unlink()
    with pytest.raises(PushError, match=r"f/lib/ids\.script\.lock is not there: \./dev metadata"):
        push()
    assert windmill.changes == []


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_file_is_named_before_anything_is_pushed(
    name: str, push: Pusher, windmill: FakeWindmill, tree: Path
) -> None:
    path, breaks, message = BREAKAGES[name]
    whole = (tree / path).read_text()
    (tree / path).write_text(breaks(whole))
    with pytest.raises(PushError, match=message):
        push()
    assert (windmill.changes, list(windmill.workspaces)) == ([], ["admins"])
    (tree / path).write_text(whole)
    assert sync.problems(tree) == []


def test_a_question_of_the_cli_has_nobody_to_answer(pushed: Pusher, tmp_path: Path) -> None:
    asks = ["sh", "-c", "echo 'Really?'; read answer || exit 3"]
    with pytest.raises(SyncError, match=r"(?s)`wmill sync push --dry-run --json-output` failed.*Really\?"):
        sync.Files(pushed.tree, Windmill(pushed.windmill.url, "shop", ADMIN), asks).pending()


def test_the_gateways_token_is_made_once_and_again_only_when_asked(settled: Pusher) -> None:
    push, windmill = settled, settled.windmill
    windmill.tokens.clear()
    assert "token" not in push(no_token=True) and windmill.tokens == {}
    said = push()
    (first,) = windmill.tokens
    assert f"shown this once: {first}" in said
    assert push() == "nothing to do"
    key = push.tree / "key"
    with pytest.raises(PushError, match=r"which Windmill does not show again.*--new-token makes another"):
        push(token_file=key)
    with pytest.raises(PushError, match="there is no such folder"):
        push(token_file=push.tree / "nowhere" / "key", new_token=True)
    push(token_file=key, new_token=True)
    (second,) = windmill.tokens
    assert second != first and key.read_text().strip() == second
    # Rights that a later version needs: another token, and the one in use stays.
    windmill.tokens[second]["scopes"] = GATEWAY_SCOPES[:1]
    push()
    assert len(windmill.tokens) == 2


def test_the_smoke_test_runs_what_the_schedules_start(settled: Pusher) -> None:
    assert "smoke test: f/ops/sweep works" in settled(smoke_test=True, check=True)
    runs = {path.split("/jobs/run_wait_result/p/")[1]: body for _, path, body in settled.windmill.changes}
    assert runs["f/ops/sweep"] == {"database": "$res:f/lib/database"}
    schedules = [yaml.safe_load(path.read_text()) for path in ROOT.glob("f/**/*.schedule.yaml")]
    assert runs.keys() <= {schedule["script_path"] for schedule in schedules}
    settled.windmill.failing.add("f/ops/sweep")
    with pytest.raises(PushError, match=r"smoke test: f/ops/sweep failed: .*connection refused"):
        settled(smoke_test=True)
