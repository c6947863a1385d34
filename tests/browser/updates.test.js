import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retry, untilTitle } from './application.js'
import { openStatusPage } from './chromium.js'
import { url } from './environment.js'
import { change, delayItem, failItems } from './supabase.js'

/** The newest event of this key. */
function newest(page, key) {
  const named = page.getByText(key, { exact: true })
  return page.getByRole('listitem').filter({ has: named }).first()
}

async function isFocused(locator) {
  return await locator.evaluate((element) => element === document.activeElement)
}

test('a change goes from received to fresh, without a reload', async (t) => {
  const page = await openStatusPage(t)
  await page.evaluate(() => (window.isNotReloaded = true))
  // Long enough for the page to see the change on its way.
  await delayItem(t, 3, 3_000)
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
  // The JSON names no icon, so Chromium asks for /favicon.ico.
  const page = await openStatusPage(t, { expected: /status of 404/ })
  await change(5)
  await newest(page, '/articles/5').getByRole('link').click()
  await page.waitForURL(/\/status\/events\/\d+$/)
  const event = JSON.parse(await page.locator('body').textContent())
  assert.ok(event.keys.includes('/articles/5'))
})

test('an update leaves the reader alone', async (t) => {
  const page = await openStatusPage(t)
  await page.getByLabel('Refresh one key').fill('/articles/half')
  await page.getByText('Purge the cache').click()
  const purge = page.getByRole('button', { name: 'Purge every entry' })
  await purge.focus()
  const elements = await page.evaluateHandle(() =>
    ['live', 'refresh-key', 'purge'].map((id) => document.getElementById(id)))

  // A failing key changes the headline, and brings the queue's table and its buttons.
  await failItems(t)
  await change(12)
  await page.getByRole('button', { name: 'Retry /articles/12' }).waitFor()
  assert.equal(await page.getByLabel('Refresh one key').inputValue(), '/articles/half')
  assert.equal(await isFocused(purge), true)
  assert.equal(await elements.evaluate((them) => them.every((it) => it.isConnected)), true)

  // A new event comes before the others.
  const link = newest(page, '/articles/12').getByRole('link')
  const event = page.getByRole('link', { name: await link.textContent(), exact: true })
  await event.focus()
  await change(13)
  const second = page.getByRole('button', { name: 'Retry /articles/13' })
  await second.waitFor()
  assert.equal(await isFocused(event), true)

  // The second row becomes the first one, and what comes before the table vanishes.
  await second.focus()
  await page.evaluate(() => {
    document.getElementById('retry').insertAdjacentHTML('beforebegin', '<p class="vanishes"></p>')
  })
  await failItems(t, 13)
  await retry('/articles/12')
  await page.getByRole('button', { name: 'Retry /articles/12' }).waitFor({ state: 'hidden' })
  await page.locator('.vanishes').waitFor({ state: 'detached' })
  assert.equal(await isFocused(second), true)
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
