# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of the tools, by name."""

#: The servers whose tools a chatbot has, and which of their tools.
READ_INTEGRATIONS = """
select i.id, i.kind, i.name, i.url, i.credential_path, i.tools,
       array_agg(t.tool_name order by t.tool_name) as enabled,
       i.tools is null and coalesce(i.refresh_tried_at < now() - interval '1 minute', true) as is_unknown
from org_integrations i
join chatbot_tools t on (t.organization_id, t.integration_id) = (i.organization_id, i.id)
where i.organization_id = %(organization_id)s and t.chatbot_id = %(chatbot_id)s and i.is_enabled
group by i.organization_id, i.id order by i.name
"""

STALE_INTEGRATIONS = "select organization_id, integration_id from stale_integrations(interval '10 minutes', %(most)s)"

#: One server, and any chatbot of its organisation: listing tools is on behalf of no contact.
READ_INTEGRATION = """
select i.id, i.kind, i.name, i.url, i.credential_path, c.id as chatbot_id
from org_integrations i
join lateral (select id from chatbots where organization_id = i.organization_id order by id limit 1) c on true
where i.organization_id = %(organization_id)s and i.id = %(integration_id)s and i.is_enabled
"""

STORE_TOOLS = """
update org_integrations
set tools = %(tools)s, refreshed_at = now(), refresh_tried_at = now(), refresh_error = %(error)s
where organization_id = %(organization_id)s and id = %(integration_id)s
"""

#: What was known stays.
STORE_REFRESH_FAILURE = """
update org_integrations set refresh_tried_at = now(), refresh_error = %(error)s
where organization_id = %(organization_id)s and id = %(integration_id)s
"""

#: Nothing when the tool is not enabled any more. What was called before is called again only if it did nothing, or
#: if its server recognises the id; a call that never ended is one whose process died.
BEGIN_EXECUTION = """
insert into tool_executions as x (organization_id, id, turn_id, integration_id, tool_name, arguments)
select t.organization_id, %(execution_id)s, %(turn_id)s, t.integration_id, t.tool_name, %(arguments)s
from chatbot_tools t
join org_integrations i on (i.organization_id, i.id) = (t.organization_id, t.integration_id) and i.is_enabled
where t.organization_id = %(organization_id)s and t.chatbot_id = %(chatbot_id)s
  and t.integration_id = %(integration_id)s and t.tool_name = %(tool_name)s
on conflict (organization_id, id) do update
set (state, attempts, started_at, finished_at) = (
  select again.state, x.attempts + (again.state = 'running')::integer,
         case when again.state = 'running' then now() else x.started_at end,
         case when again.state <> 'running' then coalesce(x.finished_at, now()) end
  from (select case when x.state = 'failed' then 'running'
                    when x.state in ('running', 'unknown') and %(repeatable)s then 'running'
                    when x.state = 'running' then 'unknown'
                    else x.state end as state) as again)
returning state, result
"""

FINISH_EXECUTION = """
update tool_executions
set state = %(state)s, result = %(result)s, error = %(error)s, finished_at = now(), duration_ms = %(duration_ms)s
where organization_id = %(organization_id)s and id = %(execution_id)s and state in ('running', 'unknown')
"""

READ_EXECUTIONS = """
select integration_id, tool_name, arguments, state, result from tool_executions
where organization_id = %(organization_id)s and turn_id = %(turn_id)s order by started_at, id
"""

READ_QUESTIONS = """
select key, question from qualification_questions
where organization_id = %(organization_id)s and chatbot_id = %(chatbot_id)s order by position, key
"""
