# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Statements of the admin calls, by name. All but the first three run bound to one organisation."""

# Organisations ----------------------------------------------------------------------------------

ROUTE_ORGANIZATION = "select route_organization(%(wanted)s) as organization_id"

KNOWN_ORGANIZATIONS = """
select organization_id, slug, name, plan_code as plan, created_at from known_organizations(%(after)s, %(most)s)
"""

PLANS = "select code from plans order by monthly_messages"

READ_ORGANIZATION = """
select o.organization_id, o.slug, o.name, o.created_at, l.*
from organizations o join organization_limits l using (organization_id)
where o.organization_id = %(organization_id)s
"""

#: Nothing when the slug is taken.
ADD_ORGANIZATION = """
insert into organizations (organization_id, slug, name, plan_code)
values (%(organization_id)s, %(slug)s, %(name)s, %(plan)s)
on conflict do nothing returning organization_id
"""

#: Limits that are null are the plan's.
LOCK_PLAN = """
select plan_code as plan, monthly_messages, monthly_tokens, daily_messages_per_contact, knowledge_sources,
       knowledge_pages, knowledge_bytes, daily_ingestions, crawls, crawl_pages, crawl_depth, crawl_bytes,
       crawl_seconds
from organizations where organization_id = %(organization_id)s for update
"""

SET_PLAN = """
update organizations
set plan_code = %(plan)s, monthly_messages = %(monthly_messages)s, monthly_tokens = %(monthly_tokens)s,
    daily_messages_per_contact = %(daily_messages_per_contact)s, knowledge_sources = %(knowledge_sources)s,
    knowledge_pages = %(knowledge_pages)s, knowledge_bytes = %(knowledge_bytes)s,
    daily_ingestions = %(daily_ingestions)s, crawls = %(crawls)s, crawl_pages = %(crawl_pages)s,
    crawl_depth = %(crawl_depth)s, crawl_bytes = %(crawl_bytes)s, crawl_seconds = %(crawl_seconds)s
where organization_id = %(organization_id)s
"""

RECORD = """
insert into audit_log (organization_id, actor_kind, actor, action, target, target_id, old, new, job_id)
values (%(organization_id)s, %(actor_kind)s, %(actor)s, %(action)s, %(target)s, %(target_id)s, %(old)s, %(new)s,
        %(job_id)s)
"""

AUDIT_LOG = """
select id, at, actor_kind, actor, action, target, target_id, old, new, job_id from audit_log
where organization_id = %(organization_id)s and (%(before)s::bigint is null or id < %(before)s)
order by id desc limit %(most)s
"""

AUDIT_LOG_OF_INSTALLATION = AUDIT_LOG.replace("organization_id = %(organization_id)s", "organization_id is null")

# Chatbots ---------------------------------------------------------------------------------------

LOCK_CHATBOT = """
select id, name, language, persona, instructions, facts, fallback_text, blocked_text, quota_text, handoff_minutes,
       model_provider, model_name, model_resource_path, fallback_models, temperature, max_steps, max_seconds,
       max_tokens, max_cost, merge_seconds, embedding_model, embedding_dimensions, embedding_resource_path,
       cites_sources, knowledge_threshold, reranker, reranker_model, reranker_resource_path, is_active
from chatbots where organization_id = %(organization_id)s and slug = %(slug)s for update
"""

#: Nothing when somebody else added it just now.
ADD_CHATBOT = """
insert into chatbots (organization_id, slug, name, language, persona, instructions, facts, fallback_text, blocked_text,
                      quota_text, handoff_minutes, model_provider, model_name, model_resource_path, fallback_models,
                      temperature, max_steps, max_seconds, max_tokens, max_cost, merge_seconds, embedding_model,
                      embedding_dimensions, embedding_resource_path, cites_sources, knowledge_threshold, reranker,
                      reranker_model, reranker_resource_path, is_active)
values (%(organization_id)s, %(slug)s, %(name)s, %(language)s, %(persona)s, %(instructions)s, %(facts)s,
        %(fallback_text)s, %(blocked_text)s, %(quota_text)s, %(handoff_minutes)s, %(model_provider)s, %(model_name)s,
        %(model_resource_path)s, %(fallback_models)s, %(temperature)s, %(max_steps)s, %(max_seconds)s, %(max_tokens)s,
        %(max_cost)s, %(merge_seconds)s, %(embedding_model)s, %(embedding_dimensions)s, %(embedding_resource_path)s,
        %(cites_sources)s, %(knowledge_threshold)s, %(reranker)s, %(reranker_model)s, %(reranker_resource_path)s,
        %(is_active)s)
on conflict do nothing returning id
"""

