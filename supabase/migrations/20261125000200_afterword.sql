-- What tells Afterword about changes: functions only. They read these secrets of the vault, which
-- you create by `vault.create_secret`:
--
--   afterword_url             where Afterword is, without a path: https://your-host
--   afterword_webhook_secret  its `webhook_secret`. One that begins with whsec_ signs each webhook;
--                             any other is sent as a bearer token
--   afterword_refresh_secret  its `refresh_secret`, for hosts without a Redis trigger only

create extension if not exists pg_net;
create extension if not exists pgcrypto with schema extensions;

-- A schema that PostgREST does not expose.
create schema if not exists afterword;
revoke all on schema afterword from public;

create function afterword.secret(name text) returns text
language sql stable set search_path = '' as $$
  select decrypted_secret from vault.decrypted_secrets where decrypted_secrets.name = secret.name
$$;

-- The address of a path of Afterword; null if the vault does not say where Afterword is.
create function afterword.address(path text) returns text
language sql stable set search_path = '' as $$
  select rtrim(afterword.secret('afterword_url'), '/') || path
$$;

-- Sends a webhook after the transaction. Raises an error if a secret is missing or malformed.
create function afterword.send_webhook(body jsonb) returns void
language plpgsql set search_path = '' as $$
declare
  address text := afterword.address('/revalidate');
  secret text := afterword.secret('afterword_webhook_secret');
  headers jsonb := jsonb_build_object('content-type', 'application/json');
  message_id text;
  seconds text;
  signature text;
begin
  if address is null or secret is null then
    raise exception 'the vault lacks `afterword_url` or `afterword_webhook_secret`';
  end if;
  if starts_with(secret, 'whsec_') then
    -- Standard Webhooks: the signature covers the id, the time and the body.
    message_id := 'msg_' || gen_random_uuid();
    seconds := floor(extract(epoch from clock_timestamp()));
    signature := encode(
      extensions.hmac(
        convert_to(message_id || '.' || seconds || '.' || body, 'UTF8'),
        decode(substr(secret, length('whsec_') + 1), 'base64'),
        'sha256'),
      'base64');
    headers := headers || jsonb_build_object(
      'webhook-id', message_id,
      'webhook-timestamp', seconds,
      'webhook-signature', 'v1,' || signature);
  else
    headers := headers
      || jsonb_build_object('authorization', 'Bearer ' || regexp_replace(secret, '^bearer:', ''));
  end if;
  perform net.http_post(
    url := address, body := body, headers := headers, timeout_milliseconds := 5000);
end $$;

-- The trigger for each row. Its argument is the id column, `id` by default. Afterword uses the ids
-- alone, so no other column leaves the database.
create function afterword.row_changed() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  id_column text := coalesce(tg_argv[0], 'id');
begin
  perform afterword.send_webhook(jsonb_build_object(
    'type', tg_op, 'schema', tg_table_schema, 'table', tg_table_name,
    'record', case when tg_op <> 'DELETE' then
      jsonb_build_object(id_column, to_jsonb(new) -> id_column) end,
    'old_record', case when tg_op <> 'INSERT' then
      jsonb_build_object(id_column, to_jsonb(old) -> id_column) end));
  return null;
exception when others then
  -- A webhook that fails must not fail the change of the row. Reconciliation corrects it.
  raise warning 'Afterword was not told of a change of %.%: %',
    tg_table_schema, tg_table_name, sqlerrm;
  return null;
end $$;

-- The triggers for each statement: one webhook with the ids of all rows, of the old and the new
-- ones if ids changed. At most 1,000 ids to a webhook: Afterword queues them in one step, during
-- which its Redis does nothing else.
create function afterword.rows_changed() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  id_column text := coalesce(tg_argv[0], 'id');
  event jsonb := jsonb_build_object(
    'type', tg_op, 'schema', tg_table_schema, 'table', tg_table_name);
  changed_ids text;
  ids jsonb;
begin
  if tg_op = 'TRUNCATE' then
    perform afterword.send_webhook(event);
    return null;
  end if;
  changed_ids := case tg_op
    when 'INSERT' then format('select %I as id from new_rows', id_column)
    when 'DELETE' then format('select %I as id from old_rows', id_column)
    else format('select %1$I as id from old_rows union select %1$I from new_rows', id_column)
  end;
  for ids in execute format(
    'select jsonb_agg(id order by number) '
    'from (select id, row_number() over () - 1 as number from (%s) as changed) as numbered '
    'group by number / 1000', changed_ids)
  loop
    perform afterword.send_webhook(event || jsonb_build_object('ids', ids));
  end loop;
  return null;
exception when others then
  raise warning 'Afterword was not told of changes of %.%: %',
    tg_table_schema, tg_table_name, sqlerrm;
  return null;
end $$;

-- Calls `/refresh`, if the vault has `afterword_refresh_secret`. A host with a Redis trigger has a
-- worker that needs no calls.
create function afterword.refresh() returns void
language plpgsql set search_path = '' as $$
declare
  address text := afterword.address('/refresh');
  secret text := afterword.secret('afterword_refresh_secret');
begin
  if address is null or secret is null then
    return;
  end if;
  perform net.http_post(
    url := address,
    headers := jsonb_build_object(
      'content-type', 'application/json', 'authorization', 'Bearer ' || secret),
    -- More than `refresh_seconds`.
    timeout_milliseconds := 30000);
end $$;

-- Whoever may execute a trigger function may attach it to a table of their own.
revoke all on all functions in schema afterword from public, anon, authenticated, service_role;
