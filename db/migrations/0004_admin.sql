-- Onboarding: the role of f/admin, operators' keys, the record of who changed what.
do $$
begin
  if not exists (select from pg_roles where rolname = 'manager') then
    create role manager nologin;
  end if;
end
$$;
set local role owner;

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
comment on table audit_log is 'Who did or looked at what through f/admin. Never a secret, never a customer''s words.';
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

grant usage on schema public to manager;
do $$
declare
  name text;
begin
  foreach name in array array['organizations', 'api_keys', 'chatbots', 'whatsapp_numbers', 'org_integrations',
                             'chatbot_tools', 'contacts', 'conversations', 'messages', 'webhook_events', 'turns',
                             'usage_logs', 'quota_usage', 'audit_log']
  loop
    execute format('create policy manage on %I to manager using (organization_id = (select current_organization()))'
                   ' with check (organization_id = (select current_organization()))', name);
  end loop;
end
$$;
grant select, insert, update on organizations, chatbots, whatsapp_numbers, org_integrations to manager;
grant select, insert, update (expires_at, revoked_at) on api_keys to manager;
grant select, insert, delete on chatbot_tools to manager;
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

grant create on schema public to router;
alter function route_operator_key(text) owner to router;
alter function route_organization(text) owner to router;
alter function known_organizations(text, integer) owner to router;
revoke create on schema public from router;
set local role router;
revoke execute on function route_operator_key(text), route_organization(text), known_organizations(text, integer)
  from public;
grant execute on function route_operator_key(text), route_organization(text), known_organizations(text, integer)
  to manager, owner;
grant execute on function route_api_key(text) to manager;
set local role owner;
reset role;
