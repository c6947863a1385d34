-- One webhook for each changed row. supabase/webhooks has the other forms; use one of them only.
-- If `id_column` is not `id`, write that column in place of 'id'.

create trigger afterword after insert or update or delete on public.articles
  for each row execute function afterword.row_changed('id');
