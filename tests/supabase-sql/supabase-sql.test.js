// Runs everything in supabase/ on a real PostgreSQL, with stand-ins for Supabase's extensions. What
// the triggers queue for pg_net is checked, or posted to the application that
// AFTERWORD_TEST_URL names.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, beforeEach, describe, it } from "node:test";
import { Database, reasonToSkip } from "./database.js";

const AFTERWORD = process.env.AFTERWORD_TEST_URL ?? "https://afterword.example";
// The application's `webhook_secret` is both, separated by a space; `refresh_secret` is the third.
const BEARER = "a-bearer-token-of-the-tests";
const SIGNING = `whsec_${Buffer.from("a signing key of 24 byte").toString("base64")}`;
const REFRESH = "a-refresh-secret-of-the-tests";

const FOLDER = new URL("../../supabase/", import.meta.url);

/** A file of supabase/, without the extensions for which there are stand-ins. */
function sql(path) {
  const text = readFileSync(new URL(path, FOLDER), "utf8");
  return text.replace(/^create extension if not exists (pg_net|pg_cron);$/gm, "");
}

const skip = reasonToSkip();
if (skip !== null && process.env.AFTERWORD_TEST_NO_SKIP) {
  throw new Error(skip);
}

describe("supabase/", { skip: skip ?? false }, () => {
  /** @type {Database} */
  let database;

  /** Runs SQL as a migration does. */
  const run = (text) => database.run("postgres", text).output;
  /** Runs SQL as a user of the API does. */
  const runAs = (role, text) => database.run("postgres", `set role ${role}; ${text}`);

  /** The requests that the last transactions queued for pg_net, which are removed. */
  function requests() {
    const rows = database.run(
      "supabase_admin",
      `with gone as (delete from net.http_request_queue returning *)
       select coalesce(json_agg(json_build_object(
         'url', url, 'headers', headers, 'text', convert_from(body, 'UTF8'),
         'timeout', timeout_milliseconds) order by id), '[]') from gone`,
    ).output;
    return JSON.parse(rows).map((request) => ({ ...request, body: JSON.parse(request.text) }));
  }

  const bodies = () => requests().map((request) => request.body);

  function setSecret(name, secret) {
    run(`delete from vault.secrets where name = '${name}'`);
    if (secret !== null) {
      run(`select vault.create_secret('${secret}', '${name}')`);
    }
  }

  before(() => {
    database = new Database();
    database.run(
      "supabase_admin",
      readFileSync(new URL("stand-ins.sql", import.meta.url), "utf8"),
    );
    for (const file of readdirSync(new URL("migrations/", FOLDER)).sort()) {
      assert.match(file, /^\d{14}_\w+\.sql$/, "the CLI of Supabase skips any other name");
      run(sql(`migrations/${file}`));
    }
  });

  after(() => database?.stop());

  beforeEach(() => {
    run(`truncate public.articles restart identity;
      insert into public.articles (slug, title, published, notes)
      values ('first', 'First', true, 'a secret'), ('second', 'Second', false, null)`);
    setSecret("afterword_url", AFTERWORD);
    setSecret("afterword_webhook_secret", BEARER);
    setSecret("afterword_refresh_secret", null);
    requests();
  });

  const STATEMENT = "migrations/20261125000300_afterword_webhook.sql";
  const ROW = "webhooks/row.sql";
  const DASHBOARD = "webhooks/dashboard.sql";

  /** Gives the table the triggers of another file, for one test. The files drop each other's. */
  function withTriggers(file, test) {
    run(sql(file));
    try {
      return test();
    } finally {
      run(sql(STATEMENT));
    }
  }

  it("readers get the published rows, and the granted columns", () => {
    const columns = "id, slug, title, body";
    const { output } = runAs("anon", `select ${columns} from public.articles`);
    assert.equal(output, "1|first|First|");
    for (const denied of [
      "select * from public.articles",
      "select notes from public.articles",
      "update public.articles set title = 'x'",
      "truncate public.articles",
    ]) {
      assert.throws(() => runAs("anon", denied), /permission denied/, denied);
    }
  });

  it("nobody but the owner calls the functions or reads the secrets", () => {
    for (const role of ["anon", "authenticated", "service_role"]) {
      for (const denied of [
        "select afterword.secret('afterword_webhook_secret')",
        "select afterword.send_webhook('{}')",
        "select afterword.refresh()",
      ]) {
        assert.throws(() => runAs(role, denied), /permission denied/, `${role}: ${denied}`);
      }
    }
  });

  it("a changed row sends its id alone, with the bearer token", () => {
    withTriggers(ROW, () => run("update public.articles set title = 'Changed' where id = 1"));
    const [request, ...others] = requests();
    assert.deepEqual(others, []);
    assert.equal(request.url, `${AFTERWORD}/revalidate`);
    assert.equal(request.timeout, 5000);
    assert.deepEqual(request.headers, {
      "content-type": "application/json",
      authorization: `Bearer ${BEARER}`,
    });
    assert.deepEqual(request.body, {
      type: "UPDATE",
      schema: "public",
      table: "articles",
      record: { id: 1 },
      old_record: { id: 1 },
    });
  });

  it("inserts, deletions and changes of the id have the records of a database webhook", () => {
    withTriggers(ROW, () =>
      run(`insert into public.articles (slug, title) values ('third', 'Third');
        update public.articles set id = default where id = 3;
        delete from public.articles where id = 4`),
    );
    const records = bodies().map(({ type, record, old_record }) => [type, record, old_record]);
    assert.deepEqual(records, [
      ["INSERT", { id: 3 }, null],
      ["UPDATE", { id: 4 }, { id: 3 }],
      ["DELETE", null, { id: 4 }],
    ]);
  });

  it("a row that one user of the API changes sends a webhook, too", () => {
    run("grant update (title) on public.articles to authenticated");
    run(`create policy "for this test" on public.articles
      for update to authenticated using (true)`);
    const { messages } = runAs(
      "authenticated",
      "update public.articles set title = 'Changed' where id = 1",
    );
    assert.equal(messages, "");
    assert.equal(bodies().length, 1);
    run(`drop policy "for this test" on public.articles`);
    run("revoke update (title) on public.articles from authenticated");
  });

  it("a transaction that is rolled back sends nothing", () => {
    run("begin; update public.articles set title = 'Changed'; rollback");
    assert.deepEqual(bodies(), []);
  });

  it("`bearer:` before a secret is not sent", () => {
    setSecret("afterword_webhook_secret", "bearer:whsec_abc");
    run("update public.articles set title = 'Changed' where id = 1");
    assert.equal(requests()[0].headers.authorization, "Bearer whsec_abc");
  });

  it("a signing secret signs by Standard Webhooks", () => {
    setSecret("afterword_webhook_secret", SIGNING);
    run("update public.articles set title = 'Changed' where id = 1");
    const [{ headers, text }] = requests();
    assert.equal(headers.authorization, undefined);
    assert.match(headers["webhook-id"], /^msg_[0-9a-f-]{36}$/);
    const age = Date.now() / 1000 - Number(headers["webhook-timestamp"]);
    assert.ok(Math.abs(age) < 300, `signed ${age} s ago`);
    const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${text}`;
    const key = Buffer.from(SIGNING.slice("whsec_".length), "base64");
    const signature = createHmac("sha256", key).update(signed).digest("base64");
    assert.equal(headers["webhook-signature"], `v1,${signature}`);
  });

  /** Whatever is broken, the change is made, and PostgreSQL warns. */
  function changesDespite(breakage, repair, warning) {
    database.run("supabase_admin", breakage);
    try {
      const changes = [
        "update public.articles set title = 'Changed' where id = 1",
        "insert into public.articles (slug, title) values ('third', 'Third')",
        "delete from public.articles where id = 2",
      ];
      for (const change of changes) {
        const { messages } = database.run("postgres", change);
        assert.match(messages, /WARNING: {2}Afterword was not told of/, change);
        assert.match(messages, warning, change);
      }
      const left = run("select string_agg(title, ',' order by id) from public.articles");
      assert.equal(left, "Changed,Third");
    } finally {
      database.run("supabase_admin", repair);
    }
  }

  const BREAKAGES = [
    {
      name: "the vault has no secret",
      breakage: "update vault.secrets set name = 'x' where name = 'afterword_webhook_secret'",
      repair: "update vault.secrets set name = 'afterword_webhook_secret' where name = 'x'",
      warning: /the vault lacks/,
    },
    {
      name: "the signing secret is not base64",
      breakage: "update vault.secrets set secret = 'whsec_*' where name like '%webhook_secret'",
      repair: "select 1",
      warning: /invalid symbol/,
    },
    {
      name: "the vault is not installed",
      breakage: "alter schema vault rename to gone",
      repair: "alter schema gone rename to vault",
      warning: /vault\.decrypted_secrets/,
    },
    {
      name: "pg_net is not installed",
      breakage: "alter schema net rename to gone",
      repair: "alter schema gone rename to net",
      warning: /schema "net" does not exist/,
    },
    {
      name: "pg_net fails",
      breakage: "alter table net.http_request_queue add constraint is_full check (false) not valid",
      repair: "alter table net.http_request_queue drop constraint is_full",
      warning: /violates check constraint/,
    },
  ];
  for (const { name, breakage, repair, warning } of BREAKAGES) {
    it(`a statement can change rows if ${name}`, () => changesDespite(breakage, repair, warning));
    it(`a row can be changed by the trigger for each row if ${name}`, () => {
      withTriggers(ROW, () => changesDespite(breakage, repair, warning));
    });
  }

  it("the dashboard's webhook sends the whole record", () => {
    withTriggers(DASHBOARD, () => {
      run("update public.articles set title = 'Changed' where id = 1");
      const [{ body, headers, url }, ...others] = requests();
      assert.deepEqual(others, []);
      assert.equal(url, "https://your-host/revalidate");
      assert.equal(headers.authorization, "Bearer your-webhook-secret");
      assert.deepEqual([body.type, body.schema, body.table], ["UPDATE", "public", "articles"]);
      assert.deepEqual([body.record.title, body.old_record.title], ["Changed", "First"]);
    });
  });

  it("a statement sends one webhook with the ids of all its rows", () => {
    run("update public.articles set title = 'Changed'");
    const event = { schema: "public", table: "articles" };
    assert.deepEqual(bodies(), [{ type: "UPDATE", ...event, ids: [1, 2] }]);
    run("insert into public.articles (slug, title) values ('third', 'Third')");
    assert.deepEqual(bodies(), [{ type: "INSERT", ...event, ids: [3] }]);
    run("update public.articles set id = default where id = 3");
    assert.deepEqual(
      bodies().map(({ ids }) => ids.sort()),
      [[3, 4]],
    );
    run("delete from public.articles where id in (1, 4)");
    assert.deepEqual(
      bodies().map(({ type, ids }) => [type, ids.sort()]),
      [["DELETE", [1, 4]]],
    );
    run("update public.articles set title = 'x' where id = 99");
    assert.deepEqual(bodies(), []);
    run("truncate public.articles");
    assert.deepEqual(bodies(), [{ type: "TRUNCATE", ...event }]);
  });

  it("a hundred thousand rows are a hundred webhooks", () => {
    run(`insert into public.articles (slug, title)
      select 'row-' || number, 'Row' from generate_series(1, 100000) as number`);
    const sent = requests();
    assert.equal(sent.length, 100);
    const ids = new Set(sent.flatMap(({ body }) => body.ids));
    assert.equal(ids.size, 100_000);
    assert.ok(sent.every(({ body }) => body.ids.length === 1000));
  });

  it("the id column is the trigger's argument", () => {
    run(`create table public.posts (key uuid primary key default gen_random_uuid(), title text);
      create trigger row after insert on public.posts
        for each row execute function afterword.row_changed('key');
      create trigger statement after insert on public.posts
        referencing new table as new_rows
        for each statement execute function afterword.rows_changed('key');
      insert into public.posts (title) values ('x')`);
    const key = run("select key from public.posts");
    const [row, statement] = bodies();
    assert.deepEqual([row.table, row.record, statement.ids], ["posts", { key }, [key]]);
    run("drop table public.posts");
  });

  it("the cron job calls /refresh with the secret, once a minute", () => {
    const [schedule, command] = run("select schedule, command from cron.job").split("|");
    assert.equal(schedule, "* * * * *");
    run(command);
    assert.deepEqual(requests(), [], "without a secret, the host has a worker of its own");
    setSecret("afterword_refresh_secret", REFRESH);
    run(command);
    const [request] = requests();
    assert.equal(request.url, `${AFTERWORD}/refresh`);
    assert.equal(request.headers.authorization, `Bearer ${REFRESH}`);
    assert.ok(request.timeout > 20_000, "more than refresh_seconds");
  });

  const application = process.env.AFTERWORD_TEST_URL ? false : "AFTERWORD_TEST_URL is not set";

  /** Posts what was queued, as pg_net does after the commit. */
  async function deliver() {
    const sent = requests().map(async ({ url, headers, text }) => {
      const response = await fetch(url, { method: "POST", headers, body: text });
      return [response.status, await response.json()];
    });
    return Promise.all(sent);
  }

  it("the application takes the webhooks of each form", { skip: application }, async () => {
    const takes = async (form) => {
      for (const [status, answer] of await deliver()) {
        assert.equal(status, 202, `${form}: ${JSON.stringify(answer)}`);
        assert.equal(typeof answer.id, "number", `${form}: nothing was queued`);
      }
    };
    for (const secret of [BEARER, SIGNING]) {
      setSecret("afterword_webhook_secret", secret);
      withTriggers(ROW, () => run("update public.articles set title = 'Changed'"));
      await takes("row");
      run(`update public.articles set title = 'Changed again';
        truncate public.articles;
        insert into public.articles (slug, title) values ('first', 'First')`);
      await takes("statement");
    }
    setSecret("afterword_webhook_secret", "a-wrong-token-of-the-tests");
    run("update public.articles set title = 'Changed'");
    const refused = await deliver();
    assert.ok(refused.every(([status]) => status === 401));
  });

  it("remove.sql leaves the sample table alone", () => {
    setSecret("afterword_refresh_secret", REFRESH);
    run(sql("webhooks/remove.sql"));
    const { messages } = database.run("postgres", "update public.articles set title = 'Changed'");
    assert.equal(messages, "");
    assert.deepEqual(bodies(), []);
    assert.equal(run("select count(*) from vault.secrets"), "0");
    assert.equal(run("select count(*) from cron.job"), "0");
  });
});
