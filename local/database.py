"""The databases of a local installation: the platform's own and the engine's beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from db import manage, server
from f.lib.caller_tokens import Caller
from local.credentials import APP_ID, DEMO1, DEMO2, Credentials, key_hash
from local.postgres import Cluster
from local.processes import is_taken
from local.settings import Settings

DATABASE = "chatbots"
SCOPES = ["knowledge", "admin"]


@dataclass(frozen=True)
class Databases:
    """Addresses: the platform's database as its owner, and the engine's."""

    owner_url: str
    engine_url: str


def make_cluster(settings: Settings) -> Cluster:
    """The installation's own database server, not started."""
    return Cluster(settings.data_dir / "postgres", settings.postgres_port)


@contextmanager
def reachable(settings: Settings, credentials: Credentials) -> Iterator[Databases]:
    """The databases, served for the length of the block unless they are served already."""
    if settings.database_url or is_taken(settings.postgres_port):
        yield addresses(settings, credentials)
        return
    with make_cluster(settings) as cluster:
        make_roles(cluster, credentials)
        yield addresses(settings, credentials)


def addresses(settings: Settings, credentials: Credentials) -> Databases:
    if settings.database_url:
        name = server.database_name(settings.database_url)
        return Databases(settings.database_url, server.with_database(settings.database_url, f"{name}_engine"))
    place = f"127.0.0.1:{settings.postgres_port}"
    return Databases(
        f"postgresql://owner:{credentials.owner_password}@{place}/{DATABASE}",
        f"postgresql://engine:{credentials.engine_password}@{place}/engine",
    )


def make_roles(cluster: Cluster, credentials: Credentials) -> None:
    """What only a superuser may do, once in a cluster's life: the roles that make everything else."""
    passwords = {"owner": credentials.owner_password, "engine": credentials.engine_password}
    with server.connect(cluster.superuser_url) as connection:
        server.create_role(connection, "owner", "createrole createdb")
        server.create_role(connection, "engine", "createdb")
        manage.set_passwords(connection, passwords)


def prepare(owner_url: str, credentials: Credentials) -> str:
    """Make, seed or migrate the platform's database. Returns what was done."""
    done = manage.prepare(owner_url)
    grant_access(owner_url, credentials)
    return done


def grant_access(owner_url: str, credentials: Credentials) -> None:
    """Give the roles, the demo tenants and the operator this installation's passwords and API keys."""
    passwords = {
        "app": credentials.app_password,
        "manager": credentials.manager_password,
        "backup": credentials.backup_password,
    }
    with server.connect(owner_url) as connection:
        # Roles belong to the whole server: leave a password alone that already is what it should be.
        changed = {role: word for role, word in passwords.items() if not _may_log_in(owner_url, role, word)}
        manage.set_passwords(connection, changed)
        with connection.transaction():
            connection.execute("set local role owner")
            for tenant, key in ((DEMO1, credentials.demo1_api_key), (DEMO2, credentials.demo2_api_key)):
                connection.execute(
                    "insert into api_keys (organization_id, name, key_prefix, key_hash, scopes)"
                    " select organization_id, 'Local installation', %s, %s, %s from organizations"
                    " where organization_id = %s on conflict (key_hash) do nothing",
                    [key[:8], key_hash(key), SCOPES, tenant.organization_id],
                )
            add_operator_key(connection, "Local installation", credentials.operator_key)


def add_operator_key(connection: psycopg.Connection, name: str, key: str) -> None:
    """Let `key` do what operators may, unless it is known already."""
    connection.execute(
        "insert into operator_keys (name, key_prefix, key_hash) values (%s, %s, %s) on conflict (key_hash) do nothing",
        [name, key[:8], key_hash(key)],
    )


