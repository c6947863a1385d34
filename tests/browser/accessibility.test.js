import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { postWebhook, untilPausesAreLong } from './application.js'
import { UNAUTHORIZED, openDetails, openPage, openStatusPage, overflow } from './chromium.js'
import { url } from './environment.js'
import { change, failItems } from './supabase.js'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const HOSTILE = `"><img src=x onerror=alert(1)><script>alert(2)</script>${'x'.repeat(100)}`

/** What axe finds wrong, with the elements. */
async function violations(page) {
  await page.evaluate(AXE)
  const { violations } = await page.evaluate(() => axe.run({ preload: false }))
  return violations.map(({ id, help, nodes }) => ({
    id,
    help,
    elements: nodes.map(({ html }) => html),
  }))
}

/** Fills the page: a fresh event, a hostile key as long as keys can be, and keys that fail. */
async function fillPage(t) {
  await change(14)
  await failItems(t)
  await change(13)
  await postWebhook({ id: HOSTILE })
  await untilPausesAreLong('/articles/13')
}

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1280, 360]) {
    const options = { colorScheme, viewport: { width, height: 800 } }
    const how = `${colorScheme}, ${width} px wide`

    test(`axe finds nothing on the page, and nothing overflows (${how})`, async (t) => {
      await fillPage(t)
      const page = await openStatusPage(t, options)
      assert.match(await page.textContent('main'), /onerror/)
      assert.equal(await overflow(page), 0)
      await openDetails(page)
      assert.equal(await overflow(page), 0)
      assert.deepEqual(await violations(page), [])
    })

    test(`axe finds nothing on the login form, and nothing overflows (${how})`, async (t) => {
      const page = await openPage(t, { ...options, expected: UNAUTHORIZED })
      await page.goto(`${url}/status`)
      assert.deepEqual(await violations(page), [])
      await page.getByLabel('Admin token').fill('a wrong token')
      await page.getByRole('button', { name: 'Log in' }).click()
      await page.getByRole('alert').waitFor()
      assert.deepEqual(await violations(page), [])
      assert.equal(await overflow(page), 0)
    })
  }
}
