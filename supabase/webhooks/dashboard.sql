-- The webhook as Supabase's dashboard makes it, in place of the triggers of Afterword. Its function
-- is Supabase's: it sends every column of the row. The secret stands in the trigger's definition.
--
-- Nobody can catch an error of that function: if pg_net is missing, each change of a row fails. The
-- other forms only warn.

begin;

drop trigger if exists afterword_insert on public.articles;
drop trigger if exists afterword_update on public.articles;
drop trigger if exists afterword_delete on public.articles;
drop trigger if exists afterword_truncate on public.articles;

create trigger afterword after insert or update or delete on public.articles
  for each row execute function supabase_functions.http_request(
    'https://your-host/revalidate',
    'POST',
    '{"content-type": "application/json", "authorization": "Bearer your-webhook-secret"}',
    '{}',
    '5000');

commit;
