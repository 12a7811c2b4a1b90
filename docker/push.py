"""The job `push` of docker-compose.yml: `python -m docker.push [--check] [--force] [--new-token] [--smoke-test]`.

Signs in at Windmill as its administrator, whose password it sets on a new server, and does what `./dev push` does;
then it names the workspace's object storage. It may run any number of times.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from local import bootstrap
from local.bootstrap import BootstrapError
from local.engine.workspace import SPACES
from local.install import ROOT, InstallError, wmill
from local.push import Options, Push, PushError, add_options
from local.sync import CONFIGURATION, SyncError
from local.windmill import Windmill, WindmillError

#: With what every new Windmill lets its administrator in, until the first push.
ADMIN, FIRST_PASSWORD = "admin@windmill.dev", "changeme"  # pragma: allowlist secret
WAIT_SECONDS = 120.0
REQUIRED = ("WINDMILL_URL", "WINDMILL_WORKSPACE", "WINDMILL_ADMIN_PASSWORD", "WINDMILL_TOKEN_FILE")
STORAGE = "f/lib/object_storage"


def run(
    environment: Mapping[str, str],
    options: argparse.Namespace,
    *,
    root: Path = ROOT,
    cli: Callable[[], list[str]] = wmill,
    say: Callable[[str], None] = print,
) -> bool:
    """Set up Windmill, or with `check` only say what would be done. Returns whether nothing is left to do.

    Raises what `Push.run` does, and InstallError.
    """
    if missing := [name for name in REQUIRED if not environment.get(name)]:
        raise PushError(f"not set: {', '.join(missing)}")
    url, workspace = environment["WINDMILL_URL"].rstrip("/"), environment["WINDMILL_WORKSPACE"]
    wait_for(url)
    token = sign_in(url, environment["WINDMILL_ADMIN_PASSWORD"], say)
    windmill = Windmill(url, workspace, token)
    try:
        token_file = Path(environment["WINDMILL_TOKEN_FILE"])
        wanted = Options(
            force=options.force,
            check=options.check,
            token_file=token_file,
            # The file is the only place where the gateway has its token from: without it, nobody uses the old one.
            new_token=options.new_token or not token_file.exists(),
            smoke_test=options.smoke_test,
        )
        catalogue = bootstrap.read_catalogue(environment, root / "resources" / "catalogue.yaml", complete=False)
        done = Push(root, windmill, catalogue, cli(), wanted, say).run()
        if environment.get("S3_ENDPOINT") and not options.check:
            try:
                name_storage(environment, windmill, say)
            except WindmillError as error:
                say(f"warning: no object storage, so files arrive as raw bodies only: {error}")
        return done
    finally:
        sign_out(windmill)


def wait_for(url: str, seconds: float = WAIT_SECONDS) -> None:
    """Until Windmill answers. Raises WindmillError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            Windmill(url, "", "none").version()
            return
        except WindmillError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def sign_in(url: str, password: str, say: Callable[[str], None]) -> str:
    """A token of the administrator's. A new server's first password gives way to `password`."""
    if token := _login(url, password):
        return token
    token = _login(url, FIRST_PASSWORD)
    if not token:
        raise PushError(f"{url} lets {ADMIN} in neither with WINDMILL_ADMIN_PASSWORD nor as a new server does")
    Windmill(url, "", token).post("/users/setpassword", {"password": password})
    say(f"set the password of {ADMIN}")
    return token


def sign_out(windmill: Windmill) -> None:
    try:
        windmill.post("/auth/logout", {})
    except WindmillError as error:
        print(f"push: could not sign out: {error}", file=sys.stderr)


def name_storage(environment: Mapping[str, str], windmill: Windmill, say: Callable[[str], None]) -> None:
    """Let Windmill keep what is uploaded as a form in the storage of S3_ENDPOINT."""
    secret = f"{STORAGE}_secret"
    value = {
        "bucket": environment["S3_BUCKET"],
        "endPoint": environment["S3_ENDPOINT"],
        "region": environment.get("S3_REGION") or "us-east-1",
        "accessKey": environment["S3_ACCESS_KEY"],
        "secretKey": f"$var:{secret}",
        "useSSL": environment.get("S3_TLS") == "yes",
        "pathStyle": True,
    }
    catalogue: dict[str, Any] = {
        "folders": [],
        "resource_types": {},
        "variables": [
            {
                "path": secret,
                "description": "Secret key of the object storage",
                "secret": True,
                "value": environment["S3_SECRET_KEY"],
                "missing": [],
            }
        ],
        "resources": [
            {
                "path": STORAGE,
                "description": "The workspace's object storage",
                "resource_type": "s3",
                "value": value,
                "missing": [],
            }
        ],
    }
    for change in bootstrap.changes(catalogue, windmill, force=True):
        change.make()
        say(change.text)
    wanted = {"type": "S3Storage", "s3_resource_path": f"$res:{STORAGE}", "public_resource": False}
    current = windmill.get(windmill.path("/workspaces/get_settings")).get("large_file_storage") or {}
    if any(current.get(key) != value for key, value in wanted.items()):
        windmill.post(windmill.path("/workspaces/edit_large_file_storage_config"), {"large_file_storage": wanted})
        say("name the workspace's object storage")


def _login(url: str, password: str) -> str:
    """A token, or an empty text where the password is refused."""
    try:
        answer = httpx.post(f"{url}/api/auth/login", json={"email": ADMIN, "password": password}, timeout=30)
    except httpx.TransportError as error:
        raise WindmillError(f"Windmill at {url} cannot be reached: {error}") from None
    if answer.is_server_error:
        raise WindmillError(f"POST /auth/login: {answer.status_code} {answer.text[:500]}", answer.status_code)
    return answer.text.strip() if answer.is_success else ""


def _copy(root: Path, folder: Path) -> Path:
    for name in (*SPACES, *CONFIGURATION, "resources"):
        source = root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder)
    return folder


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m docker.push", description="Sets up the stack's Windmill.")
    add_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        # The CLI writes beside what it reads, and the image is read-only.
        with tempfile.TemporaryDirectory(prefix="millrace-push-") as folder:
            return 0 if run(os.environ, options, root=_copy(ROOT, Path(folder))) else 1
    except (PushError, BootstrapError, SyncError, WindmillError, InstallError) as error:
        print(f"push: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
