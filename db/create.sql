-- The schema of one installation: any PostgreSQL 16+ with pgvector, no superuser needed.
-- Executed by `./db/manage_db.sh reset` as one transaction. A change here comes with a file in
-- migrations/ that leads an existing database to the same place; a test compares the two.

-- Roles ----------------------------------------------------------------------------------------
-- owner   owns tables and runs migrations. Forced row-level security would silently hide rows even
--         from an owner, hence an explicit policy for it on every table.
-- app     what scripts log in as: owns nothing, sees one organisation at a time.
-- manager what the scripts of f/admin log in as: changes the settings of one organisation at a time.
-- router  cannot log in. Owns the few security-definer functions that find out whose a number, an
--         API key or a stranded conversation is, and sees just the columns these need.
-- backup  reads everything.
do $$
declare
  role_name text;
begin
  foreach role_name in array array['owner', 'app', 'manager', 'router', 'backup'] loop
    if not exists (select from pg_roles where rolname = role_name) then
      execute format('create role %I nologin', role_name);
    end if;
  end loop;
  if not pg_has_role(current_user, 'owner', 'set') then
    execute format('grant owner to %I with inherit true, set true', current_user);
  end if;
  if not pg_has_role('owner', 'router', 'set') then
    grant router to owner with inherit false, set true;
  end if;
  -- With the right to pass it on: below, owner gives it to the other roles. Unless the schema is owner's anyway.
  if not has_schema_privilege('owner', 'public', 'create with grant option') then
    grant usage, create on schema public to owner with grant option;
  end if;
end
$$;

create extension if not exists vector;

set local role owner;

revoke create on schema public from public;
grant usage on schema public to app, manager, router, backup;

-- Objects: a restored database has all that follows from its backup ------------------------------

-- The organisation that the transaction is bound to; null when none is, and then nothing is visible.
create function current_organization() returns uuid
  language sql stable parallel safe
  return nullif(current_setting('app.organization_id', true), '')::uuid;

-- Tenants --------------------------------------------------------------------------------------
create table plans (
  code text primary key,
  name text not null,
  monthly_messages integer not null check (monthly_messages >= 0),
  monthly_tokens bigint not null check (monthly_tokens >= 0),
  daily_messages_per_contact integer not null check (daily_messages_per_contact >= 0),
  knowledge_sources integer not null default 20 check (knowledge_sources >= 0),
  knowledge_pages integer not null default 300 check (knowledge_pages >= 0),
  knowledge_bytes bigint not null default 52428800 check (knowledge_bytes >= 0),
  daily_ingestions integer not null default 50 check (daily_ingestions >= 0),
  crawls integer not null default 2 check (crawls >= 0),
  crawl_pages integer not null default 100 check (crawl_pages >= 1),
  crawl_depth integer not null default 4 check (crawl_depth >= 0),
  crawl_bytes bigint not null default 104857600 check (crawl_bytes >= 0),
  crawl_seconds integer not null default 1800 check (crawl_seconds >= 0)
);
comment on column plans.crawls is
  'Web sites of an organisation; what each run of one may take follows: pages, steps from the first page, bytes, time.';

create table organizations (
  organization_id uuid primary key default gen_random_uuid(),
  slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]*$'),
  name text not null,
  plan_code text not null references plans,
  monthly_messages integer check (monthly_messages >= 0),
  monthly_tokens bigint check (monthly_tokens >= 0),
  daily_messages_per_contact integer check (daily_messages_per_contact >= 0),
  knowledge_sources integer check (knowledge_sources >= 0),
  knowledge_pages integer check (knowledge_pages >= 0),
  knowledge_bytes bigint check (knowledge_bytes >= 0),
  daily_ingestions integer check (daily_ingestions >= 0),
  crawls integer check (crawls >= 0),
  crawl_pages integer check (crawl_pages >= 1),
  crawl_depth integer check (crawl_depth >= 0),
  crawl_bytes bigint check (crawl_bytes >= 0),
  crawl_seconds integer check (crawl_seconds >= 0),
  created_at timestamptz not null default now()
);
comment on column organizations.monthly_messages is
  'Instead of the plan''s limit, like the eleven after it; null: the plan''s.';

create table api_keys (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  name text not null,
  key_prefix text not null,
  key_hash text not null unique check (key_hash ~ '^[0-9a-f]{64}$'),
  scopes text[] not null,
  created_at timestamptz not null default now(),
  valid_days integer check (valid_days > 0),
  expires_at timestamptz,
  revoked_at timestamptz,
  primary key (organization_id, id)
);
comment on column api_keys.valid_days is 'For how long it was made, and the one that replaces it will be; null: no end.';
comment on column api_keys.key_hash is 'SHA-256 of the key in hex; the key itself is shown once and never stored.';

create table chatbots (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]*$'),
  name text not null,
  language text not null,
  persona text not null,
  instructions text not null default '',
  facts jsonb not null default '[]' check (jsonb_typeof(facts) = 'array'),
  fallback_text text not null check (fallback_text ~ '\S'),
  blocked_text text check (blocked_text ~ '\S'),
  quota_text text check (quota_text ~ '\S'),
  model_provider text not null default 'demo' check (model_provider in ('demo', 'openai', 'gemini')),
  model_name text not null default 'demo',
  model_resource_path text,
  temperature numeric not null default 0.3 check (temperature between 0 and 2),
  max_steps integer not null default 6 check (max_steps between 1 and 20),
  max_seconds integer not null default 60 check (max_seconds between 5 and 70),
  max_tokens integer not null default 60000 check (max_tokens >= 500),
  max_cost numeric default 0.25 check (max_cost > 0),
  fallback_models jsonb not null default '[]' constraint chatbots_fallback_models_check check (
    jsonb_typeof(fallback_models) = 'array' and jsonb_array_length(fallback_models) <= 4
    and jsonb_array_length(fallback_models) = jsonb_array_length(jsonb_path_query_array(fallback_models,
      '$[*] ? (@.provider == "demo" || (@.provider == "openai" || @.provider == "gemini")
               && @.name.type() == "string" && @.resource_path like_regex "^[fu]/[A-Za-z0-9_]+/[A-Za-z0-9_/]+$")'))),
  merge_seconds numeric not null default 2 check (merge_seconds between 0 and 20),
  embedding_model text not null default 'multilingual-e5-small',
  embedding_dimensions integer not null default 384,
  embedding_resource_path text,
  cites_sources boolean not null default true,
  knowledge_threshold double precision check (knowledge_threshold between 0 and 1),
  reranker text not null default 'offline' check (reranker in ('none', 'offline', 'api', 'model')),
  reranker_model text,
  reranker_resource_path text,
  published bigint not null default 0,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  handoff_minutes integer not null default 720 check (handoff_minutes between 1 and 43200),
  primary key (organization_id, id),
  unique (organization_id, slug),
  constraint chatbots_embedding_check check (
    (embedding_model, embedding_dimensions) in (('multilingual-e5-small', 384))
    or (embedding_model, embedding_dimensions) in (('text-embedding-3-small', 512), ('text-embedding-3-small', 1536))
       and embedding_resource_path is not null),
  constraint chatbots_reranker_api_check check (
    reranker <> 'api' or reranker_model is not null and reranker_resource_path is not null),
  check (model_provider = 'demo' or model_resource_path is not null)
);
comment on column chatbots.facts is 'What the bot knows without documents: [{"topic", "text"}].';
comment on column chatbots.model_resource_path is 'Windmill resource with the provider''s key; secrets are never in this database.';
comment on column chatbots.instructions is 'What the model is told besides the persona.';
comment on column chatbots.blocked_text is 'The reply when providers refuse the content; null: the fallback text.';
comment on column chatbots.quota_text is 'The one notice when a quota is used up; null: the fallback text.';
comment on column chatbots.fallback_models is
  'Models that stand in, in order: [{"provider", "name", "resource_path"}].';
comment on column chatbots.max_seconds is 'Cap of one turn, like max_steps (answers of a model), max_tokens and max_cost.';
comment on column chatbots.max_cost is 'In the currency of model_prices; null: no cap.';
comment on column chatbots.embedding_model is
  'What finds passages by meaning; after a change the chatbot''s sources are embedded again, by themselves.';
comment on column chatbots.embedding_resource_path is 'Windmill resource with the key; none for the local model.';
comment on column chatbots.cites_sources is 'Whether an answer from documents ends with their names.';
comment on column chatbots.knowledge_threshold is
  'How near to a question (cosine) a passage must be to be given to the model; null: as its embedding model needs.';
comment on column chatbots.reranker is
  'What orders the passages that were found: offline, by their neighbours; then an API, or the chatbot''s own model.';
comment on column chatbots.reranker_model is 'What the API calls its model; its key is in the Windmill resource beside.';
comment on column chatbots.published is 'Grows with every version of a source that searches find: open gaps are looked at again.';
comment on column chatbots.merge_seconds is 'How long a turn waits for the rest of a burst of messages.';
comment on column chatbots.handoff_minutes is 'How long the bot stays silent after a person of the business wrote.';

create table whatsapp_numbers (
  phone_number_id text primary key,
  organization_id uuid not null,
  chatbot_id uuid not null,
  app_id text not null,
  waba_id text not null,
  display_phone_number text not null,
  access_token_path text not null,
  created_at timestamptz not null default now(),
  held_since timestamptz,
  held_reason text,
  probe_at timestamptz,
  probes integer not null default 0,
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  unique (organization_id, phone_number_id)
);
create index on whatsapp_numbers (waba_id);
comment on column whatsapp_numbers.app_id is 'Meta app whose secret must have signed a delivery for this number.';
comment on column whatsapp_numbers.access_token_path is 'Windmill variable with the token.';
comment on column whatsapp_numbers.held_since is
  'Since when Meta refuses to send for a reason that a person must see to; replies wait. Null: it sends.';
comment on column whatsapp_numbers.probe_at is 'From when one reply may try whether the number sends again.';

-- Conversations --------------------------------------------------------------------------------
create table contacts (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  user_id text,
  wa_id text,
  profile_name text,
  created_at timestamptz not null default now(),
  merged_into uuid,
  erased_at timestamptz,
  primary key (organization_id, id),
  unique (organization_id, user_id),
  unique (organization_id, wa_id),
  foreign key (organization_id, merged_into) references contacts (organization_id, id),
  check (user_id is not null or wa_id is not null or merged_into is not null or erased_at is not null)
);
comment on column contacts.user_id is 'Business-scoped user id (BSUID), the key where Meta sends one.';
comment on column contacts.wa_id is 'Phone number; absent for people who show a username only.';
comment on column contacts.merged_into is 'The same person: who this contact turned out to be after a change of number or id.';
comment on column contacts.erased_at is
  'Since when words, names and numbers of this person are gone; counts stay. Whoever writes from the number is new.';

create table conversations (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  chatbot_id uuid not null,
  phone_number_id text not null,
  contact_id uuid not null,
  mode text not null default 'bot' check (mode in ('bot', 'person')),
  lease_fence bigint not null default 0,
  lease_holder uuid,
  lease_until timestamptz,
  resumed_at timestamptz,
  created_at timestamptz not null default now(),
  handed_over_at timestamptz,
  handed_over_until timestamptz,
  handed_over_by text check (handed_over_by in ('bot', 'person', 'operator')),
  handover_reason text,
  handover_turn_id uuid,
  handed_back_at timestamptz,
  handed_back_by text check (handed_back_by in ('time', 'operator')),
  handback_note text,
  waits_until timestamptz,
  erased_at timestamptz,
  primary key (organization_id, id),
  unique (organization_id, phone_number_id, contact_id),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, phone_number_id) references whatsapp_numbers (organization_id, phone_number_id),
  foreign key (organization_id, contact_id) references contacts (organization_id, id)
);
comment on column conversations.lease_fence is 'Grows with every lease; a write under an older number is refused.';
comment on column conversations.lease_holder is 'The flow run that holds the lease; null when it is free.';
comment on column conversations.resumed_at is 'When the sweep last took this conversation up.';
comment on column conversations.mode is 'person: a person of the business answers, the bot stores and stays silent.';
comment on column conversations.handed_over_at is
  'With handover_reason and handed_back_at: the present or the last hand-over, which the bot is told of.';
