"""Set the plan of an organisation. For operators"""

from f.admin import queries
from f.admin.desk import open_desk
from f.lib import http


@http.answering()
def main(organization: str, plan: str, request: dict | None = None) -> dict:
    """Purpose: what an organisation may use in a month is one of the plans.

    organization: slug or id
    plan: a code of the table plans: free, pro, enterprise
    request: filled in by the HTTP route; leave it empty
    """
    with open_desk("set_plan", request, operators_only=True) as desk:
        plans = [row["code"] for row in desk.connection.execute(queries.PLANS)]
        organization_id = desk.organization(organization)
        values = {"organization_id": organization_id, "plan": http.choice("plan", plan, plans)}
        with desk.work(organization_id) as record:
            old = desk.connection.execute(queries.LOCK_PLAN, values).fetchone()
            desk.connection.execute(queries.SET_PLAN, values)
            record("organization", organization_id, old=old, new={"plan": values["plan"]})
        return values


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
