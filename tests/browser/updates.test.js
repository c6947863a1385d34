import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openStatusPage, url } from './chromium.js'
import { change, setFaults, until, untilTitle } from './supabase.js'

/** The newest event of this key. */
function newest(page, key) {
  const named = page.getByText(key, { exact: true })
  return page.getByRole('listitem').filter({ has: named }).first()
}

test('a change goes from received to fresh, without a reload', async (t) => {
  const page = await openStatusPage(t)
  await page.evaluate(() => (window.isNotReloaded = true))
  // Long enough for the page to see the change on its way.
  await setFaults(t, { rest: [{ matching: 'id=', delay_ms: 6_000 }] })
  const title = await change(3)
  const event = newest(page, '/articles/3')
  await event.getByText(/^ ?(Queued|Being fetched)$/).waitFor()
  assert.match(await event.textContent(), /received .* → acknowledged after .* → /)
  const id = await event.getAttribute('id')

  const same = page.locator(`#${id}`)
  await same.getByText(/^ ?Fresh$/).waitFor()
  assert.match(await same.textContent(), /→ fresh after \d/)
  assert.equal(await page.evaluate(() => window.isNotReloaded), true)
  await untilTitle(3, title)
})

test('an event has a page of its own', async (t) => {
  const page = await openStatusPage(t)
  await change(5)
  await newest(page, '/articles/5').getByRole('link').click()
  await page.waitForURL(/\/status\/events\/\d+$/)
  assert.deepEqual(JSON.parse(await page.locator('body').textContent()).keys.includes('/articles/5'), true)
})

test('an update leaves the reader alone', async (t) => {
  const page = await openStatusPage(t)
  const field = page.getByLabel('Refresh one key')
  await field.fill('/articles/half')
  await field.evaluate((input) => input.setSelectionRange(3, 5))
  await page.getByText('Purge the cache').click()
  await field.focus()
  const before = await page.getByRole('listitem').count()
  await change(4)
  await newest(page, '/articles/4').waitFor()
  await until('the number of events is right', async () =>
    (await page.getByRole('listitem').count()) >= before)

  await page.waitForFunction(() => document.getElementById('refresh-key') === document.activeElement)
  assert.equal(await field.inputValue(), '/articles/half')
  assert.equal(await field.evaluate((input) => input.selectionStart), 3)
  await page.getByRole('button', { name: 'Purge every entry' }).waitFor()
})

test('the page says so while the application is away, and goes on when it is back', async (t) => {
  const page = await openStatusPage(t, { expected: /ERR_CONNECTION_REFUSED/ })
  const status = page.getByRole('status')
  await status.filter({ hasText: 'Updates itself' }).waitFor()
  await page.route(`${url}/status`, (route) => route.abort('connectionrefused'))
  await status.filter({ hasText: 'does not respond' }).waitFor()
  await page.unroute(`${url}/status`)
  await status.filter({ hasText: 'Updates itself' }).waitFor()
})

test('without JavaScript the page says nothing about updates', async (t) => {
  const page = await openStatusPage(t, { javaScriptEnabled: false })
  assert.equal(await page.getByRole('status').textContent(), '')
})