comment on column conversations.handover_turn_id is
  'The turn in which the bot itself called for a person: it still says so. Null once a person wrote.';
comment on column conversations.waits_until is 'WhatsApp said "later": the turn is not taken up before.';
comment on column conversations.erased_at is 'Like its contact''s: nothing is added to it any more.';

-- Whoever only says that a person answers hands over for the time that the chatbot sets.
create function stamp_handover() returns trigger language plpgsql set search_path = pg_catalog, public as $$
begin
  new.handed_over_until := greatest(
    case when old.mode = 'person' then old.handed_over_until end,
    now() + (select c.handoff_minutes from chatbots c
             where (c.organization_id, c.id) = (new.organization_id, new.chatbot_id)) * interval '1 minute');
  if old.mode = 'bot' then
    new.handed_over_at := now();
  end if;
  return new;
end
$$;
create trigger stamp_handover before update of mode on conversations for each row
  when (new.mode = 'person' and new.handed_over_until is not distinct from old.handed_over_until)
  execute function stamp_handover();

create table turns (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  conversation_id uuid not null,
  fence bigint not null,
  started_at timestamptz not null default now(),
  counted_at timestamptz,
  generated_at timestamptz,
  finished_at timestamptz,
  model text,
  steps jsonb not null default '[]',
  tools jsonb not null default '[]',
  prompt_tokens integer not null default 0,
  completion_tokens integer not null default 0,
  error text,
  refusal text,
  primary key (organization_id, id),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id)
);
alter table conversations
  add foreign key (organization_id, handover_turn_id) references turns (organization_id, id)
    on delete set null (handover_turn_id);
create unique index turns_one_open on turns (organization_id, conversation_id) where finished_at is null;
comment on table turns is
  'One answer to one or more messages. A conversation has at most one open turn; a run that takes the lease takes it over.';
comment on column turns.counted_at is 'When the turn was counted as a message of its organisation and of its contact.';
comment on column turns.refusal is 'Why no model was asked; its messages end as refused.';
comment on column turns.error is 'Why the reply is the fallback text, or why there is none.';
comment on column turns.steps is 'What the agent loop did: [{"kind": "model"|"tool", "name", "ms"}].';

create table webhook_events (
  organization_id uuid not null references organizations,
  id bigint generated always as identity,
  phone_number_id text not null,
  wamid text not null,
  conversation_id uuid not null,
  job_id uuid,
  kind text not null,
  payload jsonb not null,
  position integer not null,
  sent_at timestamptz not null,
  received_at timestamptz not null,
  stored_at timestamptz not null default now(),
  turn_id uuid,
  outcome text check (outcome in ('answered', 'merged', 'handed_over', 'refused', 'failed')),
  outcome_reason text,
  settled_at timestamptz,
  primary key (organization_id, id),
  unique (organization_id, phone_number_id, wamid),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  check ((outcome is null) = (settled_at is null))
);
create index webhook_events_open on webhook_events (organization_id, conversation_id) where outcome is null;
create index webhook_events_stranded on webhook_events (stored_at) where outcome is null;
create index webhook_events_turn on webhook_events (organization_id, turn_id) where turn_id is not null;
comment on table webhook_events is 'Every inbound message once, with how it ended.';

create table messages (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  conversation_id uuid not null,
  turn_id uuid,
  direction text not null check (direction in ('in', 'out')),
  author text not null check (author in ('contact', 'bot', 'person')),
  wamid text,
  body text not null,
  sent_at timestamptz not null default now(),
  received_at timestamptz not null default now(),
  position integer not null default 0,
  note text,
  reply_to text,
  revoked_at timestamptz,
  primary key (organization_id, id),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id)
);
create unique index messages_inbound on messages (organization_id, conversation_id, wamid) where direction = 'in';
create index messages_history on messages (organization_id, conversation_id, sent_at, received_at, position);
create unique index messages_of_people on messages (organization_id, conversation_id, wamid) where author = 'person';
create index messages_wamid on messages (organization_id, wamid) where wamid is not null;
comment on column messages.note is 'What the message says besides its words, such as [forwarded].';
comment on column messages.reply_to is 'Meta''s id of the message that it answers, reacts to or corrects.';
comment on column messages.revoked_at is 'When its author deleted it; the model does not read it any more.';

create table outbox (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  conversation_id uuid not null,
  turn_id uuid not null,
  message_id uuid not null,
  position integer not null,
  body text not null check (char_length(body) between 1 and 4096),
  state text not null default 'pending'
    check (state in ('pending', 'sending', 'sent', 'failed', 'uncertain', 'dropped')),
  attempts integer not null default 0,
  claimed_at timestamptz,
  settled_at timestamptz,
  wamid text,
  error jsonb,
  delivery_status text check (delivery_status in ('sent', 'delivered', 'read', 'failed')),
  delivery_status_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, turn_id, position),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  foreign key (organization_id, message_id) references messages (organization_id, id)
);
create index outbox_open on outbox (claimed_at) where state = 'sending';
create index outbox_wamid on outbox (organization_id, wamid) where wamid is not null;
comment on column outbox.state is
  'What we know of the call; delivery_status is what Meta said of the message afterwards. dropped: a person answers.';

create table usage_logs (
  organization_id uuid not null references organizations,
  turn_id uuid not null,
  call integer not null,
  provider text not null,
  model text not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  estimated_cost numeric,
  created_at timestamptz not null default now(),
  primary key (organization_id, turn_id, call),
  foreign key (organization_id, turn_id) references turns (organization_id, id)
);
comment on column usage_logs.estimated_cost is 'By model_prices; null where the price was unknown.';

