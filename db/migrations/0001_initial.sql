-- The schema of one installation: any PostgreSQL 16+ with pgvector, no superuser needed.
-- Executed by `./db/manage_db.sh reset` as one transaction. A change here comes with a file in
-- migrations/ that leads an existing database to the same place; a test compares the two.

-- Roles ----------------------------------------------------------------------------------------
-- owner   owns tables and runs migrations. Forced row-level security would silently hide rows even
--         from an owner, hence an explicit policy for it on every table.
-- app     what scripts log in as: owns nothing, sees one organisation at a time.
-- router  cannot log in. Owns the few security-definer functions that find out whose a number, an
--         API key or a stranded conversation is, and sees just the columns these need.
-- backup  reads everything.
do $$
declare
  role_name text;
begin
  foreach role_name in array array['owner', 'app', 'router', 'backup'] loop
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
grant usage on schema public to app, router, backup;

-- The organisation that the transaction is bound to; null when none is, and then nothing is visible.
create function current_organization() returns uuid
  language sql stable parallel safe
  return nullif(current_setting('app.organization_id', true), '')::uuid;

-- Tenants --------------------------------------------------------------------------------------
create table plans (
  code text primary key,
  name text not null,
  monthly_messages integer not null check (monthly_messages >= 0),
  monthly_tokens bigint not null check (monthly_tokens >= 0)
);

create table organizations (
  organization_id uuid primary key default gen_random_uuid(),
  slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]*$'),
  name text not null,
  plan_code text not null references plans,
  created_at timestamptz not null default now()
);

create table api_keys (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  name text not null,
  key_prefix text not null,
  key_hash text not null unique check (key_hash ~ '^[0-9a-f]{64}$'),
  scopes text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  primary key (organization_id, id)
);
comment on column api_keys.key_hash is 'SHA-256 of the key in hex; the key itself is shown once and never stored.';

create table chatbots (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]*$'),
  name text not null,
  language text not null,
  persona text not null,
  facts jsonb not null default '[]' check (jsonb_typeof(facts) = 'array'),
  fallback_text text not null check (fallback_text ~ '\S'),
  model_provider text not null default 'demo' check (model_provider in ('demo', 'openai')),
  model_name text not null default 'demo',
  model_resource_path text,
  temperature numeric not null default 0.3 check (temperature between 0 and 2),
  max_steps integer not null default 6 check (max_steps between 1 and 20),
  merge_seconds numeric not null default 2 check (merge_seconds between 0 and 20),
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, slug),
  check (model_provider = 'demo' or model_resource_path is not null)
);
comment on column chatbots.facts is 'What the bot knows without documents: [{"topic", "text"}].';
comment on column chatbots.model_resource_path is 'Windmill resource with the provider''s key; secrets are never in this database.';
comment on column chatbots.merge_seconds is 'How long a turn waits for the rest of a burst of messages.';

create table whatsapp_numbers (
  phone_number_id text primary key,
  organization_id uuid not null,
  chatbot_id uuid not null,
  app_id text not null,
  waba_id text not null,
  display_phone_number text not null,
  access_token_path text not null,
  created_at timestamptz not null default now(),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  unique (organization_id, phone_number_id)
);
create index on whatsapp_numbers (waba_id);
comment on column whatsapp_numbers.app_id is 'Meta app whose secret must have signed a delivery for this number.';
comment on column whatsapp_numbers.access_token_path is 'Windmill variable with the token.';

-- Conversations --------------------------------------------------------------------------------
create table contacts (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  user_id text,
  wa_id text,
  profile_name text,
  created_at timestamptz not null default now(),
  primary key (organization_id, id),
  unique (organization_id, user_id),
  unique (organization_id, wa_id),
  check (user_id is not null or wa_id is not null)
);
comment on column contacts.user_id is 'Business-scoped user id (BSUID), the key where Meta sends one.';
comment on column contacts.wa_id is 'Phone number; absent for people who show a username only.';

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
  primary key (organization_id, id),
  unique (organization_id, phone_number_id, contact_id),
  foreign key (organization_id, chatbot_id) references chatbots (organization_id, id),
  foreign key (organization_id, phone_number_id) references whatsapp_numbers (organization_id, phone_number_id),
  foreign key (organization_id, contact_id) references contacts (organization_id, id)
);
comment on column conversations.lease_fence is 'Grows with every lease; a write under an older number is refused.';
comment on column conversations.lease_holder is 'The flow run that holds the lease; null when it is free.';
comment on column conversations.resumed_at is 'When the sweep last took this conversation up.';

