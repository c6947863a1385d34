import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refused } from './refused.js'
import { articles, keys, libraries, published, start } from './stand-in.js'

const url = await start()
const draft = articles.find((article) => !article.published)
const [visible] = published
const violated = {
  status: 401,
  code: '42501',
  message: 'new row violates row-level security policy for table "articles"',
}

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const anon = connect(url, keys.anon)
    const service = connect(url, keys.service)
    const unchanged = async () => {
      const { data } = await service.from('articles').select().order('id').throwOnError()
      assert.deepEqual(data, articles)
    }

    test('the anonymous role does not see unpublished rows', async () => {
      const { data, count } = await anon
        .from('articles')
        .select('id', { count: 'exact' })
        .order('id')
        .throwOnError()
      assert.deepEqual(
        data,
        published.map(({ id }) => ({ id })),
      )
      assert.equal(count, published.length)
      assert.deepEqual((await anon.from('articles').select('id').eq('published', false)).data, [])
      refused(await anon.from('articles').select('id').eq('id', draft.id).single(), {
        status: 406,
        code: 'PGRST116',
        message: 'Cannot coerce the result to a single JSON object',
        details: 'The result contains 0 rows',
      })
    })

    test('the service role reads every row and every column', async () => {
      const { data } = await service
        .from('articles')
        .select()
        .eq('id', draft.id)
        .single()
        .throwOnError()
      assert.deepEqual(data, draft)
      await unchanged()
    })

    test('naming a column that the anonymous role may not read is refused', async () => {
      const denied = { status: 401, code: '42501', message: 'permission denied for table articles' }
      refused(await anon.from('articles').select('id,editor_notes'), denied)
      refused(await anon.from('articles').select('id').is('editor_notes', null), denied)
      refused(await anon.from('articles').select('id').order('editor_notes'), denied)
    })

    test('the anonymous role inserts nothing', async () => {
      const row = { slug: 'mine', title: 'Mine', published: true }
      refused(await anon.from('articles').insert(row), violated)
      refused(await anon.from('articles').insert([row]).select('id').single(), violated)
      await unchanged()
    })

    test('the anonymous role upserts nothing', async () => {
      const row = { id: visible.id, slug: visible.slug, title: 'Mine' }
      refused(await anon.from('articles').upsert(row), violated)
      await unchanged()
    })

    test('an update by the anonymous role succeeds and finds no row', async () => {
      const update = () =>
        anon.from('articles').update({ title: 'Mine' }, { count: 'exact' }).eq('id', visible.id)
      const silent = await update()
      assert.deepEqual([silent.error, silent.status, silent.count], [null, 204, 0])
      const told = await update().select('id')
      assert.deepEqual([told.error, told.status, told.data], [null, 200, []])
      await unchanged()
    })

    test('a delete by the anonymous role succeeds and finds no row', async () => {
      const { error, status, count } = await anon
        .from('articles')
        .delete({ count: 'exact' })
        .eq('id', visible.id)
      assert.deepEqual([error, status, count], [null, 204, 0])
      await unchanged()
    })

    test('throwOnError() throws a refusal with PostgREST’s code', async () => {
      const { code, message } = violated
      const insert = anon.from('articles').insert({ slug: 'mine', title: 'Mine' }).throwOnError()
      await assert.rejects(async () => await insert, { name: 'PostgrestError', code, message })
    })
  })
}
