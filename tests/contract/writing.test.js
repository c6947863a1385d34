import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refused } from './refused.js'
import { keys, libraries, standInOnly, start } from './stand-in.js'

const url = await start()

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const table = () => connect(url, keys.service).from('articles')
    const slugged = (name) => `${library}-${name}`
    const read = async (columns, ...slugs) => {
      const { data } = await table().select(columns).in('slug', slugs).order('slug').throwOnError()
      return data
    }

    test('an insert returns the row if it is selected', async () => {
      const slug = slugged('insert')
      const silent = await table().insert({ slug, title: 'One' })
      assert.deepEqual(
        [silent.error, silent.status, silent.data, silent.count],
        [null, 201, null, null],
      )
      const told = await table()
        .insert({ slug: `${slug}-told`, title: 'Two', body: 'x' })
        .select()
      assert.deepEqual([told.error, told.status, told.data.length], [null, 201, 1])
      const [{ id, created_at, updated_at, ...row }] = told.data
      assert.deepEqual(row, {
        slug: `${slug}-told`,
        title: 'Two',
        body: 'x',
        published: false,
        editor_notes: null,
      })
      assert.equal(typeof id, 'number')
      assert.equal(created_at, updated_at)
      assert.deepEqual(await read('title', slug, `${slug}-told`), [
        { title: 'One' },
        { title: 'Two' },
      ])
    })

    test('single() returns one inserted row as an object', async () => {
      const insert = table().insert({ slug: slugged('single'), title: 'One' })
      const { data, status } = await insert.select('heading:title').single().throwOnError()
      assert.deepEqual([status, data], [201, { heading: 'One' }])
    })

    test('single() rolls an insert of several rows back', async () => {
      const slugs = [slugged('several-1'), slugged('several-2')]
      refused(
        await table()
          .insert(slugs.map((slug) => ({ slug, title: 'x' })))
          .select()
          .single(),
        {
          status: 406,
          code: 'PGRST116',
          message: 'Cannot coerce the result to a single JSON object',
          details: 'The result contains 2 rows',
        },
      )
      assert.deepEqual(await read('slug', ...slugs), [])
    })

    test('an insert of several rows is counted, and one of no rows inserts none', async () => {
      const slugs = [slugged('bulk-1'), slugged('bulk-2')]
      const bulk = await table()
        .insert(
          slugs.map((slug) => ({ slug, title: slug })),
          { count: 'exact' },
        )
        .select('slug')
      assert.deepEqual(
        [bulk.status, bulk.count, bulk.data],
        [201, 2, slugs.map((slug) => ({ slug }))],
      )
      const none = await table().insert([]).select()
      assert.deepEqual([none.error, none.status, none.data], [null, 201, []])
    })

    test('a missing value is null, or the column’s default if that is asked for', async () => {
      const rows = (name) => [
        { slug: slugged(`${name}-1`), title: 'x' },
        { slug: slugged(`${name}-2`), title: 'x', published: true },
      ]
      const nulls = await table().insert(rows('nulls')).select()
      assert.deepEqual([nulls.status, nulls.error.code], [400, '23502'])
      const defaults = table()
        .insert(rows('defaults'), { defaultToNull: false })
        .select('slug,published')
        .order('slug')
      const { data } = await defaults.throwOnError()
      assert.deepEqual(
        data.map((row) => row.published),
        [false, true],
      )
    })

    test('any text is kept unchanged', async () => {
      const title =
        'Grüße — «второй» 🚀 日本語 \u{1F469}\u200D\u{1F680} e\u0301 "quoted" \\ % & + ?'
      const body = ' two\r\nlines\tand\u00A0spaces '
      const slug = slugged('übung-проба')
      const insert = await table()
        .insert({ slug, title, body })
        .select('slug,title,body')
        .single()
        .throwOnError()
      assert.deepEqual(insert.data, { slug, title, body })
      const { data } = await table()
        .select('slug,title,body')
        .eq('title', title)
        .eq('slug', slug)
        .throwOnError()
      assert.deepEqual(data, [{ slug, title, body }])
    })

    test('times are kept to the microsecond and returned in UTC', async () => {
      const times = {
        created_at: '2026-11-23T05:57:00.861404+02:00',
        updated_at: '2026-11-23T03:57:00Z',
      }
      const insert = table().insert({ slug: slugged('times'), title: 'x', ...times })
      const { data } = await insert.select('created_at,updated_at').single().throwOnError()
      assert.deepEqual(data, {
        created_at: '2026-11-23T03:57:00.861404+00:00',
        updated_at: '2026-11-23T03:57:00+00:00',
      })
    })

    test('an update changes the rows that it finds, and returns selected ones', async () => {
      const [slug, other] = [slugged('update-1'), slugged('update-2')]
      await table()
        .insert([slug, other].map((slug) => ({ slug, title: 'Old' })))
        .throwOnError()
      const silent = await table().update({ title: 'New' }, { count: 'exact' }).eq('slug', slug)
      assert.deepEqual(
        [silent.error, silent.status, silent.data, silent.count],
        [null, 204, null, 1],
      )
      assert.deepEqual(await read('title', slug, other), [{ title: 'New' }, { title: 'Old' }])
      const told = await table()
        .update({ body: null, published: true })
        .eq('slug', other)
        .select('slug,published')
      assert.deepEqual([told.status, told.data], [200, [{ slug: other, published: true }]])
    })

    test('an update that finds no row changes nothing', async () => {
      const none = await table().update({ title: 'New' }, { count: 'exact' }).eq('id', 0).select()
      assert.deepEqual([none.error, none.status, none.data, none.count], [null, 200, [], 0])
      const maybe = await table().update({ title: 'New' }).eq('id', 0).select().maybeSingle()
      assert.deepEqual([maybe.error, maybe.data], [null, null])
      assert.equal(
        (await table().update({ title: 'New' }).eq('id', 0).select().single()).error.code,
        'PGRST116',
      )
    })

    test('a delete removes the rows that it finds, and returns selected ones', async () => {
      const [slug, other] = [slugged('delete-1'), slugged('delete-2')]
      await table()
        .insert([slug, other].map((slug) => ({ slug, title: 'x' })))
        .throwOnError()
      const silent = await table().delete({ count: 'exact' }).eq('slug', slug)
      assert.deepEqual(
        [silent.error, silent.status, silent.data, silent.count],
        [null, 204, null, 1],
      )
      const told = await table().delete().eq('slug', other).select('slug,title')
      assert.deepEqual([told.status, told.data], [200, [{ slug: other, title: 'x' }]])
      assert.deepEqual(await read('slug', slug, other), [])
    })

    test('the rows of a change come in the requested order', async () => {
      const slugs = [slugged('order-1'), slugged('order-2')]
      const descending = slugs.toReversed().map((slug) => ({ slug }))
      const order = async (change) =>
        (await change.order('slug', { ascending: false }).throwOnError()).data
      const rows = slugs.map((slug) => ({ slug, title: 'x' }))
      assert.deepEqual(await order(table().insert(rows).select('slug')), descending)
      assert.deepEqual(
        await order(table().update({ title: 'y' }).in('slug', slugs).select('slug')),
        descending,
      )
      assert.deepEqual(await order(table().delete().in('slug', slugs).select('slug')), descending)
    })

    test('an update or a delete without a filter is refused', { skip: standInOnly }, async () => {
      const everything = { status: 400, code: '21000' }
      const message = (statement) => `${statement} requires a WHERE clause`
      refused(await table().update({ title: 'New' }), { ...everything, message: message('UPDATE') })
      refused(await table().delete(), { ...everything, message: message('DELETE') })
    })

    test('a row that violates a constraint fails every row of the request', async () => {
      const [slug, taken] = [slugged('broken'), slugged('taken')]
      await table().insert({ slug: taken, title: 'x' }).throwOnError()
      refused(await table().insert([slug, taken].map((slug) => ({ slug, title: 'y' }))), {
        status: 409,
        code: '23505',
        message: 'duplicate key value violates unique constraint "articles_slug_key"',
        details: `Key (slug)=(${taken}) already exists.`,
      })
      assert.deepEqual(await read('title', slug, taken), [{ title: 'x' }])
      const { error, status } = await table().insert({ slug })
      assert.deepEqual([status, error.code], [400, '23502'])
      assert.equal(
        error.message,
        'null value in column "title" of relation "articles" violates not-null constraint',
      )
    })

    test('an unknown column and a value of another type are refused', async () => {
      const unknown = {
        status: 400,
        code: 'PGRST204',
        message: "Could not find the 'nope' column of 'articles' in the schema cache",
      }
      refused(await table().insert({ slug: slugged('nope'), title: 'x', nope: 1 }), unknown)
      refused(await table().insert([{ slug: slugged('nope'), title: 'x', nope: 1 }]), unknown)
      refused(await table().update({ nope: 1 }).eq('id', 1), unknown)
      refused(await table().insert({ slug: slugged('type'), title: 'x', published: 'maybe' }), {
        status: 400,
        code: '22P02',
        message: 'invalid input syntax for type boolean: "maybe"',
      })
    })
  })
}