create table model_prices (
  provider text not null,
  model text not null,
  valid_from date not null,
  prompt_price numeric not null check (prompt_price >= 0),
  completion_price numeric not null check (completion_price >= 0),
  is_estimate boolean not null default true,
  primary key (provider, model, valid_from)
);
comment on table model_prices is
  'US dollars per million tokens, of the model and of names that continue it after a hyphen (dated versions).';

-- Usage and quotas -----------------------------------------------------------------------------
create table quota_usage (
  organization_id uuid not null references organizations,
  month date not null check (extract(day from month) = 1),
  messages integer not null default 0,
  tokens bigint not null default 0,
  reserved_tokens bigint not null default 0 check (reserved_tokens >= 0),
  primary key (organization_id, month)
);
comment on table quota_usage is
  'What an organisation has used in a calendar month (UTC): turns, and tokens of prompts and answers.';
comment on column quota_usage.reserved_tokens is 'The sum of the month''s token_reservations.';

create table token_reservations (
  organization_id uuid not null references organizations,
  turn_id uuid not null,
  month date not null,
  tokens bigint not null check (tokens > 0),
  reserved_at timestamptz not null default now(),
  primary key (organization_id, turn_id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  foreign key (organization_id, month) references quota_usage (organization_id, month)
);
create index token_reservations_age on token_reservations (reserved_at);
comment on table token_reservations is
  'The most that the model call under way may take; what a dead turn leaves is released by the sweep.';

create table contact_days (
  organization_id uuid not null references organizations,
  contact_id uuid not null,
  day date not null,
  messages integer not null,
  primary key (organization_id, contact_id, day),
  foreign key (organization_id, contact_id) references contacts (organization_id, id)
);
comment on table contact_days is 'Turns of one person on one day (UTC).';

create table quota_notices (
  organization_id uuid not null references organizations,
  contact_id uuid not null,
  quota text not null,
  period date not null,
  turn_id uuid not null,
  noticed_at timestamptz not null default now(),
  primary key (organization_id, contact_id, quota, period),
  foreign key (organization_id, contact_id) references contacts (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id)
);
comment on table quota_notices is 'Who has been told, once a period, that a quota is used up, and in which turn.';

create table usage_summary (
  organization_id uuid not null references organizations,
  day date not null,
  chatbot_id uuid not null,
  provider text not null,
  model text not null,
  calls integer not null default 0,
  prompt_tokens bigint not null default 0,
  completion_tokens bigint not null default 0,
  estimated_cost numeric not null default 0,
  updated_at timestamptz not null default now(),
  primary key (organization_id, day, chatbot_id, provider, model),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id)
);
comment on table usage_summary is 'usage_logs by day (UTC), chatbot and model, kept by a trigger.';

create function summarize_usage() returns trigger
  language plpgsql set search_path = pg_catalog, public
as $$
begin
  insert into usage_summary (organization_id, day, chatbot_id, provider, model, calls, prompt_tokens,
                             completion_tokens, estimated_cost)
  select new.organization_id, (new.created_at at time zone 'UTC')::date, c.chatbot_id, new.provider, new.model, 1,
         new.prompt_tokens, new.completion_tokens, coalesce(new.estimated_cost, 0)
  from turns t join conversations c on (c.organization_id, c.id) = (t.organization_id, t.conversation_id)
  where (t.organization_id, t.id) = (new.organization_id, new.turn_id)
  on conflict (organization_id, day, chatbot_id, provider, model) do update
  set calls = usage_summary.calls + 1,
      prompt_tokens = usage_summary.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = usage_summary.completion_tokens + excluded.completion_tokens,
      estimated_cost = usage_summary.estimated_cost + excluded.estimated_cost,
      updated_at = now();
  return null;
end
$$;
create trigger summarize_usage after insert on usage_logs for each row execute function summarize_usage();

-- Tools ----------------------------------------------------------------------------------------
create table org_integrations (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  kind text not null check (kind in ('own', 'mcp')),
  name text not null check (name ~ '^[a-z][a-z0-9_]{0,31}$'),
  url text check (url ~ '^https?://'),
  credential_path text,
  is_enabled boolean not null default true,
  tools jsonb check (jsonb_typeof(tools) = 'array'),
  refreshed_at timestamptz,
  refresh_tried_at timestamptz,
  refresh_error text,
  created_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, name),
  check ((kind = 'mcp') = (url is not null)),
  check (credential_path is null
         or kind = 'mcp' and credential_path ~ ('^f/integrations/' || organization_id || '/[A-Za-z0-9_-]+$'))
);
comment on table org_integrations is 'Servers whose tools a tenant''s chatbots may call.';
comment on column org_integrations.kind is
  'own: a server of mcp_servers/ by name, its address is the installation''s. mcp: somebody else''s, at url.';
comment on column org_integrations.credential_path is
  'Windmill variable with the bearer token for url; only of the tenant''s own folder, so that no other secret can leave.';
comment on column org_integrations.tools is 'What the server last said it offers: [{"name", "description", "schema"}].';

create table chatbot_tools (
  organization_id uuid not null references organizations,
  chatbot_id uuid not null,
  integration_id uuid not null,
  tool_name text not null check (char_length(tool_name) between 1 and 128),
  created_at timestamptz not null default now(),
  primary key (organization_id, chatbot_id, integration_id, tool_name),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, integration_id) references org_integrations (organization_id, id)
);
comment on table chatbot_tools is 'The tools that a chatbot has; what a server offers besides these is not shown to the model.';

create table tool_executions (
  organization_id uuid not null references organizations,
  id uuid not null,
  turn_id uuid not null,
  integration_id uuid not null,
  tool_name text not null,
  arguments jsonb not null,
  state text not null default 'running' check (state in ('running', 'succeeded', 'refused', 'failed', 'unknown')),
  attempts integer not null default 1,
  result text,
  error text,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  duration_ms integer,
  primary key (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  foreign key (organization_id, integration_id) references org_integrations (organization_id, id),
  check ((state = 'running') = (finished_at is null)),
  check (state not in ('succeeded', 'refused') or result is not null)
);
create index tool_executions_turn on tool_executions (organization_id, turn_id, started_at);
comment on table tool_executions is
  'Every call of a tool once, written before the call; its id is derived from turn, tool and arguments.';
comment on column tool_executions.state is
  'succeeded, refused: the tool answered. failed: it did nothing. unknown: nobody knows whether it did.';

create table tool_effects (
  organization_id uuid not null references organizations,
  idempotency_key uuid not null,
  request_hash text not null,
  result jsonb,
  created_at timestamptz not null default now(),
  primary key (organization_id, idempotency_key)
);
comment on table tool_effects is
  'What our own servers did under a key, written in the transaction of the effect: asked again, they answer the same.';

create table pricing_tiers (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  product text not null,
  tier text not null,
  unit text not null,
  min_volume bigint not null check (min_volume > 0),
  max_volume bigint check (max_volume >= min_volume),
  unit_price numeric(14, 4) not null check (unit_price >= 0),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  primary key (organization_id, id),
  unique (organization_id, product, tier, min_volume)
);
comment on table pricing_tiers is
  'A volume between min_volume and max_volume (null: no end), both included, costs unit_price for each unit.';

create table qualification_questions (
  organization_id uuid not null references organizations,
  chatbot_id uuid not null,
  key text not null check (key ~ '^[a-z][a-z0-9_]*$'),
  position integer not null,
  question text not null,
  primary key (organization_id, chatbot_id, key),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id)
);

create table leads (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  contact_id uuid not null,
  chatbot_id uuid not null,
  name text not null,
  email text,
  phone text,
  company text,
  need text,
  answers jsonb not null default '{}' check (jsonb_typeof(answers) = 'object'),
  stage text not null check (stage in ('new', 'qualified', 'unqualified', 'won', 'lost')),
  stage_reason text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, contact_id),
  foreign key (organization_id, contact_id) references contacts (organization_id, id),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id)
);
comment on column leads.stage is 'A chatbot says new, qualified or unqualified; people say won or lost, which a chatbot leaves.';

create table notifications (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  kind text not null check (kind in ('handover')),
  chatbot_id uuid not null,
  conversation_id uuid not null,
  turn_id uuid,
  reason text not null,
  is_urgent boolean not null default false,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  error text,
  created_at timestamptz not null default now(),
  settled_at timestamptz,
  primary key (organization_id, id),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  check ((state = 'pending') = (settled_at is null))
);
create unique index notifications_one_pending on notifications (organization_id, conversation_id, kind)
  where state = 'pending';
create index notifications_turn on notifications (organization_id, turn_id);
comment on table notifications is 'What people are to be told; f/ops/notify delivers it.';

