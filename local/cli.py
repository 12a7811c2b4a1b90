"""The verbs of `./dev`."""

import argparse
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo

from db import backup, manage, server, verify
from f.knowledge.documents import ExtractionError, Limits
from f.knowledge.extraction import extract
from f.lib.caller_tokens import sign
from local import admin, api, bootstrap, control, database, evaluation, golden, knowledge, metadata, push, readers, say
from local.answers import AnswersError
from local.credentials import Credentials
from local.install import ROOT, InstallError, uv, wmill
from local.postgres_files import ClusterError, packaged_binaries
from local.running import StackError, find_running
from local.settings import SettingsError, full_environment, load
from local.sync import SyncError
from local.windmill import Windmill, WindmillError

#: Processes for the whole suite: each has a PostgreSQL, engines and a whole system of its own.
MOST_TEST_PROCESSES = 4
PROMISES = "tests/promises"

#: What a person is told in one line; anything else is a fault of ours and shows its trace.
EXPECTED = (
    SettingsError,
    InstallError,
    ClusterError,
    server.DatabaseError,
    bootstrap.BootstrapError,
    push.PushError,
    SyncError,
    WindmillError,
    StackError,
    say.SayError,
    evaluation.EvaluationError,
    golden.QuestionsError,
    AnswersError,
    readers.ReaderError,
    admin.AdminError,
    api.CallError,
)

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    # Our own children run in the repository; those of the engine must not see it by accident.
    if os.environ.get("PYTHONPATH") == str(ROOT):
        del os.environ["PYTHONPATH"]
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.takes_rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return int(options.run(options))
    except EXPECTED as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev",
        description="Run, try and test Millrace on this machine.",
        epilog="Ports and places are environment variables, also read from .env: see .env.example.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, run: Verb, help_: str, *, takes_rest: bool = False) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_, description=help_, add_help=not takes_rest, allow_abbrev=False)
        added.set_defaults(run=run, takes_rest=takes_rest)
        return added

    up = verb("up", _up, "start everything; Ctrl-C stops it")
    up.add_argument("--detach", action="store_true", help="return once it is ready; it goes on in the background")
    verb("down", _down, "stop what `up` started")
    verb("status", _status, "what runs; exit status 1 unless all of it works")
    logs = verb("logs", _logs, "the ends of the logs")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    logs.add_argument(
        "name", nargs="?", help="postgres, engine, gateway, simulator, a tool server or up (default: all)"
    )
    says = verb("say", _say, "send a message to a chatbot as a customer would and print the reply")
    says.add_argument("text")
    says.add_argument("--from", dest="sender", default=say.SENDER, metavar="NUMBER", help="default: %(default)s")
    says.add_argument("--to", default="bicis-ribera", metavar="CHATBOT", help="slug, name or id (default: %(default)s)")
    says.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="default: %(default)s")
    says.add_argument("--json", action="store_true", help="reply, outcome, wamid, steps, tools, tokens, ms as JSON")
    admin.add_arguments(verb("admin", _admin, "tenants: create and change them, connect numbers, see usage"))
    knowledge.add_arguments(verb("knowledge", _knowledge, "documents of a chatbot: add, list, search and delete them"))
    token = verb("mcp-token", _mcp_token, "a token with which an MCP client may use the tools of a chatbot")
    token.add_argument("--chatbot", required=True, help="its slug or id")
    token.add_argument("--contact", help="number or id of the person on whose behalf tools are called")
    token.add_argument(
        "--hours", type=float, default=1, help="how long it is good for (default: %(default)s, at most 24)"
    )
    extracts = verb("extract", _extract, "show what the bots would know of a document, as Markdown")
    extracts.add_argument("file", type=Path, metavar="FILE", help="PDF, DOCX, HTML, Markdown or text, at most 20 MB")
    extracts.add_argument("--json", action="store_true", help="pages and warnings as JSON")
    verb("env", _env, "addresses, ids and secrets of this installation as shell variables")
    verb("test", _test, "run the tests; further arguments go to pytest", takes_rest=True).add_argument(
        "--all", action="store_true", help="the slow tests as well"
    )
    evaluation.add_arguments(
        verb(
            "eval",
            _eval,
            "how well the knowledge finds what it was told, and the bots answer; 1 when a target is missed",
        )
    )
    _add_chaos(verb("chaos", _chaos, "break the system on purpose and report which promises it keeps"))
    verb("check", _check, "format, lint, types, wmill lint, metadata, structure, secrets")
    _add_database(verb("db", _db, "the database of DATABASE_URL, else of this installation"))
    verb("metadata", _metadata, "write schemas, locks and hashes of the Windmill scripts")
    verb("lock", _lock, "resolve requirements.lock anew")
    _add_push(verb("push", _push, "set up a Windmill workspace, or bring it up to date; any number of times"))
    verb("engine", _engine, "serve a Windmill workspace folder alone (--help lists its arguments)", takes_rest=True)
    return parser


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=["reset", "migrate", "seed", "verify", "backup", "restore"],
        help="reset: drop it and make it anew from create.sql and seed.sql; migrate: apply new migrations;"
        " seed: add the demo tenants; verify: compare it with create.sql and check roles and row-level security;"
        " backup: write it into FILE and FILE.manifest.json; restore: make it from FILE where it is empty, and count",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="of backup and restore")
    parser.add_argument("--yes", action="store_true", help="reset: do not ask")
    parser.add_argument("--no-seed", action="store_true", help="reset: without the demo tenants")


