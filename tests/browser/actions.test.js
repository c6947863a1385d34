import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openStatusPage, url } from './chromium.js'
import { change, clearFaults, setFaults, title, until, untilTitle } from './supabase.js'

const LOST_WEBHOOKS = { webhooks: { drop: 1 } }

for (const javaScriptEnabled of [true, false]) {
  const options = { javaScriptEnabled }
  const how = javaScriptEnabled ? '' : ', without JavaScript'

  /** Waits until the page shows this. Without a script it has to be loaded again. */
  async function untilShown(page, locator) {
    if (javaScriptEnabled) return await locator.waitFor()
    await until(`the page shows ${locator}`, async () => {
      await page.goto(`${url}/status`)
      return await locator.isVisible()
    })
  }

  /** Waits for the event that the notice names. */
  async function untilFresh(page) {
    const link = page.locator('#notice').getByRole('link', { name: /^change \d+$/ })
    const event = page.locator(await link.getAttribute('href'))
    await untilShown(page, event.getByText(/^ ?Fresh$/))
  }

  test(`Retry tries a failing key at once${how}`, async (t) => {
    const fault = { refusal: { status: 500, code: 'XX000' } }
    await setFaults(t, { rest: [{ matching: 'id=in.(9)', fault }] })
    const page = await openStatusPage(t, options)
    const expected = await change(9)
    const row = page.getByRole('row').filter({ hasText: '/articles/9' })
    const retry = row.getByRole('button', { name: 'Retry /articles/9' })
    await untilShown(page, retry)
    assert.match(await row.textContent(), /XX000/)
    // Each failure doubles the pause. Wait no longer than the buttons need.
    await until('the next attempt is minutes away', async () => {
      await retry.click()
      await page.getByText('is tried again now').waitFor()
      await untilShown(page, retry)
      return /in \d min/.test(await row.textContent())
    })
    await clearFaults()
    await retry.click()
    await untilTitle(9, expected)
    await untilShown(page, page.getByText('Empty: no key waits for a refresh.'))
  })

  test(`Retry all tries every failing key at once${how}`, async (t) => {
    const fault = { refusal: { status: 500, code: 'XX000' } }
    const rest = [6, 8].map((id) => ({ matching: `id=in.(${id})`, fault }))
    await setFaults(t, { rest })
    const page = await openStatusPage(t, options)
    const expected = [await change(6), await change(8)]
    const all = page.getByRole('button', { name: 'Retry all that back off' })
    await until('both wait for minutes', async () => {
      await untilShown(page, all)
      await all.click()
      const rows = await page.getByRole('row').filter({ hasText: /in \d min/ }).count()
      return rows === 2
    })
    await clearFaults()
    await all.click()
    await untilTitle(6, expected[0])
    await untilTitle(8, expected[1])
  })

  test(`Refresh fetches a key whose webhook was lost${how}`, async (t) => {
    await title(10)
    await setFaults(t, LOST_WEBHOOKS)
    const expected = await change(10)
    const page = await openStatusPage(t, options)
    await page.getByLabel('Refresh one key').fill('/articles/10')
    await page.getByRole('button', { name: 'Refresh', exact: true }).click()
    await untilFresh(page)
    assert.equal(await title(10), expected)
  })

  test(`Refresh everything fetches what has changed${how}`, async (t) => {
    await title(11)
    await setFaults(t, LOST_WEBHOOKS)
    const expected = await change(11)
    const page = await openStatusPage(t, options)
    await page.getByRole('button', { name: 'Refresh everything' }).click()
    await untilFresh(page)
    await untilTitle(11, expected)
  })

  test(`Purge removes every entry, after a warning${how}`, async (t) => {
    await title(12)
    await setFaults(t, LOST_WEBHOOKS)
    const expected = await change(12)
    const page = await openStatusPage(t, options)
    const purge = page.getByRole('button', { name: 'Purge every entry' })
    assert.equal(await purge.isVisible(), false)
    await page.getByText('Purge the cache').click()
    await page.getByText('This removes every stored entry.').waitFor()
    await purge.click()
    await page.getByText('The purge is queued.').waitFor()
    await untilTitle(12, expected)
  })

  test(`a key that is none is refused, and the page goes on${how}`, async (t) => {
    const page = await openStatusPage(t, { ...options, expected: /status of 4\d\d/ })
    await page.getByLabel('Refresh one key').fill('no key')
    await page.getByRole('button', { name: 'Refresh', exact: true }).click()
    await page.locator('#notice').waitFor()
    if (javaScriptEnabled) {
      await page.waitForURL(`${url}/status`)
      await page.getByRole('status').filter({ hasText: 'Updates itself' }).waitFor()
    }
  })
}
