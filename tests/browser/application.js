// The application without a browser: what readers, webhooks and programs get.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { adminToken, url, webhookSecret } from './environment.js'

const LIMIT = 30_000

const ADMIN = { authorization: `Bearer ${adminToken}` }

/** Waits until `condition` holds. */
export async function until(what, condition) {
  const end = Date.now() + LIMIT
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${LIMIT} ms: ${what}`)
    await sleep(100)
  }
}

/** The title of an article as a reader gets it. */
export async function title(id) {
  const response = await fetch(`${url}/articles/${id}`)
  assert.equal(response.status, 200)
  return (await response.json()).title
}

/** Waits until a reader gets this title. */
export async function untilTitle(id, expected) {
  await until(`article ${id} has the title ${expected}`, async () => (await title(id)) === expected)
}

/** The work queue's keys, as the status page lists them. */
export async function queuedKeys() {
  const status = await fetch(`${url}/status`, { headers: ADMIN })
  return (await status.json()).queue.keys
}

/** Makes a failing key due now, or every one. */
export async function retry(key = '') {
  const response = await fetch(`${url}/status/retry`, {
    method: 'POST',
    headers: ADMIN,
    body: new URLSearchParams({ key }),
  })
  assert.ok(response.ok, await response.text())
}

/**
 * Retries keys that fail until their next attempts are minutes away: each failure doubles the
 * pause. From then on, only a retry makes them fresh before the end of the test.
 */
export async function untilPausesAreLong(...keys) {
  await until(`${keys} wait for minutes`, async () => {
    const ours = (await queuedKeys()).filter((it) => keys.includes(it.key))
    const failing = ours.filter((it) => it.state === 'backing_off')
    const early = failing.filter((it) => it.next_ms < 100_000)
    for (const { key } of early) await retry(key)
    return failing.length === keys.length && early.length === 0
  })
}

/** Posts a webhook that the stand-in would not send. */
export async function postWebhook(record) {
  const response = await fetch(`${url}/revalidate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${webhookSecret}`, 'content-type': 'application/json' },
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
