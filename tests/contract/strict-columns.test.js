import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refused } from './refused.js'
import { articles, keys, libraries, published, start } from './stand-in.js'

const url = await start('--strict-columns')

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    test('`select=*` is refused to a role that may not read every column', async () => {
      const denied = { status: 401, code: '42501', message: 'permission denied for table articles' }
      refused(await connect(url, keys.anon).from('articles').select(), denied)
      refused(
        await connect(url, keys.anon).from('articles').select('*').eq('id', 1).single(),
        denied,
      )
    })

    test('named columns and the other role are not refused', async () => {
      const { data } = await connect(url, keys.anon)
        .from('articles')
        .select('id,title')
        .order('id')
        .throwOnError()
      assert.deepEqual(
        data,
        published.map(({ id, title }) => ({ id, title })),
      )
      const all = await connect(url, keys.service)
        .from('articles')
        .select()
        .order('id')
        .throwOnError()
      assert.deepEqual(all.data, articles)
    })
  })
}