-- Knowledge ------------------------------------------------------------------------------------
create table source_files (
  organization_id uuid not null references organizations,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  bytes bytea not null check (octet_length(bytes) <= 20971520),
  size integer not null generated always as (octet_length(bytes)) stored,
  created_at timestamptz not null default now(),
  primary key (organization_id, sha256)
);
comment on table source_files is 'What was uploaded, once however many sources have the same bytes; gone with the last.';

create table crawls (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  chatbot_id uuid not null,
  name text not null check (char_length(name) between 1 and 200),
  url text not null check (char_length(url) <= 500),
  wanted_language text,
  max_pages integer check (max_pages >= 1),
  max_depth integer check (max_depth >= 0),
  every_hours integer check (every_hours >= 1),
  state text not null default 'pending' check (state in ('pending', 'running', 'ready', 'failed', 'cancelled')),
  run integer not null default 1,
  attempts integer not null default 0,
  prepared_at timestamptz,
  is_rechecking boolean not null default false,
  robots text not null default '',
  pause numeric not null default 1,
  absent_words text[] not null default '{}',
  pages_read integer not null default 0,
  pages_found integer not null default 0,
  bytes bigint not null default 0,
  cut text check (cut in ('pages', 'bytes', 'seconds', 'quota_ingestions')),
  warnings jsonb not null default '[]' check (jsonb_typeof(warnings) = 'array'),
  error_code text,
  error_message text,
  started_at timestamptz,
  finished_at timestamptz,
  next_at timestamptz,
  touched_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, chatbot_id, url),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  check ((state = 'failed') = (error_code is not null) and (error_code is null) = (error_message is null))
);
create index crawls_open on crawls (touched_at) where state in ('pending', 'running');
create index crawls_due on crawls (next_at) where next_at is not null;
comment on table crawls is 'A web site of which each page is a source; all but the first columns are of its present or last run.';
comment on column crawls.max_pages is 'At most, like max_depth; null: the plan''s.';
comment on column crawls.is_rechecking is
  'All that is linked has been read; what is known of former runs and was not come by is asked for now.';
comment on column crawls.robots is 'Its robots.txt, as it was when the run began.';
comment on column crawls.pause is 'Seconds between two pages.';
comment on column crawls.absent_words is 'Of what the site answers, as if it were a page, for a page that cannot be.';
comment on column crawls.cut is 'The limit that ended the run before the end of the site.';
comment on column crawls.next_at is 'When the next run begins by itself.';

create table knowledge_sources (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  chatbot_id uuid not null,
  kind text not null check (kind in ('file', 'url', 'text', 'page')),
  crawl_id uuid,
  name text not null check (char_length(name) between 1 and 200),
  url text,
  content_type text not null default '',
  file_sha256 text,
  wanted_language text,
  language text,
  state text not null default 'pending' check (state in ('pending', 'reading', 'embedding', 'ready', 'failed')),
  progress_done integer not null default 0,
  progress_total integer not null default 0,
  error_code text,
  error_message text,
  warnings jsonb not null default '[]' check (jsonb_typeof(warnings) = 'array'),
  wanted_version integer not null default 1,
  version integer,
  embedding_model text,
  content_hash text,
  pages integer not null default 0,
  chunks integer not null default 0,
  attempts integer not null default 0,
  every_hours integer check (every_hours >= 1),
  next_at timestamptz,
  touched_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, chatbot_id, file_sha256),
  unique (organization_id, chatbot_id, url),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, file_sha256) references source_files (organization_id, sha256),
  foreign key (organization_id, crawl_id) references crawls (organization_id, id),
  check ((kind in ('url', 'page')) = (url is not null) and (kind = 'url') = (file_sha256 is null)
         and (kind = 'page') = (crawl_id is not null)),
  check (every_hours is null or kind = 'url'),
  check ((state = 'failed') = (error_code is not null) and (error_code is null) = (error_message is null))
);
create index knowledge_sources_open on knowledge_sources (touched_at) where state not in ('ready', 'failed');
create index knowledge_sources_due on knowledge_sources (next_at) where next_at is not null;
create index knowledge_sources_file on knowledge_sources (organization_id, file_sha256);
create index knowledge_sources_crawl on knowledge_sources (organization_id, crawl_id) where crawl_id is not null;
comment on column knowledge_sources.crawl_id is 'The crawl that has brought a page, and takes it away again.';
comment on column knowledge_sources.wanted_version is 'The version that is being made, or was made last.';
comment on column knowledge_sources.version is
  'The version that customers get answers from; null before the first. A failed attempt leaves it as it is.';
comment on column knowledge_sources.embedding_model is 'Of that version: model/dimensions.';
comment on column knowledge_sources.attempts is 'Runs of the wanted version.';
comment on column knowledge_sources.next_at is 'When the address is read again by itself; null while it is being read.';
comment on column knowledge_sources.touched_at is 'When a run last got on; one that stands still is taken up again.';

create table crawl_pages (
  organization_id uuid not null references organizations,
  crawl_id uuid not null,
  url text not null check (char_length(url) <= 500),
  position bigint not null generated always as identity,
  run integer not null,
  depth integer not null,
  hops integer not null default 0,
  origin text not null check (origin in ('start', 'sitemap', 'link')),
  shape text,
  state text not null default 'waiting'
    check (state in ('waiting', 'taken', 'unchanged', 'skipped', 'refused', 'failed', 'gone')),
  reason text,
  tries integer not null default 0,
  etag text,
  last_modified text,
  sha256 text,
  source_id uuid,
  is_excluded boolean not null default false,
  touched_at timestamptz not null default now(),
  primary key (organization_id, crawl_id, url),
  foreign key (organization_id, crawl_id) references crawls (organization_id, id) on delete cascade,
  foreign key (organization_id, source_id) references knowledge_sources (organization_id, id)
    on delete set null (source_id)
);
create index crawl_pages_waiting on crawl_pages (organization_id, crawl_id, run, tries, depth, position)
  where state = 'waiting';
create index crawl_pages_shape on crawl_pages (organization_id, crawl_id, shape) where shape is not null;
create index crawl_pages_source on crawl_pages (organization_id, source_id) where source_id is not null;
comment on table crawl_pages is 'An address of a crawl''s site, and what became of it in the last run that came by it.';
comment on column crawl_pages.hops is 'Redirects and canonical addresses that led here, one after the other.';
comment on column crawl_pages.shape is 'What it has in common with others that a program makes; these are bounded.';
comment on column crawl_pages.is_excluded is 'The tenant has deleted its source: it is not read again.';

create table site_paces (
  site text primary key check (char_length(site) <= 300),
  next_at timestamptz not null
);
create index on site_paces (next_at);
comment on table site_paces is
  'From when on a web site may be asked for its next page, whoever crawls it. No tenant''s; scripts have reserve_visit.';

create table source_versions (
  organization_id uuid not null references organizations,
  source_id uuid not null,
  version integer not null,
  outcome text check (outcome in ('ready', 'unchanged', 'failed', 'superseded')),
  error_code text,
  content_hash text,
  embedding_model text,
  language text,
  pages integer not null default 0,
  chunks integer not null default 0,
  embedded integer not null default 0,
  etag text,
  last_modified text,
  created_at timestamptz not null default now(),
  settled_at timestamptz,
  primary key (organization_id, source_id, version),
  foreign key (organization_id, source_id) references knowledge_sources (organization_id, id) on delete cascade,
  check ((outcome is null) = (settled_at is null))
);
comment on column source_versions.embedded is 'Chunks that had to be embedded; the others were known.';
comment on column source_versions.etag is
  'With last_modified: what its address said of it, so that it can be asked whether it has changed since.';

create table extractions (
  organization_id uuid not null references organizations,
  source_id uuid not null,
  version integer not null,
  pages jsonb not null,
  warnings jsonb not null,
  read_at timestamptz not null default now(),
  primary key (organization_id, source_id, version),
  foreign key (organization_id, source_id, version)
    references source_versions (organization_id, source_id, version) on delete cascade
);
comment on table extractions is 'The text of a version between reading and cutting. It is dropped when the version is staged or ends.';
comment on column extractions.pages is 'Of each page its number and its Markdown.';

create table staged_chunks (
  organization_id uuid not null references organizations,
  source_id uuid not null,
  version integer not null,
  position integer not null,
  headings text[] not null,
  page integer,
  body text not null,
  content_hash text not null,
  terms tsvector not null,
  embedding halfvec,
  is_reused boolean not null default false,
  primary key (organization_id, source_id, version, position),
  foreign key (organization_id, source_id, version)
    references source_versions (organization_id, source_id, version) on delete cascade
);
comment on table staged_chunks is 'A version while it is made: nobody finds it. All of it moves to document_chunks at once.';

