import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refused } from './refused.js'
import { keys, libraries, start } from './stand-in.js'

const url = await start()

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const table = () => connect(url, keys.service).from('articles')
    const slugged = (name) => `${library}-${name}`
    const insert = async (slug, title) =>
      (await table().insert({ slug, title, body: 'kept' }).select().single().throwOnError()).data

    test('an upsert updates existing rows and inserts new ones', async () => {
      const old = await insert(slugged('old'), 'Old')
      const update = await table()
        .upsert({ id: old.id, slug: old.slug, title: 'Merged' })
        .select('id,title,body')
      assert.deepEqual(
        [update.status, update.data],
        [200, [{ id: old.id, title: 'Merged', body: 'kept' }]],
      )
      const fresh = { id: old.id + 1000, slug: slugged('fresh'), title: 'Fresh' }
      const silent = await table().upsert(fresh, { count: 'exact' })
      assert.deepEqual(
        [silent.error, silent.status, silent.data, silent.count],
        [null, 201, null, 1],
      )
      const both = [
        { ...fresh, title: 'Again' },
        { ...fresh, id: fresh.id + 1, slug: slugged('more') },
      ]
      const mixed = await table().upsert(both).select('id').throwOnError()
      assert.deepEqual([mixed.status, mixed.data], [201, both.map(({ id }) => ({ id }))])
    })

    test('an upsert uses another unique column if it is named', async () => {
      const { id, slug } = await insert(slugged('by-slug'), 'Old')
      const { status, data } = await table()
        .upsert({ slug, title: 'New' }, { onConflict: 'slug' })
        .select('id,title')
      assert.deepEqual([status, data], [200, [{ id, title: 'New' }]])
    })

    test('an upsert leaves ignored duplicates unchanged', async () => {
      const { id, slug } = await insert(slugged('ignored'), 'Old')
      const rows = [
        { slug, title: 'New' },
        { slug: slugged('not-ignored'), title: 'New' },
      ]
      const upsert = table().upsert(rows, { onConflict: 'slug', ignoreDuplicates: true })
      const { status, data } = await upsert.select('slug').throwOnError()
      assert.deepEqual([status, data], [201, [{ slug: slugged('not-ignored') }]])
      const { data: kept } = await table().select('title').eq('id', id).single().throwOnError()
      assert.deepEqual(kept, { title: 'Old' })
    })

    test('an upsert that violates another unique column is refused', async () => {
      const { id, slug } = await insert(slugged('unique'), 'Old')
      refused(await table().upsert({ id: id + 1000, slug, title: 'New' }), {
        status: 409,
        code: '23505',
        message: 'duplicate key value violates unique constraint "articles_slug_key"',
        details: `Key (slug)=(${slug}) already exists.`,
      })
    })

    test('an upsert by a column that is not unique or does not exist is refused', async () => {
      const row = { slug: slugged('conflict'), title: 'x' }
      refused(await table().upsert(row, { onConflict: 'title' }), {
        status: 400,
        code: '42P10',
        message:
          'there is no unique or exclusion constraint matching the ON CONFLICT specification',
      })
      const { status, error } = await table().upsert(row, { onConflict: 'nope' })
      assert.deepEqual([status, error.code], [400, '42703'])
    })

    test('an upsert of one key twice is refused', async () => {
      const slug = slugged('twice')
      refused(
        await table().upsert(
          [1, 2].map((n) => ({ slug, title: `${n}` })),
          { onConflict: 'slug' },
        ),
        {
          status: 500,
          code: '21000',
          message: 'ON CONFLICT DO UPDATE command cannot affect row a second time',
          hint:
            'Ensure that no rows proposed for insertion within the same command ' +
            'have duplicate constrained values.',
        },
      )
      assert.deepEqual((await table().select('slug').eq('slug', slug)).data, [])
    })
  })
}
