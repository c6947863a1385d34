import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import {
  UNAUTHORIZED, openDetails, openPage, openStatusPage, overflow, url,
} from './chromium.js'
import { change, postWebhook, setFaults, until } from './supabase.js'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const HOSTILE = `"><img src=x onerror=alert(1)><script>alert(2)</script>${'x'.repeat(150)}`

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

/** Fills the page: fresh events, hostile keys as long as keys can be, and keys that fail. */
async function fillPage(t) {
  const code = 'E'.repeat(200)
  const fault = { refusal: { status: 500, code } }
  await setFaults(t, { rest: [{ matching: 'id=in.(13)', fault }, { matching: 'xxx', fault }] })
  await change(14)
  await change(13)
  await postWebhook({ id: HOSTILE })
  const page = await openStatusPage(t)
  await page.getByRole('row').filter({ hasText: '/articles/13' }).getByText(code.slice(0, 50)).waitFor()
  await page.context().close()
}

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1280, 360]) {
    const options = { colorScheme, viewport: { width, height: 800 } }
    const how = `${colorScheme}, ${width} px wide`

    test(`axe finds nothing on the page, and nothing overflows (${how})`, async (t) => {
      await fillPage(t)
      const page = await openStatusPage(t, options)
      assert.ok((await page.textContent('main')).includes('onerror=alert(1)'))
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