create table turns (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  conversation_id uuid not null,
  fence bigint not null,
  started_at timestamptz not null default now(),
  generated_at timestamptz,
  finished_at timestamptz,
  model text,
  steps jsonb not null default '[]',
  tools jsonb not null default '[]',
  prompt_tokens integer not null default 0,
  completion_tokens integer not null default 0,
  error text,
  primary key (organization_id, id),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id)
);
create unique index turns_one_open on turns (organization_id, conversation_id) where finished_at is null;
comment on table turns is
  'One answer to one or more messages. A conversation has at most one open turn; a run that takes the lease takes it over.';
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
  primary key (organization_id, id),
  foreign key (organization_id, conversation_id) references conversations (organization_id, id),
  foreign key (organization_id, turn_id) references turns (organization_id, id)
);
create unique index messages_inbound on messages (organization_id, conversation_id, wamid) where direction = 'in';
create index messages_history on messages (organization_id, conversation_id, sent_at, received_at, position);

create table outbox (
  organization_id uuid not null references organizations,
  id uuid not null default gen_random_uuid(),
  conversation_id uuid not null,
  turn_id uuid not null,
  message_id uuid not null,
  position integer not null,
  body text not null check (char_length(body) between 1 and 4096),
  state text not null default 'pending' check (state in ('pending', 'sending', 'sent', 'failed', 'uncertain')),
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
comment on column outbox.state is 'What we know of the call; delivery_status is what Meta said of the message afterwards.';

create table usage_logs (
  organization_id uuid not null references organizations,
  turn_id uuid not null,
  call integer not null,
  model text not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  created_at timestamptz not null default now(),
  primary key (organization_id, turn_id, call),
  foreign key (organization_id, turn_id) references turns (organization_id, id)
);

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
grant select on plans to app;
grant insert on unrouted_events to app;
grant select on all tables in schema public to backup;

-- Alerts of the installation itself name no organisation; every script may raise and count them.
create policy operator_alert on system_alerts to app
  using (organization_id is null) with check (organization_id is null);

-- Routing --------------------------------------------------------------------------------------
grant select (phone_number_id, organization_id, app_id, waba_id) on whatsapp_numbers to router;
grant select (organization_id, id, key_hash, scopes, expires_at, revoked_at) on api_keys to router;
grant select (organization_id, conversation_id, outcome, stored_at) on webhook_events to router;
grant select (organization_id, id, lease_holder, lease_until, resumed_at) on conversations to router;
grant select (organization_id, id, conversation_id, state, claimed_at) on outbox to router;
create policy route on whatsapp_numbers for select to router using (true);
create policy route on api_keys for select to router using (true);
create policy route on webhook_events for select to router using (outcome is null);
create policy route on conversations for select to router using (true);
create policy route on outbox for select to router using (state = 'sending');

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

-- Conversations with a message that nobody works on: older than `age`, no live lease, not just resumed.
create function stranded_conversations(age interval, most integer)
  returns table (organization_id uuid, conversation_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select c.organization_id, c.id
    from (select e.organization_id, e.conversation_id, min(e.stored_at) as oldest
          from webhook_events e where e.outcome is null and e.stored_at < now() - age
          group by 1, 2) as waiting
    join conversations c on (c.organization_id, c.id) = (waiting.organization_id, waiting.conversation_id)
    where (c.lease_holder is null or c.lease_until < now())
      and (c.resumed_at is null or c.resumed_at < now() - interval '60 seconds')
    order by waiting.oldest limit most;
  end;

-- Sends whose process is gone: what may have gone out is settled as uncertain, never sent again.
create function stuck_sends(age interval, most integer)
  returns table (organization_id uuid, outbox_id uuid)
  language sql stable security definer set search_path = pg_catalog, public
  begin atomic
    select o.organization_id, o.id from outbox o
    where o.state = 'sending' and o.claimed_at < now() - age order by o.claimed_at limit most;
  end;

grant create on schema public to router;
alter function route_number(text) owner to router;
alter function route_waba(text, text) owner to router;
alter function route_api_key(text) owner to router;
alter function stranded_conversations(interval, integer) owner to router;
alter function stuck_sends(interval, integer) owner to router;
revoke create on schema public from router;
set local role router;
revoke execute on function route_number(text), route_waba(text, text), route_api_key(text),
  stranded_conversations(interval, integer), stuck_sends(interval, integer) from public;
grant execute on function route_number(text), route_waba(text, text), route_api_key(text),
  stranded_conversations(interval, integer), stuck_sends(interval, integer) to app, owner;
set local role owner;

-- Reading --------------------------------------------------------------------------------------
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
reset role;
