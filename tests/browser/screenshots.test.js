import { join } from 'node:path'
import { test } from 'node:test'
import { UNAUTHORIZED, openPage, openStatusPage, url } from './chromium.js'
import { change, setFaults } from './supabase.js'

const folder = process.env.AFTERWORD_TEST_SCREENSHOTS

const SIZES = [
  { width: 1280, height: 1000 },
  { width: 360, height: 780 },
]

test('screenshots of the page and of the login form', async (t) => {
  const fault = { refusal: { status: 500, code: '57014' } }
  await setFaults(t, { rest: [{ matching: 'id=in.(17)', fault }] })
  for (const id of [2, 17, 5, 11, 20]) await change(id)
  const first = await openStatusPage(t)
  const failing = first.getByRole('row').filter({ hasText: '/articles/17' })
  await failing.getByText(/[2-9] s/).waitFor()
  await change(7)

  for (const viewport of SIZES) {
    for (const colorScheme of ['light', 'dark']) {
      const options = { viewport, colorScheme, expected: UNAUTHORIZED }
      const name = `${viewport.width}-${colorScheme}.png`
      const page = await openStatusPage(t, options)
      await page.getByText(/^ ?Fresh$/).first().waitFor()
      await page.screenshot({ path: join(folder, `status-${name}`) })
      await page.screenshot({ path: join(folder, `whole-${name}`), fullPage: true })
      const login = await openPage(t, options)
      await login.goto(`${url}/status`)
      await login.screenshot({ path: join(folder, `login-${name}`) })
    }
  }
})
