// The stand-in for Supabase behind the application: its rows and its faults.

import assert from 'node:assert/strict'
import { retry } from './application.js'
import { supabase, supabaseKey } from './environment.js'

/** The failure of a statement. The key backs off alone, and the circuit breaker stays closed. */
const FAULT = { refusal: { status: 500, code: 'XX000' } }

/** Changes an article's title, and returns the new one. The webhook follows by itself. */
export async function change(id) {
  const title = `Changed at ${new Date().toISOString()}`
  const response = await fetch(`${supabase}/rest/v1/articles?id=eq.${id}`, {
    method: 'PATCH',
    headers: { apikey: supabaseKey, 'content-type': 'application/json' },
    body: JSON.stringify({ title }),
  })
  assert.ok(response.ok, await response.text())
  return title
}

/** Fails what the worker fetches of these items until the test `t` ends; without ids, of every. */
export async function failItems(t, ...ids) {
  const matching = ids.length > 0 ? ids.map((id) => `&id=eq.${id}`) : ['&id=']
  await setDials(t, { rest: matching.map((matching) => ({ matching, fault: FAULT })) })
  // The next test begins with an empty queue.
  t.after(() => retry())
}

/** Delays what the worker fetches of this item until the test `t` ends. */
export async function delayItem(t, id, ms) {
  await setDials(t, { rest: [{ matching: `&id=eq.${id}`, delay_ms: ms }] })
}

/** Loses every webhook until the test `t` ends. */
export async function loseWebhooks(t) {
  await setDials(t, { webhooks: { drop: 1 } })
}

/** Ends the failures. */
export async function recover() {
  await putDials({})
}

async function setDials(t, dials) {
  await putDials(dials)
  t.after(recover)
}

async function putDials(dials) {
  const response = await fetch(`${supabase}/dials`, { method: 'PUT', body: JSON.stringify(dials) })
  assert.ok(response.ok, await response.text())
}