create table document_chunks (
  organization_id uuid not null references organizations,
  id bigint generated always as identity,
  chatbot_id uuid not null,
  source_id uuid not null,
  version integer not null,
  position integer not null,
  headings text[] not null,
  page integer,
  body text not null,
  content_hash text not null,
  length integer not null,
  embedding_model text not null,
  embedding halfvec not null,
  primary key (organization_id, id),
  unique (organization_id, source_id, position),
  foreign key (organization_id, source_id) references knowledge_sources (organization_id, id) on delete cascade
);
create index document_chunks_of_chatbot on document_chunks (organization_id, chatbot_id) include (length);
create index document_chunks_content on document_chunks (organization_id, content_hash);
-- One for each dimension that chatbots_embedding_check allows. A search uses them for large chatbots only.
create index document_chunks_384 on document_chunks using hnsw ((embedding::halfvec(384)) halfvec_cosine_ops)
  where vector_dims(embedding) = 384;
create index document_chunks_512 on document_chunks using hnsw ((embedding::halfvec(512)) halfvec_cosine_ops)
  where vector_dims(embedding) = 512;
create index document_chunks_1536 on document_chunks using hnsw ((embedding::halfvec(1536)) halfvec_cosine_ops)
  where vector_dims(embedding) = 1536;
comment on table document_chunks is 'What searches see: the current version of each source and nothing else.';
comment on column document_chunks.length is 'Words that count: the sum of the frequencies of its chunk_terms.';

create table chunk_terms (
  organization_id uuid not null references organizations,
  chatbot_id uuid not null,
  term text not null,
  chunk_id bigint not null,
  frequency smallint not null,
  length integer not null,
  foreign key (organization_id, chunk_id) references document_chunks (organization_id, id) on delete cascade
);
create index chunk_terms_found on chunk_terms (organization_id, chatbot_id, term) include (chunk_id, frequency, length);
create index chunk_terms_of_chunk on chunk_terms (organization_id, chunk_id);
comment on table chunk_terms is 'Which words are how often in a chunk, for BM25; length is the chunk''s.';

create table ingestion_days (
  organization_id uuid not null references organizations,
  day date not null,
  ingestions integer not null default 0,
  primary key (organization_id, day)
);
comment on table ingestion_days is 'Sources added or read again on one day (UTC).';

create table answer_passages (
  organization_id uuid not null references organizations,
  turn_id uuid not null,
  number integer not null,
  source_id uuid not null,
  source_name text not null,
  version integer not null,
  positions integer[] not null,
  headings text[] not null,
  page integer,
  content_hash text not null,
  score double precision not null,
  is_cited boolean not null,
  primary key (organization_id, turn_id, number),
  foreign key (organization_id, turn_id) references turns (organization_id, id)
);
comment on table answer_passages is 'The passages that the model was given for an answer, and which of them it cited.';

create table knowledge_gaps (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  chatbot_id uuid not null,
  conversation_id uuid not null,
  turn_id uuid not null,
  group_id uuid not null,
  question text not null check (char_length(question) between 1 and 2000),
  language text not null,
  score double precision not null,
  embedding_model text,
  embedding halfvec,
  checked bigint not null default -1,
  checked_at timestamptz not null default now(),
  state text not null default 'open' check (state in ('open', 'answered', 'dismissed', 'erased')),
  asked_at timestamptz not null default now(),
  settled_at timestamptz,
  primary key (organization_id, id),
  unique (organization_id, turn_id),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id),
  check ((embedding is null) = (embedding_model is null)),
  check ((state = 'open') = (settled_at is null))
);
create index knowledge_gaps_of_chatbot on knowledge_gaps (organization_id, chatbot_id, state, group_id, asked_at);
create index knowledge_gaps_of_conversation on knowledge_gaps (organization_id, conversation_id);
comment on table knowledge_gaps is 'Questions that a chatbot did not know the answer to, once a turn.';
comment on column knowledge_gaps.group_id is 'Alike questions have the same: the id of the first of them.';
comment on column knowledge_gaps.score is 'Cosine of the nearest passage when it was asked; 0 where there was none.';
comment on column knowledge_gaps.checked is 'chatbots.published when it was last compared with the knowledge.';

-- Operations -----------------------------------------------------------------------------------
create table account_events (
  organization_id uuid not null references organizations,
  job_id uuid not null,
  position integer not null,
  phone_number_id text,
  waba_id text,
  field text not null,
  value jsonb not null,
  received_at timestamptz not null,
  primary key (organization_id, job_id, position)
);
comment on table account_events is 'Updates that are neither a message nor a status we wait for, kept for operators.';

create table unrouted_events (
  job_id uuid not null,
  position integer not null,
  reason text not null,
  phone_number_id text,
  waba_id text,
  app_id text,
  field text not null,
  payload jsonb not null,
  received_at timestamptz not null,
  stored_at timestamptz not null default now(),
  primary key (job_id, position)
);
comment on table unrouted_events is 'What belongs to no organisation: for the operators of the installation, not for tenants.';

create table system_alerts (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid references organizations,
  kind text not null,
  subject text not null default '',
  details jsonb not null default '{}',
  occurrences integer not null default 1,
  first_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  resolved_at timestamptz
);
create unique index system_alerts_open on system_alerts (organization_id, kind, subject) nulls not distinct
  where resolved_at is null;
comment on column system_alerts.organization_id is 'Null: for the operators of the installation.';
comment on column system_alerts.subject is 'The id of what it is about; with kind it makes repeats one alert.';

create table failed_runs (
  job_id uuid primary key,
  path text not null,
  created_at timestamptz not null,
  attempts integer not null default 0,
  next_at timestamptz not null default now(),
  settled text
);
create index failed_runs_due on failed_runs (path, next_at) where settled is null;
comment on table failed_runs is 'Runs that ended without success, as the sweep remembers them for some days.';
comment on column failed_runs.settled is 'Why it is not repeated (any more).';

create index system_alerts_unresolved on system_alerts (last_at) where resolved_at is null;

create table alert_channels (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid references organizations,
  name text not null check (name ~ '\S'),
  kind text not null check (kind in ('email', 'webhook')),
  target text not null,
  minimum_severity text not null default 'warning' check (minimum_severity in ('info', 'warning', 'critical')),
  kinds text[],
  is_enabled boolean not null default true,
  next_at timestamptz not null default now(),
  told_at timestamptz,
  failures integer not null default 0,
  error text,
  created_at timestamptz not null default now(),
  constraint alert_channels_target_check check (case kind
    when 'email' then target ~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$' and char_length(target) <= 254
    else target ~ ('^f/' || coalesce('integrations/' || organization_id, 'ops') || '/[A-Za-z0-9_-]+$') end),
  unique nulls not distinct (organization_id, name)
);
comment on table alert_channels is 'Where f/ops/notify tells people of alerts and hand-overs.';
comment on column alert_channels.organization_id is
  'Null: the installation''s operators, who hear of every organisation''s alerts and of no hand-over.';
comment on column alert_channels.target is
  'An e-mail address, or the Windmill variable with the webhook''s address, only of the tenant''s own folder.';
comment on column alert_channels.kinds is 'Kinds of alerts, and handover; null: all from minimum_severity on.';
comment on column alert_channels.next_at is 'Before this it is left alone: it is being told, or has failed.';
comment on column alert_channels.error is 'Why it failed last; null: it works.';

create table notices (
  organization_id uuid references organizations,
  channel_id uuid not null references alert_channels on delete cascade,
  source text not null check (source in ('alert', 'handover')),
  item_id uuid not null,
  state text not null check (state in ('open', 'resolved')),
  told_at timestamptz not null default now(),
  times integer not null default 1,
  primary key (channel_id, source, item_id)
);
create index notices_open on notices (channel_id, item_id) where state = 'open' and source = 'alert';
comment on table notices is 'What each channel has been told of: a row of system_alerts or of notifications.';
comment on column notices.organization_id is 'The channel''s.';

-- Row-level security ---------------------------------------------------------------------------
do $$
declare
  name text;
begin
  for name in
    select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attname = 'organization_id'
    order by 1
  loop
    execute format('alter table %I enable row level security, force row level security', name);
    execute format('create policy owner_all on %I to owner using (true) with check (true)', name);
    execute format('create policy backup_read on %I for select to backup using (true)', name);
    execute format('create policy tenant on %I to app using (organization_id = (select current_organization()))'
                   ' with check (organization_id = (select current_organization()))', name);
    execute format('grant select, insert, update on %I to app', name);
  end loop;
end
$$;
revoke insert, update on organizations, chatbots, whatsapp_numbers, api_keys from app;
revoke insert, update on alert_channels from app;
grant update (next_at, told_at, failures, error) on alert_channels to app;
revoke insert, update on org_integrations, chatbot_tools, pricing_tiers, qualification_questions from app;
grant update (tools, refreshed_at, refresh_tried_at, refresh_error) on org_integrations to app;
grant update (held_since, held_reason, probe_at, probes) on whatsapp_numbers to app;
grant update (published) on chatbots to app;
grant select on plans, model_prices to app;
grant delete on token_reservations to app;
grant delete on source_files, knowledge_sources, source_versions, extractions, staged_chunks, document_chunks,
  chunk_terms, crawls, crawl_pages to app;
