# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Show an organisation: its plan, chatbots, numbers, prices, channels, integrations and API keys"""

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http


@http.answering()
def main(organization: str | None = None, request: dict | None = None) -> dict:
    """Purpose: all settings of a tenant at one look. Nothing secret is in it; of a key, its first characters.

    organization: slug or id; a tenant's key may leave it out
    request: filled in by the HTTP route; leave it empty
    """
    with open_desk("show_organization", request) as desk:
        organization_id = desk.organization(organization)
        values = {"organization_id": organization_id}
        with desk.work(organization_id) as record:
            shown = dict(desk.connection.execute(queries.READ_ORGANIZATION, values).fetchone() or {})
            for name, query in (
                ("chatbots", queries.LIST_CHATBOTS),
                ("numbers", queries.LIST_NUMBERS),
                ("prices", queries.LIST_PRICES),
                ("channels", queries.LIST_CHANNELS),
                ("integrations", queries.LIST_INTEGRATIONS),
                ("api_keys", queries.LIST_KEYS),
            ):
                shown[name] = desk.connection.execute(query, values).fetchall()
            record("organization", organization_id)
        return http.plain(shown)


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
