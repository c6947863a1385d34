import { join } from 'node:path'
import { test } from 'node:test'
import { queuedKeys, until, untilPausesAreLong } from './application.js'
import { UNAUTHORIZED, openPage, openStatusPage } from './chromium.js'
import { screenshots, url } from './environment.js'
import { change, failItems } from './supabase.js'

const SIZES = [
  { width: 1280, height: 1000 },
  { width: 360, height: 780 },
]

test('screenshots of the page and of the login form', async (t) => {
  await failItems(t, 17)
  await change(17)
  await untilPausesAreLong('/articles/17')
  for (const id of [2, 5, 11, 20, 7]) await change(id)
  await until('the other keys are fresh', async () => (await queuedKeys()).length === 1)

  const page = await openStatusPage(t)
  const login = await openPage(t, { expected: UNAUTHORIZED })
  await login.goto(`${url}/status`)
  for (const viewport of SIZES) {
    for (const colorScheme of ['light', 'dark']) {
      const save = async (page, name, options) => {
        await page.setViewportSize(viewport)
        await page.emulateMedia({ colorScheme })
        const path = join(screenshots, `${name}-${viewport.width}-${colorScheme}.png`)
        await page.screenshot({ path, ...options })
      }
      await save(login, 'login')
      await save(page, 'status')
      await save(page, 'whole', { fullPage: true })
    }
  }
})
