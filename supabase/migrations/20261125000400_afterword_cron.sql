-- Wakes a worker without a Redis trigger once a minute. Does nothing until the vault has
-- `afterword_refresh_secret`.

create extension if not exists pg_cron;

select cron.schedule('afterword-refresh', '* * * * *', 'select afterword.refresh()');
