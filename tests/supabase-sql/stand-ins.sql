-- What a Supabase project has and a plain PostgreSQL lacks: its roles, the vault, pg_net, pg_cron
-- and the function of its database webhooks. The names and parameters are theirs.

create role anon;
create role authenticated;
create role service_role bypassrls;
create role postgres login createrole bypassrls;
grant anon, authenticated, service_role to postgres;
grant create on database supabase to postgres;
grant all on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;
-- Supabase lets the three roles do anything with new tables, and leaves the rest to row-level
-- security.
alter default privileges for role postgres in schema public
  grant all on tables to anon, authenticated, service_role;

create schema extensions authorization postgres;

create schema vault;
create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text unique,
  secret text not null
);
create view vault.decrypted_secrets as
  select id, name, secret as decrypted_secret from vault.secrets;
create function vault.create_secret(new_secret text, new_name text) returns uuid
language sql as $$
  insert into vault.secrets (name, secret) values (new_name, new_secret) returning id
$$;
create function vault.update_secret(secret_id uuid, new_secret text) returns void
language sql as $$ update vault.secrets set secret = new_secret where id = secret_id $$;
grant usage on schema vault to postgres;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres;
grant insert, update on vault.secrets to postgres;

-- pg_net: a request waits in the queue, and is sent after the commit. The test sends it.
create schema net;
create table net.http_request_queue (
  id bigint generated always as identity primary key,
  method text not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds int not null
);
create function net.http_post(
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds int default 5000)
returns bigint language plpgsql security definer set search_path = net as $$
declare
  request_id bigint;
begin
  if not exists (
    select from jsonb_each_text(http_post.headers) as header
    where lower(header.key) = 'content-type' and header.value = 'application/json')
  then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
    values ('POST', url, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds)
    returning id into request_id;
  return request_id;
end $$;
revoke all on function net.http_post from public;
grant usage on schema net to postgres, anon, authenticated, service_role;
grant execute on function net.http_post to postgres, anon, authenticated, service_role;
grant select on net.http_request_queue to postgres;

-- The function of the webhooks that the dashboard creates.
create schema supabase_functions;
create function supabase_functions.http_request() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform net.http_post(
    url := tg_argv[0],
    body := jsonb_build_object(
      'type', tg_op, 'table', tg_table_name, 'schema', tg_table_schema,
      'record', new, 'old_record', old),
    params := tg_argv[3]::jsonb,
    headers := tg_argv[2]::jsonb,
    timeout_milliseconds := tg_argv[4]::int);
  return new;
end $$;
grant usage on schema supabase_functions to postgres, anon, authenticated, service_role;

create schema cron;
create table cron.job (
  jobid bigint generated always as identity primary key,
  jobname text unique,
  schedule text not null,
  command text not null,
  username text not null default session_user
);
create function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql security definer set search_path = '' as $$
  insert into cron.job (jobname, schedule, command) values ($1, $2, $3)
    on conflict (jobname) do update set schedule = $2, command = $3
    returning jobid
$$;
create function cron.unschedule(job_id bigint) returns boolean
language sql security definer set search_path = '' as $$
  delete from cron.job where jobid = job_id returning true
$$;
grant usage on schema cron to postgres;
grant select on cron.job to postgres;
