import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refused } from './refused.js'
import { articles, keys, libraries, recorder, start } from './stand-in.js'

const url = await start()

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const { fetch, header } = recorder()
    const table = () => connect(url, keys.service, { fetch }).from('articles')
    const slugged = (name) => `${library}-${name}`

    test('the response names the applied preferences', async () => {
      await table().select('id', { count: 'exact' }).throwOnError()
      assert.equal(header('preference-applied'), 'count=exact')
      const row = { slug: slugged('applied'), title: 'x' }
      const upsert = table().upsert([row], {
        onConflict: 'slug',
        count: 'exact',
        defaultToNull: false,
      })
      await upsert.select().throwOnError()
      const applied =
        'resolution=merge-duplicates, missing=default, return=representation, count=exact'
      assert.equal(header('preference-applied'), applied)
      await table().update({ title: 'y' }).eq('slug', row.slug).select().throwOnError()
      assert.equal(header('preference-applied'), 'return=representation')
      await table().delete().eq('slug', row.slug).throwOnError()
      assert.equal(header('preference-applied'), null)
    })

    test('an unknown preference is ignored, or refused under handling=strict', async () => {
      const prefer = (value) => table().select('id').eq('id', 1).setHeader('Prefer', value)
      assert.deepEqual((await prefer('nonsense')).data, [{ id: 1 }])
      assert.deepEqual((await prefer('handling=lenient, nonsense')).data, [{ id: 1 }])
      assert.equal(header('preference-applied'), 'handling=lenient')
      refused(await prefer('handling=strict, nonsense'), {
        status: 400,
        code: 'PGRST122',
        message: 'Invalid preferences given with handling=strict',
        details: 'Invalid preferences: nonsense',
      })
    })

    test('a change of more rows than max-affected is refused and rolled back', async () => {
      const few = (rows) => rows.in('id', [1, 2, 3]).maxAffected(2)
      const exceeded = {
        status: 400,
        code: 'PGRST124',
        message: 'Query result exceeds max-affected preference constraint',
        details: 'The query affects 3 rows',
      }
      refused(await few(table().update({ title: 'Too many' })), exceeded)
      refused(await few(table().delete()), exceeded)
      const { data } = await table()
        .select('id,title')
        .in('id', [1, 2, 3])
        .order('id')
        .throwOnError()
      assert.deepEqual(
        data,
        articles.slice(0, 3).map(({ id, title }) => ({ id, title })),
      )
    })

    test('a change of max-affected rows is made', async () => {
      const slug = slugged('affected')
      await table().insert({ slug, title: 'Old' }).throwOnError()
      const update = table()
        .update({ title: 'New' })
        .eq('slug', slug)
        .maxAffected(1)
        .select('title')
      assert.deepEqual((await update.throwOnError()).data, [{ title: 'New' }])
      assert.equal(
        header('preference-applied'),
        'return=representation, handling=strict, max-affected=1',
      )
    })
  })
}
