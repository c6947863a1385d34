import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { keys, libraries, start } from './stand-in.js'

const url = await start()

/** Asserts PGRST106. Projects expose different schemas; `public` is always the first. */
function invalidSchema({ error, status, data }, schema) {
  assert.deepEqual([status, error?.code, data], [406, 'PGRST106', null])
  assert.equal(error.message, `Invalid schema: ${schema}`)
  assert.match(error.hint, /^Only the following schemas are exposed: public/)
}

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const client = connect(url, keys.service)

    test('naming the schema public works for reading and writing', async () => {
      const table = () => client.schema('public').from('articles')
      assert.deepEqual((await table().select('id').eq('id', 1).throwOnError()).data, [{ id: 1 }])
      const row = { slug: `${library}-public`, title: 'x' }
      assert.equal((await table().insert(row).throwOnError()).status, 201)
      const update = table().update({ title: 'y' }).eq('slug', row.slug).select('title')
      assert.deepEqual((await update.throwOnError()).data, [{ title: 'y' }])
      assert.equal((await table().delete().eq('slug', row.slug).throwOnError()).status, 204)
    })

    test('the table of a schema that is not exposed is not read', async () => {
      invalidSchema(await client.schema('private').from('articles').select('id'), 'private')
      const head = await client
        .schema('private')
        .from('articles')
        .select('*', { head: true, count: 'exact' })
      assert.deepEqual([head.status, head.count], [406, null])
    })

    test('the table of a schema that is not exposed is not written', async () => {
      const table = () => client.schema('private').from('articles')
      const row = { slug: `${library}-private`, title: 'x' }
      invalidSchema(await table().insert(row), 'private')
      invalidSchema(await table().update({ title: 'Changed' }).eq('id', 1), 'private')
      invalidSchema(await table().delete().eq('id', 1), 'private')
      assert.deepEqual((await client.from('articles').select('slug').eq('slug', row.slug)).data, [])
    })

    test('a client’s own schema setting works the same way', async () => {
      const options = { schema: 'private', db: { schema: 'private' } }
      invalidSchema(await connect(url, keys.anon, options).from('articles').select('id'), 'private')
    })
  })
}