def _add_chaos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--conversations",
        type=int,
        default=10_000,
        metavar="N",
        help="about so many conversations in all scenarios together (default: %(default)s)",
    )
    parser.add_argument("--hours", type=float, default=0.0, metavar="H", help="let the load go on at least so long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as well")
    parser.add_argument("--only", action="append", metavar="NAME", help="this scenario only; may be given again")
    parser.add_argument("--fresh", action="store_true", help="do again what earlier runs of this size have done")
    parser.add_argument("--list", action="store_true", help="name the scenarios and what they try")


def _add_push(parser: argparse.ArgumentParser) -> None:
    for name, what in (
        ("base-url", "address of the Windmill server"),
        ("workspace", "id of the workspace; made if it is not there"),
        ("token", "token of an administrator; of a superadmin for a new workspace and the retention of runs"),
    ):
        parser.add_argument(f"--{name}", required=True, help=what)
    push.add_options(parser)
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="write the gateway's token there (mode 0600)")
    parser.add_argument(
        "--no-token", action="store_true", help="make the gateway no token: where output is kept, in CI"
    )


def _up(options: argparse.Namespace) -> int:
    environment = full_environment()
    if options.detach:
        control.serve_in_background(load(environment))
    else:
        control.serve(load(environment), environment)
    return 0


def _down(_: argparse.Namespace) -> int:
    control.stop_running(load(full_environment()))
    return 0


def _status(_: argparse.Namespace) -> int:
    return 0 if control.show_status(load(full_environment())) else 1


def _logs(options: argparse.Namespace) -> int:
    control.show_logs(load(full_environment()), options.name, options.follow)
    return 0


def _say(options: argparse.Namespace) -> int:
    environment = full_environment()
    url = environment.get("SIMULATOR_URL") or control.variables(load(environment))["SIMULATOR_URL"]
    answer = say.say(url, options.text, sender=options.sender, chatbot=options.to, seconds=options.timeout)
    print(say.as_text(answer, options.json))
    return 0


def _admin(options: argparse.Namespace) -> int:
    return admin.run(options, full_environment())


def _knowledge(options: argparse.Namespace) -> int:
    return knowledge.run(options, full_environment())


def _mcp_token(options: argparse.Namespace) -> int:
    if not 0 < options.hours <= 24:
        raise SettingsError("--hours must be more than 0 and at most 24")
    settings = load(full_environment())
    credentials = Credentials.load(settings.data_dir)
    running = find_running(settings.data_dir)
    with database.reachable(running.settings if running else settings, credentials) as databases:
        caller = database.caller(databases.owner_url, options.chatbot, options.contact)
    print(sign(caller, credentials.mcp_signing_key, options.hours * 3600))
    return 0


def _eval(options: argparse.Namespace) -> int:
    return evaluation.main(options, full_environment())


def _extract(options: argparse.Namespace) -> int:
    try:
        with options.file.open("rb") as file:
            # One byte more than is allowed is enough to know.
            extraction = extract(file.read(Limits().file_bytes + 1), options.file.name)
    except OSError as error:
        print(f"dev: {options.file}: {error.strerror}", file=sys.stderr)
        return 1
    except ExtractionError as error:
        print(json.dumps(error.as_dict(), ensure_ascii=False))
        return 1
    if options.json:
        print(json.dumps(extraction.as_dict(), ensure_ascii=False))
        return 0
    print(extraction.markdown)
    for warning in extraction.warnings:
        print(f"dev: {warning}", file=sys.stderr)
    return 0


def _env(_: argparse.Namespace) -> int:
    control.show_variables(load(full_environment()))
    return 0