CHANGE_CHATBOT = """
update chatbots
set name = %(name)s, language = %(language)s, persona = %(persona)s, instructions = %(instructions)s,
    facts = %(facts)s, fallback_text = %(fallback_text)s, blocked_text = %(blocked_text)s, quota_text = %(quota_text)s,
    handoff_minutes = %(handoff_minutes)s, model_provider = %(model_provider)s, model_name = %(model_name)s,
    model_resource_path = %(model_resource_path)s, fallback_models = %(fallback_models)s,
    temperature = %(temperature)s, max_steps = %(max_steps)s, max_seconds = %(max_seconds)s,
    max_tokens = %(max_tokens)s, max_cost = %(max_cost)s, merge_seconds = %(merge_seconds)s,
    embedding_model = %(embedding_model)s, embedding_dimensions = %(embedding_dimensions)s,
    embedding_resource_path = %(embedding_resource_path)s, cites_sources = %(cites_sources)s,
    knowledge_threshold = %(knowledge_threshold)s, reranker = %(reranker)s, reranker_model = %(reranker_model)s,
    reranker_resource_path = %(reranker_resource_path)s, is_active = %(is_active)s, updated_at = now()
where organization_id = %(organization_id)s and id = %(id)s
"""

FIND_CHATBOT = "select id from chatbots where organization_id = %(organization_id)s and slug = %(chatbot)s"

LIST_CHATBOTS = """
select id, slug, name, language, model_provider, model_name, embedding_model, cites_sources, is_active, updated_at
from chatbots
where organization_id = %(organization_id)s order by slug
"""

LOCK_ORGANIZATION = "select from organizations where organization_id = %(organization_id)s for update"

LIST_QUESTIONS = """
select key, question from qualification_questions
where organization_id = %(organization_id)s and chatbot_id = %(id)s order by position
"""

DELETE_QUESTIONS = """
delete from qualification_questions where organization_id = %(organization_id)s and chatbot_id = %(id)s
"""

ADD_QUESTIONS = """
insert into qualification_questions (organization_id, chatbot_id, key, position, question)
select %(organization_id)s, %(id)s, q.key, q.position, q.question
from unnest(%(keys)s::text[], %(texts)s::text[]) with ordinality as q (key, question, position)
"""

# Prices -----------------------------------------------------------------------------------------

LIST_PRICES = """
select product, tier, unit, min_volume, max_volume, unit_price::text, currency from pricing_tiers
where organization_id = %(organization_id)s order by product, tier, min_volume
"""

DELETE_PRICES = "delete from pricing_tiers where organization_id = %(organization_id)s"

ADD_PRICE = """
insert into pricing_tiers (organization_id, product, tier, unit, min_volume, max_volume, unit_price, currency)
values (%(organization_id)s, %(product)s, %(tier)s, %(unit)s, %(min_volume)s, %(max_volume)s, %(unit_price)s,
        %(currency)s)
"""

# Channels; without an organisation those of the installation's operators ------------------------------

LOCK_CHANNEL = """
select id, kind, target, minimum_severity, kinds, is_enabled from alert_channels
where organization_id is not distinct from %(organization_id)s and name = %(name)s for update
"""

#: Nothing when somebody else added it just now.
ADD_CHANNEL = """
insert into alert_channels (organization_id, name, kind, target, minimum_severity, kinds, is_enabled)
values (%(organization_id)s, %(name)s, %(kind)s, %(target)s, %(minimum_severity)s, %(kinds)s, %(is_enabled)s)
on conflict do nothing returning id
"""

