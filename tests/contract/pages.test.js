import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { refused } from './refused.js'
import { keys, libraries, published, recorder, start } from './stand-in.js'

const url = await start()
const total = published.length

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const { fetch, header } = recorder()
    const rows = (options) =>
      connect(url, keys.anon, { fetch }).from('articles').select('id', options).order('id')
    const ids = (from, to) => published.slice(from, to).map(({ id }) => ({ id }))

    test('a range is a page, and the count is of all rows', async () => {
      const page = await rows({ count: 'exact' }).range(5, 9)
      assert.deepEqual([page.error, page.status, page.count], [null, 206, total])
      assert.deepEqual(page.data, ids(5, 10))
      assert.equal(header('content-range'), `5-9/${total}`)
    })

    test('without a count, a page is a 200', async () => {
      const page = await rows().range(5, 9)
      assert.deepEqual([page.error, page.status, page.count], [null, 200, null])
      assert.deepEqual(page.data, ids(5, 10))
      assert.equal(header('content-range'), '5-9/*')
    })

    test('a page with every row of the table is a 200', async () => {
      const page = await rows({ count: 'exact' }).range(0, 99)
      assert.deepEqual([page.status, page.count, page.data.length], [200, total, total])
      assert.equal(header('content-range'), `0-${total - 1}/${total}`)
    })

    test('the last page ends with the last row', async () => {
      const page = await rows({ count: 'exact' }).range(20, 39)
      assert.deepEqual(page.data, ids(20))
      assert.equal(header('content-range'), `20-${total - 1}/${total}`)
    })

    test('a limit selects the first rows, and the limit 0 none', async () => {
      assert.deepEqual((await rows().limit(3)).data, ids(0, 3))
      const none = await rows().limit(0)
      assert.deepEqual([none.error, none.status, none.data], [null, 200, []])
      assert.equal(header('content-range'), '*/*')
    })

    test('a page right after the last row is empty', async () => {
      const page = await rows({ count: 'exact' }).range(total, total + 9)
      assert.deepEqual([page.error, page.status, page.count, page.data], [null, 206, total, []])
      assert.equal(header('content-range'), `*/${total}`)
    })

    test('a page beyond the end is refused if rows are counted, and empty otherwise', async () => {
      refused(await rows({ count: 'exact' }).range(100, 109), {
        status: 416,
        code: 'PGRST103',
        message: 'Requested range not satisfiable',
        details: `An offset of 100 was requested, but there are only ${total} rows.`,
      })
      assert.equal(header('content-range'), `*/${total}`)
      const page = await rows().range(100, 109)
      assert.deepEqual([page.error, page.status, page.data], [null, 200, []])
    })

    test('a negative limit is refused', async () => {
      refused(await rows().limit(-1), {
        status: 416,
        code: 'PGRST103',
        message: 'Requested range not satisfiable',
        details: 'Limit should be greater than or equal to zero.',
      })
    })

    test('the count is of the rows that the filters find', async () => {
      const page = await rows({ count: 'exact' }).gt('id', 10).limit(2)
      assert.equal(page.count, published.filter(({ id }) => id > 10).length)
      const none = await rows({ count: 'exact' }).eq('id', 0)
      assert.deepEqual([none.status, none.count, none.data], [200, 0, []])
      assert.equal(header('content-range'), '*/0')
    })

    test('a HEAD returns the count and no rows', async () => {
      const table = connect(url, keys.anon, { fetch }).from('articles')
      const head = await table.select('id', { head: true, count: 'exact' })
      assert.deepEqual([head.error, head.status, head.count, head.data], [null, 200, total, null])
      assert.equal(header('content-range'), `0-${total - 1}/${total}`)
    })

    test('a refused HEAD has a status and no message', async () => {
      const table = connect(url, keys.anon, { fetch }).from('articles')
      const head = await table.select('nope', { head: true, count: 'exact' })
      assert.deepEqual([head.status, head.error.message, head.count], [400, '', null])
    })
  })
}
