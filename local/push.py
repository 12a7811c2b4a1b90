"""Sets up a Windmill workspace: everything that is needed, in one command, any number of times."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local import bootstrap
from local.bootstrap import Change
from local.credentials import write_private
from local.sync import FileChange, Files, problems
from local.windmill import Windmill, WindmillError

#: All that the gateway may do.
GATEWAY_SCOPES = ["jobs:run:flows:f/whatsapp/webhook_processor", "jobs:run:scripts:f/whatsapp/store_events"]
RETENTION = "/settings/global/retention_period_secs"
CUSTOM_TAGS = "/settings/global/custom_tags"
DAY = 24 * 60 * 60
SMOKE_SECONDS = 180


class PushError(Exception):
    """The push stopped; the message says why and what to do. What was done stays, and a second run goes on."""


@dataclass(frozen=True)
class Options:
    """What a push is to do; `replace_values` makes variables and resources those of the catalogue, empty ones too."""

    force: bool = False
    replace_values: bool = False
    check: bool = False
    token_file: Path | None = None
    new_token: bool = False
    no_token: bool = False
    smoke_test: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of every push, whoever signs in."""
    parser.add_argument("--check", action="store_true", help="only say what would change; exit status 1 if anything")
    parser.add_argument(
        "--force",
        action="store_true",
        help="overwrite what was changed in Windmill, and variables and resources whose values are set here",
    )
    parser.add_argument("--new-token", action="store_true", help="make the gateway another token and end its old one")
    parser.add_argument("--smoke-test", action="store_true", help="then run once what the schedules start")


