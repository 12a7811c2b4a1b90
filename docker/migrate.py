"""The job `migrate` of docker-compose.yml: `python -m docker.migrate`. It may run any number of times.

As the server's superuser it makes the role `owner`, which may make roles and databases and is nothing more; as that
role it makes and seeds the platform's database, or applies the migrations that it lacks, and sets the passwords.
"""

import os
import sys
from collections.abc import Mapping
from urllib.parse import quote

from db import manage, server, verify

#: Roles that log in, by the variables that hold their passwords.
PASSWORDS = {
    f"{role.upper()}_PASSWORD": role
    for role, (logs_in, _, _) in verify.ROLES.items()
    if logs_in is None and role != "owner"
}


def run(environment: Mapping[str, str]) -> str:
    """Bring the database to what this repository says. Returns what was done; raises DatabaseError."""
    required = ("DATABASE_HOST", "DATABASE_NAME", "DATABASE_ADMIN_PASSWORD", "OWNER_PASSWORD", *PASSWORDS)
    if missing := [name for name in required if not environment.get(name)]:
        raise server.DatabaseError(f"not set: {', '.join(missing)}")
    host, name = environment["DATABASE_HOST"], environment["DATABASE_NAME"]
    port, sslmode = environment.get("DATABASE_PORT") or "5432", environment.get("DATABASE_SSLMODE") or "prefer"

    def address(role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{quote(password, safe='')}@{host}:{port}/{database}?sslmode={sslmode}"

    admin = environment.get("DATABASE_ADMIN") or "postgres"
    with server.connect(address(admin, environment["DATABASE_ADMIN_PASSWORD"], "postgres")) as connection:
        server.create_role(connection, "owner", "createrole createdb")
        manage.set_passwords(connection, {"owner": environment["OWNER_PASSWORD"]})
    passwords = {role: environment[variable] for variable, role in PASSWORDS.items()}
    done = manage.prepare(address("owner", environment["OWNER_PASSWORD"], name), passwords=passwords)
    return f"{name} at {host}:{port}: {done}"


def main() -> int:
    try:
        print(run(os.environ))
    except server.DatabaseError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
