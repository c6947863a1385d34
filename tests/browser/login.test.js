import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNAUTHORIZED, openPage, openStatusPage } from './chromium.js'
import { adminToken, url } from './environment.js'

for (const javaScriptEnabled of [true, false]) {
  const options = { javaScriptEnabled, expected: UNAUTHORIZED }
  const how = javaScriptEnabled ? '' : ', without JavaScript'

  test(`logged out, the page is a login form and nothing else${how}`, async (t) => {
    const page = await openPage(t, options)
    const response = await page.goto(`${url}/status`)
    assert.equal(response.status(), 401)
    assert.equal(await page.locator('h1').textContent(), 'Log in')
    assert.equal(await page.locator('#status, section, table').count(), 0)
    const forms = page.locator('form')
    assert.equal(await forms.count(), 1)
    assert.equal(await forms.getAttribute('action'), '/status/login')
  })

  test(`a wrong token is refused, and the page says so${how}`, async (t) => {
    const page = await openPage(t, options)
    await page.goto(`${url}/status`)
    await page.getByLabel('Admin token').fill('a wrong token')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').filter({ hasText: 'This token is wrong.' }).waitFor()
    assert.equal(await page.locator('#status').count(), 0)
    assert.deepEqual(await page.context().cookies(), [])
  })

  test(`the token opens the page, and logging out closes it${how}`, async (t) => {
    const page = await openPage(t, options)
    await page.goto(`${url}/status`)
    await page.getByLabel('Admin token').fill(adminToken)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: 'Changes' }).waitFor()
    const [cookie] = await page.context().cookies()
    assert.equal(cookie.httpOnly, true)
    assert.equal(cookie.sameSite, 'Strict')

    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    assert.deepEqual(await page.context().cookies(), [])
  })
}

test('logged out, a program gets nothing either', async () => {
  for (const path of ['/status', '/status/events/1', '/metrics']) {
    const response = await fetch(url + path)
    assert.equal(response.status, 401, path)
    assert.match(response.headers.get('content-type'), /^application\/problem\+json/, path)
  }
})

test('an open page says that the login has ended', async (t) => {
  const page = await openStatusPage(t, { expected: UNAUTHORIZED })
  await page.context().clearCookies()
  await page.getByRole('status').filter({ hasText: 'You are logged out' }).waitFor()
})
