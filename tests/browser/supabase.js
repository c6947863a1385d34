// The stand-in for Supabase behind the application: its rows, its webhooks and its faults.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { url } from './chromium.js'

const supabase = process.env.AFTERWORD_TEST_SUPABASE_URL

const LIMIT = 30_000

/** Changes an article's title, and returns the new one. The webhook follows by itself. */
export async function change(id, title = `Changed at ${Date.now()}`) {
  const response = await fetch(`${supabase}/rest/v1/articles?id=eq.${id}`, {
    method: 'PATCH',
    headers: {
      apikey: process.env.AFTERWORD_TEST_SUPABASE_KEY,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ title }),
  })
  assert.ok(response.ok, await response.text())
  return title
}

/** Sets the stand-in's faults until the test `t` ends. */
export async function setFaults(t, faults) {
  await putDials(faults)
  t.after(() => putDials({}))
}

export async function clearFaults() {
  await putDials({})
}

async function putDials(dials) {
  const response = await fetch(`${supabase}/dials`, {
    method: 'PUT',
    body: JSON.stringify(dials),
  })
  assert.ok(response.ok, await response.text())
}

/** Posts a webhook that the stand-in would not send. */
export async function postWebhook(record) {
  const response = await fetch(`${url}/revalidate`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${process.env.AFTERWORD_TEST_WEBHOOK_SECRET}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({
      type: 'UPDATE',
      schema: 'public',
      table: 'articles',
      record,
      old_record: record,
    }),
  })
  assert.equal(response.status, 202, await response.text())
}

/** The title of an article as a reader of the application gets it. */
export async function title(id) {
  const response = await fetch(`${url}/articles/${id}`)
  assert.equal(response.status, 200)
  return (await response.json()).title
}

/** Waits until a reader gets this title. */
export async function untilTitle(id, expected) {
  await until(`article ${id} has the title ${expected}`, async () => (await title(id)) === expected)
}

/** Waits until `condition` holds. */
export async function until(what, condition) {
  const end = Date.now() + LIMIT
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${LIMIT} ms: ${what}`)
    await sleep(100)
  }
}
