// Chromium, and pages of the application in it.

import assert from 'node:assert/strict'
import { after } from 'node:test'
import { chromium } from 'playwright-core'
import * as environment from './environment.js'

const { adminToken, url } = environment

const browser = await chromium.launch({ executablePath: environment.chromium })
after(() => browser.close())

/**
 * Opens a new browser's page for the test `t`. When the test ends, the console must hold no errors,
 * except for those that match `expected`. Chromium also reports there what the policy for content
 * forbids.
 */
export async function openPage(t, { expected, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    ...options,
  })
  const page = await context.newPage()
  const errors = []
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text())
  })
  page.on('pageerror', (error) => errors.push(error.message))
  t.after(async () => {
    await context.close()
    const unexpected = errors.filter((error) => !expected?.test(error))
    assert.deepEqual(unexpected, [], 'errors in the console')
  })
  return page
}

/** What Chromium says in the console about a page with status 401. */
export const UNAUTHORIZED = /status of 401/

/** Opens the status page, logged in. */
export async function openStatusPage(t, options) {
  const page = await openPage(t, options)
  const login = await page.request.post(`${url}/status/login`, {
    form: { token: adminToken },
    headers: { origin: url },
    maxRedirects: 0,
  })
  assert.equal(login.status(), 303)
  await page.goto(`${url}/status`)
  return page
}

/** The pixels by which the page is wider than the window. */
export async function overflow(page) {
  return await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement
    return scrollWidth - clientWidth
  })
}

export async function openDetails(page) {
  await page.evaluate(() => {
    for (const details of document.querySelectorAll('details')) details.open = true
  })
}