def demo_numbers(owner_url: str, credentials: Credentials) -> list[dict[str, Any]]:
    """The demo tenants' numbers as the simulator's configuration wants them."""
    tokens = {
        DEMO1.phone_number_id: credentials.demo1_access_token,
        DEMO2.phone_number_id: credentials.demo2_access_token,
    }
    with psycopg.connect(owner_url, row_factory=dict_row) as connection:
        connection.execute("set local role owner")
        rows = connection.execute(
            "select n.phone_number_id, n.display_phone_number, c.name, c.slug, c.id::text as chatbot_id, n.waba_id,"
            " c.language from whatsapp_numbers n join chatbots c on (c.organization_id, c.id) ="
            " (n.organization_id, n.chatbot_id) where n.app_id = %s and n.phone_number_id = any(%s) order by 1",
            [APP_ID, list(tokens)],
        ).fetchall()
    return [row | {"access_token": tokens[row["phone_number_id"]]} for row in rows]


def app_url(owner_url: str, credentials: Credentials) -> str:
    """The address of the database as the role app."""
    password = {"user": "app", "password": credentials.app_password}
    return make_conninfo(**conninfo_to_dict(owner_url) | password)  # type: ignore[arg-type]


def caller(owner_url: str, chatbot: str, contact: str | None) -> Caller:
    """Whom a token for tool servers names: a chatbot (slug or id), a contact (number or id) and their conversation.

    Raises DatabaseError when there is no such chatbot, or several of that slug, or no such contact.
    """
    with psycopg.connect(owner_url, row_factory=dict_row) as connection:
        connection.execute("set local role owner")
        found = connection.execute(
            "select organization_id::text, id::text as chatbot_id from chatbots where slug = %(name)s"
            " or id::text = %(name)s",
            {"name": chatbot},
        ).fetchall()
        if len(found) != 1:
            raise server.DatabaseError(f"{len(found) or 'no'} chatbots are named {chatbot!r}: give its id")
        ids = found[0]
        if contact is None:
            return Caller(**ids)
        talk = connection.execute(
            "select c.id::text as contact_id, v.id::text as conversation_id from contacts c"
            " left join conversations v on (v.organization_id, v.contact_id) = (c.organization_id, c.id)"
            "  and v.chatbot_id::text = %(chatbot_id)s"
            " where c.organization_id::text = %(organization_id)s and %(name)s in (c.id::text, c.wa_id, c.user_id)",
            {**ids, "name": contact},
        ).fetchone()
    if talk is None:
        raise server.DatabaseError(f"{chatbot} has no contact {contact!r}: they have to write first")
    return Caller(**ids, **talk)


def catalogue_values(owner_url: str, credentials: Credentials, settings: Settings) -> dict[str, str]:
    """What resources/catalogue.yaml asks for, for this installation."""
    parts = conninfo_to_dict(owner_url)
    return {
        "APP_PASSWORD": credentials.app_password,
        "MANAGER_PASSWORD": credentials.manager_password,
        "META_APP_ID": APP_ID,
        "DEMO1_ACCESS_TOKEN": credentials.demo1_access_token,
        "DEMO2_ACCESS_TOKEN": credentials.demo2_access_token,
        "DATABASE_HOST": str(parts.get("host") or "127.0.0.1"),
        "DATABASE_PORT": str(parts.get("port") or 5432),
        "DATABASE_NAME": str(parts["dbname"]),
        "DATABASE_SSLMODE": str(parts.get("sslmode") or "prefer"),
        "WHATSAPP_API_URL": settings.simulator_url,
        "MCP_SIGNING_KEY": credentials.mcp_signing_key,
        "MCP_PRICING_URL": settings.tool_server_urls["pricing_calculator"],
        "MCP_LEADS_URL": settings.tool_server_urls["lead_capture"],
        "MCP_OWNER_URL": settings.tool_server_urls["contact_owner"],
        "EXCHANGE_SIGNING_KEY": credentials.exchange_signing_key,
        "EXCHANGE_URL": settings.exchange_url,
        "LOCAL_ADDRESSES": "true",
        "GATEWAY_URL": settings.gateway_url,
    }


def _may_log_in(owner_url: str, role: str, password: str) -> bool:
    parameters = conninfo_to_dict(owner_url) | {"user": role, "password": password}
    try:
        psycopg.connect(**parameters, connect_timeout=10).close()  # type: ignore[arg-type]
    except psycopg.OperationalError:
        return False
    return True
