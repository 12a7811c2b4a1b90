"""local/postgres.py: the life of an embedded cluster."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from local.postgres import Cluster
from local.postgres_files import SHARED, ClusterError, packaged_binaries
from local.processes import free_port, is_taken

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that the server's user cannot reach")

SERVE = """
import sys, time
from pathlib import Path
from local.postgres import Cluster
cluster = Cluster(Path(sys.argv[1]), int(sys.argv[2]))
cluster.start()
print(cluster.process.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_data_are_there_after_a_restart_and_gone_after_remove(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "pg")
    cluster.start()
    with psycopg.connect(cluster.superuser_url) as connection:
        connection.execute("create table kept as select 1 as n")
    cluster.stop()
    cluster.start()
    with psycopg.connect(cluster.superuser_url) as connection:
        assert connection.execute("select n from kept").fetchone() == (1,)
    cluster.stop()
    data = cluster.directory
    cluster.remove()
    assert not data.exists() and not (tmp_path / "pg").exists()


def test_a_new_database_has_pgvector_and_unicode_without_the_systems_locales(cluster: Cluster) -> None:
    with psycopg.connect(cluster.superuser_url, autocommit=True) as connection:
        connection.execute("create database fresh")
        assert connection.execute("select upper('ñandú')").fetchone() == ("ÑANDÚ",)
    with psycopg.connect(cluster.url("fresh")) as connection:
        assert connection.execute("select '[1,2]'::vector <-> '[1,3]'").fetchone() == (1.0,)


def test_nobody_gets_in_without_the_password(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.url("postgres", "postgres", "wrong"))


def test_it_listens_on_the_loopback_address_only(cluster: Cluster) -> None:
    with psycopg.connect(cluster.superuser_url) as connection:
        row = connection.execute(
            "select current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        ).fetchone()
    assert row == ("127.0.0.1", "")


def test_the_password_file_is_private(cluster: Cluster) -> None:
    assert stat.S_IMODE((cluster.home / "superuser_password").stat().st_mode) == 0o600


def test_a_port_in_use_and_a_second_server_are_refused_by_name(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=f"port {cluster.port} is in use"):
        Cluster(tmp_path, cluster.port).start()
    with pytest.raises(ClusterError, match=f"another process serves {cluster.home}"):
        Cluster(cluster.home).start()


def test_what_the_server_says_is_in_the_error(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "pg", durable=False)
    cluster.start()
    cluster.stop()
    (cluster.directory / "data" / "postgresql.conf").write_text("nonsense = on\n")
    with pytest.raises(ClusterError, match='unrecognized configuration parameter "nonsense"'):
        cluster.start()
    cluster.remove()


def test_the_server_ends_with_its_supervisor_and_starts_again(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVE, str(tmp_path / "pg"), str(port)]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    wait_until_gone(pid)
    assert not is_taken(port)
    cluster = Cluster(tmp_path / "pg", port)
    cluster.start()
    cluster.stop()
    cluster.remove()


def test_a_pid_file_of_a_process_that_is_no_server_is_stale(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "pg", durable=False)
    cluster.start()
    cluster.stop()
    (cluster.directory / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    cluster.start()
    cluster.stop()
    cluster.remove()


@as_root
def test_a_clone_that_only_root_can_enter_is_left_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    cluster = Cluster(closed / "clone" / ".data" / "postgres")
    try:
        cluster.start()
        assert cluster.directory.is_relative_to(SHARED)
        assert str(cluster.directory) in (cluster.home / "ELSEWHERE").read_text()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        cluster.stop()
        cluster.remove()


@as_root
def test_the_server_does_not_run_as_root(cluster: Cluster) -> None:
    assert cluster.process is not None
    assert Path(f"/proc/{cluster.process.pid}").stat().st_uid != 0


def test_the_package_brings_the_programs_that_we_use() -> None:
    assert all((packaged_binaries() / name).exists() for name in ("initdb", "postgres", "pg_dump", "psql"))


@as_root
def test_data_that_became_unreachable_are_not_silently_made_anew(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "pg" / "cluster").mkdir(parents=True)
    with pytest.raises(ClusterError, match="cannot be reached any more"):
        Cluster(tmp_path / "pg").start()
