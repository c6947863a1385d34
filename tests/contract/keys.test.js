import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PostgrestClient } from '@supabase/postgrest-js'
import { refused, refusedByGateway } from './refused.js'
import { articles, jwt, keys, libraries, published, standInOnly, start } from './stand-in.js'

const url = await start()
const roles = { anon: published, publishable: published, service: articles, secret: articles }

/** How many articles a client's role sees. */
async function seen(client) {
  const { count, error } = await client
    .from('articles')
    .select('id', { count: 'exact', head: true })
    .throwOnError()
  assert.equal(error, null)
  return count
}

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    for (const [name, rows] of Object.entries(roles)) {
      test(`the ${name} key has the rights of its role`, async () => {
        const { data, error } = await connect(url, keys[name])
          .from('articles')
          .select('id')
          .order('id')
        assert.equal(error, null)
        assert.deepEqual(
          data,
          rows.map(({ id }) => ({ id })),
        )
      })
    }

    for (const key of [
      'sb_publishable_wrong',
      jwt('service_role', 'another secret of 32 characters!'),
    ]) {
      test(
        `the unknown key ${key.slice(0, 20)} is refused by the gateway`,
        { skip: standInOnly },
        async () => {
          const hint = 'Double check your Supabase `anon` or `service_role` API key.'
          refusedByGateway(
            await connect(url, key).from('articles').select(),
            'Invalid API key',
            hint,
          )
        },
      )
    }

    test('a bearer JWT decides the role, whatever the key is', async () => {
      const headers = { Authorization: `Bearer ${keys.service}` }
      assert.equal(await seen(connect(url, keys.publishable, { headers })), articles.length)
      assert.equal(await seen(connect(url, keys.anon, { headers })), articles.length)
      const anon = { Authorization: `Bearer ${keys.anon}` }
      assert.equal(await seen(connect(url, keys.secret, { headers: anon })), published.length)
    })

    test('PostgREST refuses a JWT that another secret signed', async () => {
      const headers = {
        Authorization: `Bearer ${jwt('authenticated', 'another secret of 32 characters!')}`,
      }
      refused(await connect(url, keys.anon, { headers }).from('articles').select(), {
        status: 401,
        code: 'PGRST301',
        message: 'No suitable key or wrong key type',
        details: 'None of the keys was able to decode the JWT',
      })
    })

    test('PostgREST refuses a bearer token that is not a JWT', async () => {
      const headers = { Authorization: 'Bearer nonsense' }
      refused(await connect(url, keys.anon, { headers }).from('articles').select(), {
        status: 401,
        code: 'PGRST301',
        message: 'Expected 3 parts in JWT; got 1',
      })
    })
  })
}

test('supabase-js sends its own access token besides the key', async () => {
  const client = libraries['supabase-js'](url, keys.publishable, {
    accessToken: async () => keys.service,
  })
  assert.equal(await seen(client), articles.length)
})

test('a request without a key is refused by the gateway', { skip: standInOnly }, async () => {
  const hint = 'No `apikey` request header or url param was found.'
  const nobody = new PostgrestClient(`${url}/rest/v1`)
  refusedByGateway(await nobody.from('articles').select(), 'No API key found in request', hint)
})