grant insert on unrouted_events to app;
grant select, insert, update, delete on failed_runs to app;
grant select on all tables in schema public to backup;

-- Alerts of the installation itself name no organisation; every script may raise and count them.
create policy operator_alert on system_alerts to app
  using (organization_id is null) with check (organization_id is null);
create policy operator_channel on alert_channels to app
  using (organization_id is null) with check (organization_id is null);
create policy operator_notice on notices to app
  using (organization_id is null) with check (organization_id is null);

-- Routing --------------------------------------------------------------------------------------
grant select (phone_number_id, organization_id, app_id, waba_id, held_since, probe_at) on whatsapp_numbers to router;
grant select (organization_id, id, key_hash, scopes, expires_at, revoked_at) on api_keys to router;
grant select (organization_id, id, conversation_id, outcome, stored_at) on webhook_events to router;
grant select (organization_id, id, phone_number_id, contact_id, lease_holder, lease_until, resumed_at, waits_until)
  on conversations to router;
grant select (organization_id, id, user_id, wa_id) on contacts to router;
grant select (organization_id, id, conversation_id, state, claimed_at) on outbox to router;
grant select (organization_id, id, is_enabled, refreshed_at, refresh_tried_at) on org_integrations to router;
create policy route on whatsapp_numbers for select to router using (true);
create policy route on api_keys for select to router using (true);
create policy route on webhook_events for select to router using (outcome is null);
create policy route on conversations for select to router using (true);
create policy route on contacts for select to router using (true);
create policy route on outbox for select to router using (state = 'sending');
grant select (organization_id, turn_id, reserved_at) on token_reservations to router;
create policy route on token_reservations for select to router using (true);
grant select (id, organization_id, kind, subject, first_at, last_at, resolved_at) on system_alerts to router;
grant select (id, organization_id, minimum_severity, kinds, is_enabled, next_at, told_at, created_at)
  on alert_channels to router;
grant select (channel_id, source, item_id, state, told_at) on notices to router;
grant select (organization_id, id, kind, state, created_at) on notifications to router;
create policy route on system_alerts for select to router using (true);
create policy route on alert_channels for select to router using (true);
create policy route on notices for select to router using (true);
create policy route on notifications for select to router using (true);
create policy route on org_integrations for select to router using (is_enabled);

grant select (organization_id, id, chatbot_id, state, touched_at, next_at, embedding_model) on knowledge_sources
  to router;
grant select (organization_id, id, embedding_model, embedding_dimensions, published) on chatbots to router;
grant select (organization_id, id, chatbot_id, embedding_model, checked, checked_at, state) on knowledge_gaps to router;
grant select (organization_id, id, state, touched_at, next_at) on crawls to router;
create policy route on knowledge_sources for select to router using (true);
create policy route on chatbots for select to router using (true);
create policy route on crawls for select to router using (true);
create policy route on knowledge_gaps for select to router using (state = 'open');

-- Whose number this is, and which Meta app must have signed for it.
create function route_number(number_id text) returns table (organization_id uuid, app_id text)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select n.organization_id, n.app_id from whatsapp_numbers n where n.phone_number_id = number_id;
  end;

-- Whose WhatsApp Business Account this is; nothing when two organisations share it.
create function route_waba(account_id text, signing_app_id text) returns uuid
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select (array_agg(distinct n.organization_id))[1] from whatsapp_numbers n
    where n.waba_id = account_id and n.app_id = signing_app_id
    having count(distinct n.organization_id) = 1;
  end;

-- Whose API key this is, given its SHA-256 in hex; nothing once it is revoked or expired.
create function route_api_key(hash text) returns table (organization_id uuid, api_key_id uuid, scopes text[])
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select k.organization_id, k.id, k.scopes from api_keys k
    where k.key_hash = hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > now());
  end;