#: What was changed is tried at once.
CHANGE_CHANNEL = """
update alert_channels
set kind = %(kind)s, target = %(target)s, minimum_severity = %(minimum_severity)s, kinds = %(kinds)s,
    is_enabled = %(is_enabled)s, next_at = now(), failures = 0, error = null
where organization_id is not distinct from %(organization_id)s and id = %(id)s
"""

LIST_CHANNELS = """
select name, kind, target, minimum_severity, kinds, is_enabled, told_at, failures, error from alert_channels
where organization_id is not distinct from %(organization_id)s order by name
"""

# Numbers ----------------------------------------------------------------------------------------

LOCK_NUMBER = """
select chatbot_id::text, app_id, waba_id, display_phone_number, access_token_path from whatsapp_numbers
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s for update
"""

#: Nothing when the number is somebody's, whom row-level security does not show.
ADD_NUMBER = """
insert into whatsapp_numbers (phone_number_id, organization_id, chatbot_id, app_id, waba_id, display_phone_number,
                              access_token_path)
values (%(phone_number_id)s, %(organization_id)s, %(chatbot_id)s, %(app_id)s, %(waba_id)s, %(display_phone_number)s,
        %(access_token_path)s)
on conflict do nothing returning phone_number_id
"""

CHANGE_NUMBER = """
update whatsapp_numbers
set chatbot_id = %(chatbot_id)s, app_id = %(app_id)s, waba_id = %(waba_id)s,
    display_phone_number = %(display_phone_number)s, access_token_path = %(access_token_path)s
where organization_id = %(organization_id)s and phone_number_id = %(phone_number_id)s
"""

LIST_NUMBERS = """
select n.phone_number_id, n.display_phone_number, n.waba_id, n.app_id, c.slug as chatbot
from whatsapp_numbers n join chatbots c on (c.organization_id, c.id) = (n.organization_id, n.chatbot_id)
where n.organization_id = %(organization_id)s order by n.phone_number_id
"""

# Integrations -----------------------------------------------------------------------------------

LOCK_INTEGRATION = """
select id, kind, url, credential_path, is_enabled from org_integrations
where organization_id = %(organization_id)s and name = %(name)s for update
"""

ADD_INTEGRATION = """
insert into org_integrations (organization_id, name, kind, url, credential_path, is_enabled)
values (%(organization_id)s, %(name)s, %(kind)s, %(url)s, %(credential_path)s, %(is_enabled)s)
on conflict do nothing returning id
"""

#: A new address has other tools: they are asked for anew.
CHANGE_INTEGRATION = """
update org_integrations
set tools = case when url is distinct from %(url)s then null else tools end,
    refreshed_at = case when url is distinct from %(url)s then null else refreshed_at end,
    refresh_tried_at = case when url is distinct from %(url)s then null else refresh_tried_at end,
    url = %(url)s, credential_path = %(credential_path)s, is_enabled = %(is_enabled)s
where organization_id = %(organization_id)s and id = %(id)s
"""

TOOLS_OF_CHATBOT = """
select tool_name from chatbot_tools
where organization_id = %(organization_id)s and integration_id = %(id)s and chatbot_id = %(chatbot_id)s order by 1
"""

TAKE_TOOLS = """
delete from chatbot_tools
where organization_id = %(organization_id)s and integration_id = %(id)s and chatbot_id = %(chatbot_id)s
  and tool_name <> all(%(tools)s)
"""

GIVE_TOOLS = """
insert into chatbot_tools (organization_id, chatbot_id, integration_id, tool_name)
select %(organization_id)s, %(chatbot_id)s, %(id)s, unnest(%(tools)s::text[])
on conflict do nothing
"""

