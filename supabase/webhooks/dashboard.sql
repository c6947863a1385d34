-- The webhook as Supabase's dashboard makes it, in place of the trigger for each row. Its function
-- is Supabase's: it sends every column of the row. The secret stands in the trigger's definition.
--
-- Nobody can catch an error of that function: if pg_net is missing, each change of a row fails. The
-- other forms only warn.

begin;

drop trigger if exists afterword on public.articles;

create trigger afterword after insert or update or delete on public.articles
  for each row execute function supabase_functions.http_request(
    'https://your-host/revalidate',
    'POST',
    '{"content-type": "application/json", "authorization": "Bearer your-webhook-secret"}',
    '{}',
    '5000');

commit;