def _test(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "pytest", "-m", "not live" if options.all else "not live and not slow"]
    if options.rest:
        return subprocess.run([*command, *options.rest], cwd=ROOT, check=False).returncode
    # All of it: a file here, a file there, and the promises afterwards, which are about time, with nobody beside them.
    processes = str(max(2, min(MOST_TEST_PROCESSES, os.cpu_count() or 1)))
    shared = ["-n", processes, "--dist", "loadfile", "--no-loadscope-reorder", f"--ignore={PROMISES}"]
    parts = (shared, [PROMISES])
    return max(subprocess.run([*command, *part], cwd=ROOT, check=False).returncode for part in parts)


def _chaos(options: argparse.Namespace) -> int:
    from local.chaos import run as chaos  # a second that no other verb needs

    # However it is ended, its installation ends with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = load(full_environment())
    return chaos.main(options, settings.data_dir / "chaos", settings.real_windmill)


def _check(_: argparse.Namespace) -> int:
    from local import check  # needs detect-secrets, which only who develops has

    return 0 if check.run_all() else 1


def _db(options: argparse.Namespace) -> int:
    if (options.action in ("backup", "restore")) != (options.file is not None):
        raise SettingsError("backup and restore need a FILE, and nothing else does")
    environment = full_environment()
    settings = load(environment)
    credentials = Credentials.load(settings.data_dir)
    names = {role: f"{role.upper()}_PASSWORD" for role in ("app", "manager", "backup")}
    passwords = {role: password for role, name in names.items() if (password := environment.get(name))}
    running = find_running(settings.data_dir)
    with database.reachable(running.settings if running else settings, credentials) as databases:
        url = databases.owner_url
        is_local = settings.database_url is None
        if options.action == "reset":
            if not (options.yes or is_local or environment.get("CI") or _confirmed(url)):
                print("nothing was changed")
                return 1
            manage.reset(url, passwords=passwords, seeded=not options.no_seed)
            print(f"reset {server.database_name(url)}")
        elif options.action == "migrate":
            applied = manage.migrate(url, passwords=passwords)
            print("\n".join(f"applied {migration.path.name}" for migration in applied) or "nothing to apply")
        elif options.action == "seed":
            manage.seed(url)
            print("seeded")
        elif options.action == "backup":
            password = credentials.backup_password if is_local or running else environment.get("BACKUP_PASSWORD")
            if not password:
                raise SettingsError("BACKUP_PASSWORD is not set: a backup is taken by the role backup")
            reader = make_conninfo(url, user="backup", password=password)
            print(_counted(backup.backup(reader, options.file, packaged_binaries() / "pg_dump"), "backed up"))
            return 0
        elif options.action == "restore":
            restored = backup.restore(url, options.file, packaged_binaries() / "pg_restore", passwords=passwords)
            print(_counted(restored, "restored and counted"))
        else:
            problems = verify.problems(url, packaged_binaries() / "pg_dump")
            print("\n".join(problems) or "the database is what create.sql says")
            return 1 if problems else 0
        if is_local or running:
            database.grant_access(url, credentials)
    return 0


def _counted(manifest: backup.Manifest, what: str) -> str:
    return f"{what}: {sum(manifest.rows.values())} rows in {len(manifest.rows)} tables, taken {manifest.taken_at}"


def _confirmed(url: str) -> bool:
    name = server.database_name(url)
    if not sys.stdin.isatty():
        print(f"dev: dropping {name} needs --yes where nobody can be asked", file=sys.stderr)
        return False
    return input(f"Drop the database {name} with everything in it? Type its name: ") == name


def _metadata(_: argparse.Namespace) -> int:
    metadata.generate(ROOT, wmill(), uv())
    return 0


def _lock(_: argparse.Namespace) -> int:
    command = [uv(), "pip", "compile", "--generate-hashes", "--universal", "--python-version", "3.11", "--quiet"]
    command += ["--no-emit-index-url", "--custom-compile-command", "./dev lock", "--upgrade"]
    for scope in (
        ["pyproject.toml", "--group", "dev", "--output-file", "requirements.lock"],
        ["--group", "image", "--constraints", "requirements.lock", "--output-file", "docker/requirements.lock"],
    ):
        if status := subprocess.run([*command, *scope], cwd=ROOT, check=False).returncode:
            return status
    return 0


def _push(options: argparse.Namespace) -> int:
    cli = wmill()
    wanted = push.Options(
        force=options.force,
        check=options.check,
        token_file=options.token_file,
        new_token=options.new_token,
        no_token=options.no_token,
        smoke_test=options.smoke_test,
    )
    catalogue = bootstrap.read_catalogue(full_environment(), complete=False)
    windmill = Windmill(options.base_url, options.workspace, options.token)
    return 0 if push.Push(ROOT, windmill, catalogue, cli, wanted).run() else 1


def _engine(options: argparse.Namespace) -> int:
    sys.argv = ["./dev engine", *options.rest]
    runpy.run_module("local.engine", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
