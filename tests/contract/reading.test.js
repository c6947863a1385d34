import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refused } from './refused.js'
import { articles, keys, libraries, published, standInOnly, start } from './stand-in.js'

const url = await start()
const [first, second] = published
const notSingular = {
  status: 406,
  code: 'PGRST116',
  message: 'Cannot coerce the result to a single JSON object',
}

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const table = () => connect(url, keys.anon).from('articles')
    const serviceTable = () => connect(url, keys.service).from('articles')

    test('select() returns every column of every row', async () => {
      const result = await serviceTable().select().order('id')
      assert.deepEqual(result.data, articles)
      assert.deepEqual(
        [result.error, result.status, result.statusText, result.count],
        [null, 200, 'OK', null],
      )
      assert.deepEqual((await serviceTable().select('*').order('id')).data, articles)
    })

    test('columns can be selected, with spaces, and renamed', async () => {
      const { data } = await table().select('heading:title, id').order('id').limit(1).throwOnError()
      assert.deepEqual(Object.entries(data[0]), [
        ['heading', first.title],
        ['id', first.id],
      ])
      const quoted = await table().select('"id","slug"').eq('id', first.id).throwOnError()
      assert.deepEqual(quoted.data, [{ id: first.id, slug: first.slug }])
    })

    test('values have the types of their columns', async () => {
      const { data } = await serviceTable().select().eq('id', first.id).single().throwOnError()
      const types = Object.fromEntries(
        Object.entries(data).map(([name, value]) => [name, typeof value]),
      )
      assert.deepEqual(types, {
        id: 'number',
        slug: 'string',
        title: 'string',
        body: 'string',
        published: 'boolean',
        created_at: 'string',
        updated_at: 'string',
        editor_notes: 'object',
      })
      assert.equal(data.editor_notes, null)
      assert.match(data.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00$/)
    })

    test('rows come in the requested order', async () => {
      const ids = async (query) => (await query.throwOnError()).data.map(({ id }) => id)
      const sorted = (compare) => articles.toSorted(compare).map(({ id }) => id)
      const descending = await ids(serviceTable().select('id').order('id', { ascending: false }))
      assert.deepEqual(
        descending,
        sorted((a, b) => b.id - a.id),
      )
      const twice = await ids(
        serviceTable().select('id').order('published').order('id', { ascending: false }),
      )
      assert.deepEqual(
        twice,
        sorted((a, b) => a.published - b.published || b.id - a.id),
      )
    })

    test('nulls come last, or first in descending order, unless the order says where', async () => {
      const without = articles.filter((article) => article.editor_notes === null).length
      const nulls = async (options) => {
        const { data } = await serviceTable()
          .select('editor_notes')
          .order('editor_notes', options)
          .throwOnError()
        return data.map((row) => row.editor_notes === null)
      }
      const last = articles.map((_, place) => place >= articles.length - without)
      const first = articles.map((_, place) => place < without)
      assert.deepEqual(await nulls({}), last)
      assert.deepEqual(await nulls({ ascending: false }), first)
      assert.deepEqual(await nulls({ nullsFirst: true }), first)
      assert.deepEqual(await nulls({ ascending: false, nullsFirst: false }), last)
    })

    test('single() returns the one row as an object', async () => {
      const { data, error } = await table().select('id,slug').eq('id', first.id).single()
      assert.equal(error, null)
      assert.deepEqual(data, { id: first.id, slug: first.slug })
    })

    test('single() refuses no row and several rows', async () => {
      refused(await table().select('id').eq('id', 0).single(), {
        ...notSingular,
        details: 'The result contains 0 rows',
      })
      const several = await table().select('id').in('id', [first.id, second.id]).single()
      refused(several, { ...notSingular, details: 'The result contains 2 rows' })
    })

    test('maybeSingle() returns the one row, or null for none, and refuses several', async () => {
      const { data } = await table().select('id').eq('id', first.id).maybeSingle().throwOnError()
      assert.deepEqual(data, { id: first.id })
      const none = await table().select('id').eq('id', 0).maybeSingle()
      assert.deepEqual([none.data, none.error], [null, null])
      const several = await table().select('id').in('id', [first.id, second.id]).maybeSingle()
      assert.deepEqual([several.status, several.error.code, several.data], [406, 'PGRST116', null])
    })

    test('a media type that the stand-in lacks is refused', { skip: standInOnly }, async () => {
      for (const lacking of [
        table().select().csv(),
        table().select().geojson(),
        table().select().stripNulls(),
        table().select().eq('id', first.id).single().stripNulls(),
      ]) {
        const { error, status, data } = await lacking
        assert.deepEqual(
          [status, error?.code, data],
          [406, 'PGRST107', null],
          lacking.headers.get('accept'),
        )
      }
    })

    test('an unknown table or column is refused', async () => {
      refused(await connect(url, keys.anon).from('poems').select(), {
        status: 404,
        code: 'PGRST205',
        message: "Could not find the table 'public.poems' in the schema cache",
      })
      const unknown = { status: 400, code: '42703', message: 'column articles.nope does not exist' }
      refused(await table().select('id,nope'), unknown)
      refused(await table().select('id').eq('nope', 1), unknown)
      refused(await table().select('id').order('nope'), unknown)
    })
  })
}