LIST_INTEGRATIONS = """
select i.name, i.kind, i.url, i.credential_path is not null as has_credential, i.is_enabled, i.refresh_error,
       coalesce((select jsonb_object_agg(t.slug, t.tools) from (
         select c.slug, jsonb_agg(x.tool_name order by x.tool_name) as tools
         from chatbot_tools x join chatbots c on (c.organization_id, c.id) = (x.organization_id, x.chatbot_id)
         where (x.organization_id, x.integration_id) = (i.organization_id, i.id) group by c.slug) t), '{}') as chatbots
from org_integrations i where i.organization_id = %(organization_id)s order by i.name
"""

# Keys -------------------------------------------------------------------------------------------

ADD_KEY = """
insert into api_keys (organization_id, name, key_prefix, key_hash, scopes, valid_days, expires_at)
values (%(organization_id)s, %(name)s, %(key_prefix)s, %(key_hash)s, %(scopes)s, %(valid_days)s,
        now() + make_interval(days => %(valid_days)s))
returning id, expires_at
"""

LOCK_KEY = """
select id, name, scopes, valid_days, expires_at, revoked_at,
       revoked_at is not null or coalesce(expires_at <= now(), false) as has_ended
from api_keys where organization_id = %(organization_id)s and id = %(id)s for no key update
"""

END_KEY = """
update api_keys set expires_at = least(expires_at, now() + make_interval(mins => %(minutes)s))
where organization_id = %(organization_id)s and id = %(id)s returning expires_at
"""

REVOKE_KEY = """
update api_keys set revoked_at = now()
where organization_id = %(organization_id)s and id = %(id)s returning revoked_at
"""

LIST_KEYS = """
select id, name, key_prefix, scopes, created_at, expires_at, revoked_at from api_keys
where organization_id = %(organization_id)s order by created_at, id
"""

# What happened ----------------------------------------------------------------------------------

#: People by the end of their number: results of runs are kept by Windmill.
LIST_CONVERSATIONS = """
select c.id, b.slug as chatbot, c.phone_number_id, right(coalesce(k.wa_id, k.user_id), 4) as contact, c.mode,
       c.created_at, m.messages, m.last_message_at, e.waiting, e.failed
from conversations c
join chatbots b on (b.organization_id, b.id) = (c.organization_id, c.chatbot_id)
join contacts k on (k.organization_id, k.id) = (c.organization_id, c.contact_id)
cross join lateral (
  select count(*) as messages, max(x.sent_at) as last_message_at from messages x
  where (x.organization_id, x.conversation_id) = (c.organization_id, c.id)) m
cross join lateral (
  select count(*) filter (where x.outcome is null) as waiting, count(*) filter (where x.outcome = 'failed') as failed
  from webhook_events x where (x.organization_id, x.conversation_id) = (c.organization_id, c.id)) e
where c.organization_id = %(organization_id)s
  and (%(chatbot)s::text is null or b.slug = %(chatbot)s)
  and (%(mode)s::text is null or c.mode = %(mode)s)
  and (%(after)s::uuid is null or (c.created_at, c.id) < (
    select p.created_at, p.id from conversations p where p.organization_id = c.organization_id and p.id = %(after)s))
order by c.created_at desc, c.id desc limit %(most)s
"""

MONTH_USAGE = """
select (created_at at time zone 'UTC')::date as day, model, count(*) as calls, sum(prompt_tokens) as prompt_tokens,
       sum(completion_tokens) as completion_tokens, coalesce(sum(estimated_cost), 0) as estimated_cost
from usage_logs
where organization_id = %(organization_id)s and created_at >= %(begin)s and created_at < %(end)s
group by 1, 2 order by 1, 2
"""

#: What counts towards the plan's limits.
MONTH_QUOTA = """
select messages, tokens, reserved_tokens from quota_usage
where organization_id = %(organization_id)s and month = %(begin)s::date
"""

MONTH_MESSAGES = """
select count(*) as received, count(*) filter (where outcome in ('answered', 'merged')) as answered,
       count(*) filter (where outcome = 'handed_over') as handed_over,
       count(*) filter (where outcome = 'refused') as refused,
       count(*) filter (where outcome = 'failed') as failed, count(*) filter (where outcome is null) as waiting
from webhook_events
where organization_id = %(organization_id)s and stored_at >= %(begin)s and stored_at < %(end)s
"""
