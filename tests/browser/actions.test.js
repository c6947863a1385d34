import assert from 'node:assert/strict'
import { test } from 'node:test'
import { title, until, untilPausesAreLong, untilTitle } from './application.js'
import { openStatusPage } from './chromium.js'
import { url } from './environment.js'
import { change, failItems, loseWebhooks, recover } from './supabase.js'

for (const javaScriptEnabled of [true, false]) {
  const options = { javaScriptEnabled }
  const how = javaScriptEnabled ? '' : ', without JavaScript'

  /** Waits until the page shows this, or hides it. Without a script it has to be loaded again. */
  async function untilPage(page, locator, state = 'visible') {
    if (javaScriptEnabled) return await locator.waitFor({ state })
    await until(`${locator} is ${state}`, async () => {
      await page.goto(`${url}/status`)
      return (await locator.isVisible()) === (state === 'visible')
    })
  }

  /** Waits for the event that the notice names, and returns its keys. */
  async function untilFresh(page) {
    const link = page.locator('#notice').getByRole('link', { name: /^change \d+$/ })
    const event = page.locator(await link.getAttribute('href'))
    await untilPage(page, event.getByText(/^ ?Fresh$/))
    return await event.locator('code').allTextContents()
  }

  test(`Retry tries a failing key at once${how}`, async (t) => {
    await failItems(t, 10)
    const expected = await change(10)
    await untilPausesAreLong('/articles/10')
    const page = await openStatusPage(t, options)
    const row = page.getByRole('row').filter({ hasText: '/articles/10' })
    assert.match(await row.textContent(), /backing off.*in \d min/)
    await recover()
    await row.getByRole('button', { name: 'Retry /articles/10' }).click()
    await page.getByText('What was failing is tried again now.').waitFor()
    await untilTitle(10, expected)
    await untilPage(page, row, 'hidden')
  })

  test(`Retry all tries every failing key at once${how}`, async (t) => {
    await failItems(t)
    const expected = [await change(6), await change(8)]
    await untilPausesAreLong('/articles/6', '/articles/8')
    const page = await openStatusPage(t, options)
    await recover()
    await page.getByRole('button', { name: 'Retry all that back off' }).click()
    await untilTitle(6, expected[0])
    await untilTitle(8, expected[1])
  })

  test(`Refresh fetches a key whose webhook was lost${how}`, async (t) => {
    await title(10)
    await loseWebhooks(t)
    const expected = await change(10)
    const page = await openStatusPage(t, options)
    await page.getByLabel('Refresh one key').fill('/articles/10')
    await page.getByRole('button', { name: 'Refresh', exact: true }).click()
    assert.deepEqual(await untilFresh(page), ['/articles/10'])
    assert.equal(await title(10), expected)
  })

  test(`Refresh everything fetches what has changed${how}`, async (t) => {
    await title(11)
    await loseWebhooks(t)
    const expected = await change(11)
    const page = await openStatusPage(t, options)
    await page.getByRole('button', { name: 'Refresh everything' }).click()
    assert.deepEqual(await untilFresh(page), ['/articles', 'related'])
    await untilTitle(11, expected)
  })

  test(`Purge removes every entry, after a warning${how}`, async (t) => {
    await title(12)
    await loseWebhooks(t)
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