-- Conversations with a message that nobody works on: older than `age`, no live lease, not just resumed, not told to
-- wait. Those of a held number wait for its release; one of them is the probe, and what is a day old ends.
create function stranded_conversations(age interval, most integer)
  returns table (organization_id uuid, conversation_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select s.organization_id, s.id
    from (select c.organization_id, c.id, waiting.oldest,
                 n.held_since is null or waiting.newest < now() - interval '24 hours' as is_free,
                 n.probe_at <= now() and row_number() over (partition by c.phone_number_id, n.held_since is not null
                                                            order by waiting.newest desc, c.id) = 1 as is_probe
          from (select e.organization_id, e.conversation_id, min(e.stored_at) as oldest, max(e.stored_at) as newest
                from webhook_events e where e.outcome is null and e.stored_at < now() - age
                group by 1, 2) as waiting
          join conversations c on (c.organization_id, c.id) = (waiting.organization_id, waiting.conversation_id)
          join whatsapp_numbers n on n.phone_number_id = c.phone_number_id
          where (c.lease_holder is null or c.lease_until < now())
            and (c.resumed_at is null or c.resumed_at < now() - interval '60 seconds')
            and (c.waits_until is null or c.waits_until < now())) as s
    where s.is_free or s.is_probe
    order by s.oldest limit most;
  end;

-- Sends whose process is gone: what may have gone out is settled as uncertain, never sent again.
create function stuck_sends(age interval, most integer)
  returns table (organization_id uuid, outbox_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select o.organization_id, o.id from outbox o
    where o.state = 'sending' and o.claimed_at < now() - age order by o.claimed_at limit most;
  end;

-- Reservations whose turn is gone: no call takes that long.
create function stale_reservations(age interval, most integer)
  returns table (organization_id uuid, turn_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select r.organization_id, r.turn_id from token_reservations r
    where r.reserved_at < now() - age order by r.reserved_at limit most;
  end;

-- Messages that have no outcome after `age`, and no alert yet.
create function overdue_messages(age interval, most integer)
  returns table (organization_id uuid, event_id bigint, conversation_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select e.organization_id, e.id, e.conversation_id from webhook_events e
    where e.outcome is null and e.stored_at < now() - age and not exists (
      select from system_alerts a
      where a.organization_id = e.organization_id and a.kind = 'message_without_outcome' and a.subject = e.id::text
        and a.resolved_at is null)
    order by e.stored_at limit most;
  end;

-- Messages whose alert is open although they have an outcome now. (Router sees those without one only.)
create function settled_messages(most integer) returns table (organization_id uuid, event_id text)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select a.organization_id, a.subject from system_alerts a
    where a.kind = 'message_without_outcome' and a.resolved_at is null and not exists (
      select from webhook_events e
      where e.outcome is null and (e.organization_id, e.id::text) = (a.organization_id, a.subject))
    order by a.last_at limit most;
  end;

-- What is to be told: channels that may be used now, and the alerts and hand-overs they have not been told of as these
-- are. `severities` has 1 (info) to 3 (critical) by kind, others are 2. After a notice a channel rests from alerts for
-- `rest`. An open alert is told again when it recurs after `again_after`; one that was over and is back sooner, when
-- it has lasted a quarter of an hour.
create function due_notices(severities jsonb, again_after interval, rest interval, most integer)
  returns table (channel_id uuid, channel_organization_id uuid, source text, item_id uuid, organization_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select c.id, c.organization_id, due.source, due.item_id, due.organization_id
    from alert_channels c
    cross join lateral (
      select 'alert' as source, a.id as item_id, a.organization_id, a.last_at as at
      from system_alerts a left join notices n on (n.channel_id, n.source, n.item_id) = (c.id, 'alert', a.id)
      where a.resolved_at is null and (c.organization_id is null or c.organization_id = a.organization_id)
        and (c.told_at is null or c.told_at < now() - rest)
        and (c.kinds is null or a.kind = any(c.kinds))
        and coalesce((severities ->> a.kind)::integer, 2)
            >= array_position(array['info', 'warning', 'critical'], c.minimum_severity)
        and (a.kind, a.subject) <> ('channel_failing', c.id::text)
        and case when n.item_id is not null then n.told_at < now() - again_after and a.last_at > n.told_at
                 else a.first_at < now() - interval '15 minutes' or not exists (
                   select from system_alerts b join notices m on (m.source, m.item_id) = ('alert', b.id)
                   where m.channel_id = c.id and m.told_at > now() - again_after and b.id <> a.id
                     and (b.kind, b.subject) = (a.kind, a.subject)
                     and b.organization_id is not distinct from a.organization_id) end
      union all
      select 'alert' as text, a.id, a.organization_id, a.resolved_at
      from notices n join system_alerts a on a.id = n.item_id
      where n.channel_id = c.id and n.source = 'alert' and n.state = 'open' and a.resolved_at is not null
        and (c.told_at is null or c.told_at < now() - rest)
      union all
      select 'handover' as text, h.id, h.organization_id, h.created_at
      from notifications h
      where h.organization_id = c.organization_id and h.created_at > now() - interval '1 day'
        and (h.state = 'pending' or h.state = 'delivered' and h.created_at > c.created_at)
        and (c.kinds is null or h.kind = any(c.kinds)) and not exists (
          select from notices n where (n.channel_id, n.source, n.item_id) = (c.id, 'handover', h.id))
    ) as due
    where c.is_enabled and c.next_at <= now()
    order by due.at limit most;
  end;

-- Hand-overs that nobody has been told of for `age` and that have no alert yet; those of yesterday have failed.
create function untold_handovers(age interval, most integer)
  returns table (organization_id uuid, notification_id uuid, is_over boolean)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select h.organization_id, h.id, h.created_at < now() - interval '1 day' from notifications h
    where h.state = 'pending' and h.created_at < now() - age
      and (h.created_at < now() - interval '1 day' or not exists (
        select from system_alerts a
        where a.organization_id = h.organization_id and a.kind = 'handover_not_told' and a.subject = h.id::text
          and a.resolved_at is null))
    order by h.created_at limit most;
  end;

-- Servers in use whose list of tools is older than `age`, or was never fetched, and was not just asked for.
create function stale_integrations(age interval, most integer)
  returns table (organization_id uuid, integration_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select i.organization_id, i.id from org_integrations i
    where i.is_enabled and (i.refreshed_at is null or i.refreshed_at < now() - age)
      and (i.refresh_tried_at is null or i.refresh_tried_at < now() - age / 4)
    order by i.refresh_tried_at nulls first limit most;
  end;

-- Sources whose run stands still, or that are embedded otherwise than their chatbot now wants.
create function stalled_ingestions(age interval, most integer)
  returns table (organization_id uuid, source_id uuid, is_changed boolean)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select s.organization_id, s.id, s.state = 'ready' from knowledge_sources s
    join chatbots c on (c.organization_id, c.id) = (s.organization_id, s.chatbot_id)
    where s.state in ('reading', 'embedding') and s.touched_at < now() - age
       or s.state = 'pending' and s.touched_at < now() - age / 5
       or s.state = 'ready' and s.embedding_model <> c.embedding_model || '/' || c.embedding_dimensions
    order by s.touched_at limit most;
  end;

-- Sources whose address is to be read again by itself.
create function due_sources(most integer) returns table (organization_id uuid, source_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select s.organization_id, s.id from knowledge_sources s
    where s.next_at <= now() order by s.next_at limit most;
  end;

-- Open gaps that were not compared with what their chatbot knows by now, or are not embedded as it wants.
create function unchecked_gaps(most integer) returns table (organization_id uuid, gap_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select g.organization_id, g.id from knowledge_gaps g
    join chatbots c on (c.organization_id, c.id) = (g.organization_id, g.chatbot_id)
    where g.state = 'open' and (
      g.checked < c.published
      or g.embedding_model is distinct from c.embedding_model || '/' || c.embedding_dimensions)
    order by g.checked_at limit most;
  end;

-- Crawls whose run stands still, or whose next run is due.
create function due_crawls(age interval, most integer)
  returns table (organization_id uuid, crawl_id uuid, is_next boolean)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select c.organization_id, c.id, c.state not in ('pending', 'running') from crawls c
    where c.state = 'running' and c.touched_at < now() - age
       or c.state = 'pending' and c.touched_at < now() - age / 5
       or c.state not in ('pending', 'running') and c.next_at <= now()
    order by c.touched_at limit most;
  end;

-- The next turn to ask `site` for a page, in the seconds until then: all crawls of it, whoever's, keep `pause` seconds
-- apart. A turn that is more than `patience` seconds away is not taken: who asks is to come back.
grant select, insert, update, delete on site_paces to router;
create function reserve_visit(site text, pause double precision, patience double precision, out wait double precision)
  language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  -- Passing over what others hold: whoever waits for two sites could wait for somebody who waits for them.
  delete from site_paces p where p.site in (
    select old.site from site_paces old where old.next_at < now() - interval '1 hour' order by old.next_at limit 10
    for update skip locked);
  insert into site_paces as p (site, next_at) values (reserve_visit.site, clock_timestamp())
  on conflict on constraint site_paces_pkey do update set site = p.site  -- locks it
  returning greatest(0, extract(epoch from p.next_at - clock_timestamp())) into wait;
  if wait <= patience then
    update site_paces p set next_at = clock_timestamp() + (wait + pause) * interval '1 second'
    where p.site = reserve_visit.site;
  end if;
end
$$;

-- A conversation by its id, or those of a contact by phone number or business-scoped id: for operators' scripts.
create function find_conversations(wanted uuid, contact text)
  returns table (organization_id uuid, conversation_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select c.organization_id, c.id from conversations c where c.id = wanted
    union
    select c.organization_id, c.id from contacts k
    join conversations c on (c.organization_id, c.contact_id) = (k.organization_id, k.id)
    where k.wa_id = contact or k.user_id = contact;
  end;

-- Messages to a number that was not known, or was another app's, when they came, and is somebody's now: they are handed
-- over to that organisation, oldest first. For operators' scripts, in the transaction that stores them.
grant select, delete on unrouted_events to router;
create function take_unrouted(number_id text, most integer)
  returns table (organization_id uuid, app_id text, waba_id text, job_id uuid, place integer, payload jsonb,
                 received_at timestamptz)
  language sql volatile security definer set search_path = pg_catalog, public
  begin atomic
    with found as materialized (
      select u.job_id, u.position, n.organization_id
      from unrouted_events u join whatsapp_numbers n on (n.phone_number_id, n.app_id) = (u.phone_number_id, u.app_id)
      where u.phone_number_id = number_id and u.field = 'messages' and u.reason <> 'no sender'
      order by u.received_at, u.position limit most
    ), taken as (
      delete from unrouted_events u using found f where (u.job_id, u.position) = (f.job_id, f.position)
      returning f.organization_id, u.app_id, u.waba_id, u.job_id, u.position, u.payload, u.received_at
    )
    select * from taken order by received_at, position;
  end;

-- They are router's, and for scripts and the owner only.
grant create on schema public to router;
do $$
declare
  function regprocedure;
begin
  for function in
    select p.oid from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prosecdef order by 1
  loop
    execute format('alter function %s owner to router', function);
    execute format('revoke execute on function %s from public', function);
    execute format('grant execute on function %s to app, owner', function);
  end loop;
end
$$;
revoke create on schema public from router;

-- Reading --------------------------------------------------------------------------------------
create view organization_limits with (security_invoker = true) as
select o.organization_id, o.plan_code as plan,
       coalesce(o.monthly_messages, p.monthly_messages) as monthly_messages,
       coalesce(o.monthly_tokens, p.monthly_tokens) as monthly_tokens,
       coalesce(o.daily_messages_per_contact, p.daily_messages_per_contact) as daily_messages_per_contact,
       coalesce(o.knowledge_sources, p.knowledge_sources) as knowledge_sources,
       coalesce(o.knowledge_pages, p.knowledge_pages) as knowledge_pages,
       coalesce(o.knowledge_bytes, p.knowledge_bytes) as knowledge_bytes,
       coalesce(o.daily_ingestions, p.daily_ingestions) as daily_ingestions,
       coalesce(o.crawls, p.crawls) as crawls,
       coalesce(o.crawl_pages, p.crawl_pages) as crawl_pages,
       coalesce(o.crawl_depth, p.crawl_depth) as crawl_depth,
       coalesce(o.crawl_bytes, p.crawl_bytes) as crawl_bytes,
       coalesce(o.crawl_seconds, p.crawl_seconds) as crawl_seconds
from organizations o join plans p on p.code = o.plan_code;
comment on view organization_limits is 'What an organisation may use: its own limit where it has one, else its plan''s.';
grant select on organization_limits to app, manager, backup;

create view turn_details with (security_invoker = true) as
select e.organization_id, e.phone_number_id, e.wamid, e.outcome, e.outcome_reason,
       t.id as turn_id, t.model, t.steps, t.tools, t.prompt_tokens, t.completion_tokens, t.error,
       (extract(epoch from t.finished_at - e.stored_at) * 1000)::integer as duration_ms,
       (select jsonb_agg(jsonb_build_object('id', o.id, 'position', o.position, 'text', o.body, 'state', o.state,
                                            'wamid', o.wamid) order by o.position)
        from outbox o where (o.organization_id, o.turn_id) = (e.organization_id, e.turn_id)) as outbox
from webhook_events e
left join turns t on (t.organization_id, t.id) = (e.organization_id, e.turn_id);
comment on view turn_details is 'How each inbound message ended and what its turn did, for pages and operators.';
grant select on turn_details to app, backup;

create view outcome_ledger with (security_invoker = true) as
select e.organization_id, e.id as event_id, e.wamid, e.phone_number_id, e.conversation_id, e.kind,
       coalesce(e.outcome, 'open') as outcome, e.outcome_reason,
       e.outcome is null and e.stored_at < now() - interval '3 minutes' as is_overdue,
       reply.delivery, reply.delivery_status, reply.parts,
       e.turn_id, t.model, coalesce(t.refusal, t.error) as turn_reason, e.job_id,
       e.sent_at, e.received_at, e.stored_at, t.started_at, t.generated_at, reply.sent_at as reply_sent_at,
       reply.delivery_status_at, e.settled_at,
       round(extract(epoch from coalesce(e.settled_at, now()) - e.stored_at), 1) as seconds
from webhook_events e
left join turns t on (t.organization_id, t.id) = (e.organization_id, e.turn_id)
left join lateral (
  select count(*) as parts, max(o.settled_at) filter (where o.state in ('sent', 'uncertain')) as sent_at,
         case when bool_or(o.state = 'failed') then 'failed' when bool_or(o.state = 'uncertain') then 'uncertain'
              when bool_or(o.state = 'sending') then 'sending' when bool_or(o.state = 'pending') then 'pending'
              else min(o.state) end as delivery,
         case when bool_or(o.delivery_status = 'failed') then 'failed'
              when bool_or(o.delivery_status is null) then null
              else (array['sent', 'delivered', 'read'])[
                min(array_position(array['sent', 'delivered', 'read'], o.delivery_status))] end as delivery_status,
         max(o.delivery_status_at) as delivery_status_at
  from outbox o where (o.organization_id, o.turn_id) = (e.organization_id, e.turn_id)) as reply on reply.parts > 0;
comment on view outcome_ledger is
  'Every inbound message, how it ended and why. A tenant sees its own; what belongs to no tenant is in unrouted_events.';
comment on column outcome_ledger.outcome is 'open: it has none yet; is_overdue, and an alert, after three minutes.';
comment on column outcome_ledger.delivery is 'What we know of the reply''s call; delivery_status is what Meta said afterwards.';
comment on column outcome_ledger.seconds is 'From storing the message to its outcome, or until now.';
grant select on outcome_ledger to app, backup;

-- Administration -------------------------------------------------------------------------------
-- manager is what f/admin logs in as. It changes the settings of one organisation at a time; the scripts
-- that read customers' words (app) cannot. Neither can take anything away from the record of changes.
create table operator_keys (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  key_prefix text not null,
  key_hash text not null unique check (key_hash ~ '^[0-9a-f]{64}$'),
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
comment on table operator_keys is 'Keys of the installation''s operators, as hashes; scripts see them through route_operator_key alone.';

create table audit_log (
  id bigint generated always as identity primary key,
  organization_id uuid references organizations,
  at timestamptz not null default now(),
  actor_kind text not null check (actor_kind in ('operator_key', 'api_key', 'windmill')),
  actor text not null,
  action text not null,
  target text not null,
  target_id text,
  old jsonb,
  new jsonb,
  job_id uuid
);
create index audit_log_of_organization on audit_log (organization_id, id);
comment on table audit_log is 'Who did or looked at what through f/admin and u/admin. Never a secret, never a customer''s words.';
comment on column audit_log.organization_id is 'Null: the installation as a whole.';
comment on column audit_log.actor is 'The key''s id, or the Windmill user.';

alter table audit_log enable row level security, force row level security;
create policy owner_all on audit_log to owner using (true) with check (true);
create policy backup_read on audit_log for select to backup using (true);
create policy tenant on audit_log to app using (organization_id = (select current_organization()))
  with check (organization_id = (select current_organization()));
grant select on audit_log to app;
create policy installation on audit_log for insert to manager with check (organization_id is null);
grant select, insert on audit_log to manager;
grant select on operator_keys, audit_log to backup;

do $$
declare
  name text;
begin
  foreach name in array array['organizations', 'api_keys', 'chatbots', 'whatsapp_numbers', 'org_integrations',
                             'chatbot_tools', 'contacts', 'conversations', 'messages', 'webhook_events', 'turns',
                             'usage_logs', 'quota_usage', 'audit_log', 'pricing_tiers',
                             'qualification_questions', 'alert_channels']
  loop
    execute format('create policy manage on %I to manager using (organization_id = (select current_organization()))'
                   ' with check (organization_id = (select current_organization()))', name);
  end loop;
end
$$;
grant select, insert, update on organizations, chatbots, whatsapp_numbers, org_integrations to manager;
grant select, insert, update (expires_at, revoked_at) on api_keys to manager;
grant select, insert, delete on chatbot_tools, pricing_tiers, qualification_questions to manager;
grant select, insert, update on alert_channels to manager;
-- Only where no tenant's key has bound the transaction to its organisation.
create policy installation on alert_channels to manager
  using (organization_id is null and (select current_organization()) is null)
  with check (organization_id is null and (select current_organization()) is null);
create policy installation_read on audit_log for select to manager
  using (organization_id is null and (select current_organization()) is null);
grant select on plans, usage_logs, quota_usage, turns to manager;
grant select (organization_id, id, user_id, wa_id) on contacts to manager;
grant select on conversations to manager;
grant select (organization_id, conversation_id, direction, sent_at) on messages to manager;
grant select (organization_id, conversation_id, stored_at, outcome) on webhook_events to manager;

grant select (id, key_hash, expires_at, revoked_at), update (revoked_at) on operator_keys to router;
grant select (organization_id, slug, name, plan_code, created_at) on organizations to router;
create policy route on organizations for select to router using (true);

-- Which operator's key this is, given its SHA-256 in hex; nothing once it is revoked or expired. Until the end
-- of the transaction it cannot be revoked.
create function route_operator_key(hash text) returns table (operator_key_id uuid)
  language sql volatile security definer set search_path = pg_catalog, public
  begin atomic
    select k.id from operator_keys k
    where k.key_hash = hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
    for share;
  end;

-- The organisation that an operator names by slug or id.
create function route_organization(wanted text) returns uuid
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select o.organization_id from organizations o where o.slug = wanted or o.organization_id::text = wanted;
  end;

-- The organisations of the installation, in the order of their slugs, after `previous`.
create function known_organizations(previous text, most integer)
  returns table (organization_id uuid, slug text, name text, plan_code text, created_at timestamptz)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select o.organization_id, o.slug, o.name, o.plan_code, o.created_at from organizations o
    where o.slug > previous order by o.slug limit most;
  end;

-- Figures of all organisations together, for u/admin/check_health: how many there are of what, and since when.
create function health_figures() returns table (name text, amount bigint, since timestamptz)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select 'numbers held' as text, count(*), min(n.held_since) from whatsapp_numbers n where n.held_since is not null
    union all
    select 'leases left' as text, count(*), min(c.lease_until) from conversations c
    where c.lease_holder is not null and c.lease_until < now() - interval '2 minutes'
    union all
    select 'messages waiting' as text, count(*), min(e.stored_at) from webhook_events e where e.outcome is null
    union all
    select 'sends stuck' as text, count(*), min(o.claimed_at) from outbox o
    where o.state = 'sending' and o.claimed_at < now() - interval '2 minutes'
    union all
    select 'hand-overs untold' as text, count(*), min(h.created_at) from notifications h where h.state = 'pending'
    union all
    select 'messages unrouted' as text, count(*), min(u.received_at) from unrouted_events u where u.field = 'messages'
    union all
    select 'channels of operators' as text, count(*), min(c.created_at) from alert_channels c
    where c.organization_id is null and c.is_enabled
    union all
    select 'alerts untold' as text, count(*), min(a.first_at) from system_alerts a
    where a.resolved_at is null and a.first_at < now() - interval '15 minutes' and not exists (
      select from notices n where (n.source, n.item_id) = ('alert', a.id))
    union all
    (select 'alert: ' || a.kind as text, count(*), min(a.first_at) from system_alerts a
     where a.resolved_at is null group by a.kind order by a.kind);
  end;

-- Where the keys of the models are that active chatbots use.
grant select (organization_id, is_active, model_provider, model_resource_path, fallback_models) on chatbots to router;
create function models_in_use() returns table (provider text, resource_path text)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select c.model_provider, c.model_resource_path from chatbots c where c.is_active
    union
    select m ->> 'provider' as model_provider, m ->> 'resource_path' as model_resource_path
    from chatbots c cross join jsonb_array_elements(c.fallback_models) as m where c.is_active
    order by 1, 2;
  end;

grant create on schema public to router;
alter function route_operator_key(text) owner to router;
alter function route_organization(text) owner to router;
alter function known_organizations(text, integer) owner to router;
alter function health_figures() owner to router;
alter function models_in_use() owner to router;
revoke create on schema public from router;
set local role router;
revoke execute on function route_operator_key(text), route_organization(text), known_organizations(text, integer),
  health_figures(), models_in_use() from public;
grant execute on function route_operator_key(text), route_organization(text), known_organizations(text, integer),
  health_figures(), models_in_use() to manager, owner;
grant execute on function route_api_key(text) to manager;
set local role owner;

-- Numbers of rows to come are part of a backup.
grant select on all sequences in schema public to backup;
reset role;