class Push:
    """One run of `./dev push`."""

    def __init__(
        self,
        root: Path,
        windmill: Windmill,
        catalogue: Mapping[str, Any],
        wmill: list[str],
        options: Options,
        say: Callable[[str], None] = print,
    ) -> None:
        """`wmill` starts the CLI; `catalogue` may lack values of what exists (`complete=False`)."""
        self._root = root
        self._windmill = windmill
        self._catalogue = catalogue
        self._files = Files(root, windmill, wmill)
        self._options = options
        self._say = say
        self._user: dict[str, Any] = {}

    def run(self) -> bool:
        """Make everything that is missing, or with `check` only say what is. Returns whether nothing is (left) to do.

        Raises PushError, BootstrapError, SyncError or WindmillError.
        """
        if broken := problems(self._root):
            raise PushError("\n".join(["nothing was pushed:", *broken]))
        open_ = 0
        for change in self._changes():
            if self._options.check:
                self._say(f"would {change.text}")
                open_ += 1
                continue
            try:
                change.make()
            except WindmillError as error:
                if not change.optional:
                    raise PushError(f"{change.text}: {error}") from error
                self._say(f"warning: could not {change.text}: {error}")
            else:
                self._say(change.text)
                open_ += 1
        self._warn_of_workers()
        if self._options.smoke_test:
            self._smoke_test()
        if not open_:
            self._say("nothing to do")
        return not open_ or not self._options.check

    def _changes(self) -> Iterator[Change]:
        """In the order in which one needs the other; each is made before the next is asked for."""
        self._sign_in()
        windmill = self._windmill
        fresh = windmill.post("/workspaces/exists", {"id": windmill.workspace}).strip() != "true"
        if fresh:
            bootstrap.check_values(self._catalogue, windmill, fresh=True)
            body = {"id": windmill.workspace, "name": windmill.workspace}
            yield Change(f"create workspace {windmill.workspace}", lambda: windmill.post("/workspaces/create", body))
            fresh = self._options.check
        if not fresh:
            self._check_rights()
        yield from self._group_changes(fresh)
        replace = self._options.replace_values
        yield from bootstrap.changes(
            self._catalogue,
            windmill,
            force=self._options.force or replace,
            clear=replace,
            fresh=fresh,
            root=self._root,
        )
        yield from self._retention_changes()
        yield from self._tag_changes()
        yield from self._file_changes(fresh)
        yield from self._token_changes()

    def _sign_in(self) -> None:
        self._windmill.version()
        try:
            self._user = self._windmill.get("/users/whoami")
        except WindmillError as error:
            if error.status in (401, 403):
                raise PushError(f"{self._windmill.url} does not accept the token: {error}") from None
            raise

    def _check_rights(self) -> None:
        try:
            member = self._windmill.get(self._windmill.path("/users/whoami"))
        except WindmillError as error:
            if error.status in (401, 403, 404):
                name = self._windmill.workspace
                raise PushError(f"the token's user does not belong to the workspace {name}: {error}") from None
            raise
        if not (member.get("is_admin") or self._user.get("super_admin")):
            raise PushError(
                f"{member.get('username')} is no administrator of the workspace {self._windmill.workspace}:"
                " a push by somebody else would stop half-way"
            )

    def _group_changes(self, fresh: bool) -> Iterator[Change]:
        windmill = self._windmill
        known = [] if fresh else windmill.get(windmill.path("/groups/listnames"))
        for name, summary in self._catalogue["groups"].items():
            if name not in known:
                body = {"name": name, "summary": summary}
                yield Change(
                    f"create group {name}",
                    lambda body=body: windmill.post(windmill.path("/groups/create"), body),  # type: ignore[misc]
                    # The Community Edition has three groups in all, whatever the number of workspaces.
                    optional=True,
                )

    def _retention_changes(self) -> Iterator[Change]:
        """How long runs are kept is one setting of the whole server. It is only ever shortened here."""
        days: int = self._catalogue["run_retention_days"]
        if not self._user.get("super_admin"):
            self._say("note: how long runs are kept is a setting that only a superadmin's token may read and change")
            return
        current = self._windmill.get(RETENTION)
        if not isinstance(current, int) or current <= 0 or current > days * DAY:
            yield Change(f"keep runs for {days} days", lambda: self._windmill.post(RETENTION, {"value": days * DAY}))

    def _tag_changes(self) -> Iterator[Change]:
        """A server runs only what has a tag that it knows; which those are is one setting of the whole server."""
        known = self._windmill.get("/workers/custom_tags")
        missing = [tag for tag in self._tags if tag not in known]
        if missing and not self._user.get("super_admin"):
            self._say(f"note: only a superadmin's token can make the tags {', '.join(missing)} known to the server")
        elif missing:
            yield Change(
                f"make the tags {', '.join(missing)} known to the server",
                lambda: self._windmill.post(CUSTOM_TAGS, {"value": [*known, *missing]}),
            )

    def _warn_of_workers(self) -> None:
        """What has a tag that no worker listens to waits for ever, and nothing else tells."""
        if self._tags:
            listened = self._windmill.get(f"/workers/exists_workers_with_tags?tags={','.join(self._tags)}")
            for tag in self._tags:
                if not listened.get(tag):
                    self._say(f"warning: no worker listens to the tag {tag}, what has it waits: docs/windmill.md")

    @property
    def _tags(self) -> list[str]:
        """Tags of the workspace's scripts, each for a group of workers."""
        scripts = (yaml.safe_load(file.read_text()) for file in sorted(self._root.glob("[fu]/**/*.script.yaml")))
        return sorted({script["tag"] for script in scripts if script.get("tag")})

    def _file_changes(self, fresh: bool) -> Iterator[Change]:
        pending = self._files.pending(fresh=fresh)
        if not pending:
            if not self._options.check:
                self._files.remember()
            return
        if not (fresh or self._options.force) and (theirs := self._files.changed_by_others(pending)):
            raise PushError(self._refusal(theirs))
        if self._options.check:
            yield from (Change(str(change), lambda: None) for change in pending)
            return
        yield Change(_files_text(pending), self._push_files)

    def _push_files(self) -> None:
        for warning in self._files.push():
            self._say(f"warning: {warning}")

    def _refusal(self, theirs: list[FileChange]) -> str:
        return "\n".join(
            [
                "changed in Windmill since the last push, or never pushed from here; this push would",
                *_lines(theirs),
                "nothing of it was overwritten. To bring it here, look at it with git and push again:",
                f"  {self._files.pull_command()}",
                "To overwrite it: ./dev push with --force.",
            ]
        )

    def _token_changes(self) -> Iterator[Change]:
        options, windmill = self._options, self._windmill
        if options.no_token:
            return
        label = f"gateway-{windmill.workspace}"
        tokens = windmill.get("/users/tokens/list?exclude_ephemeral=true&per_page=1000")
        old = [token for token in tokens if token.get("label") == label]
        fits = any(sorted(token.get("scopes") or []) == sorted(GATEWAY_SCOPES) for token in old)
        if fits and not options.new_token:
            if options.token_file and not options.token_file.exists():
                raise PushError(
                    f"the gateway has a token, which Windmill does not show again, and {options.token_file} is not"
                    " there: --new-token makes another and ends the old one"
                )
            return
        if options.token_file and not options.token_file.absolute().parent.is_dir():
            raise PushError(f"{options.token_file}: there is no such folder")

        def make() -> None:
            body = {"label": label, "scopes": GATEWAY_SCOPES, "workspace_id": windmill.workspace}
            token = windmill.post("/users/tokens/create", body).strip()
            if options.token_file:
                write_private(options.token_file, f"{token}\n")
            else:
                self._say(f"the gateway's WINDMILL_TOKEN, shown this once: {token}")
            # Without being asked to, no token is ended that a gateway may be using.
            for ended in old if options.new_token else []:
                windmill.delete(f"/users/tokens/delete/{ended['token_prefix']}")

        where = f" in {options.token_file}" if options.token_file else ""
        yield Change(f"{'replace' if old and options.new_token else 'create'} the gateway's token{where}", make)

    def _smoke_test(self) -> None:
        """Run once, to the end, what the schedules start: workers, packages, resources and database work."""
        windmill = self._windmill
        for path in sorted(self._root.glob("[fu]/**/*.schedule.yaml")):
            schedule = yaml.safe_load(path.read_text())
            kind = "f" if schedule["is_flow"] else "p"
            target = windmill.path(f"/jobs/run_wait_result/{kind}/{schedule['script_path']}")
            try:
                windmill.post(target, schedule.get("args") or {}, SMOKE_SECONDS)
            except WindmillError as error:
                raise PushError(f"smoke test: {schedule['script_path']} failed: {error}") from None
            self._say(f"smoke test: {schedule['script_path']} works")


def _files_text(pending: list[FileChange]) -> str:
    return "\n".join([f"push {len(pending)} files:", *_lines(pending)])


def _lines(changes: list[FileChange]) -> list[str]:
    return [f"  {change}" for change in changes]
