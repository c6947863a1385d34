import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { keys, libraries, published, start } from './stand-in.js'

const cap = 10
const url = await start('--row-cap', String(cap))
const ids = published.map(({ id }) => ({ id }))

for (const [library, connect] of Object.entries(libraries)) {
  describe(library, () => {
    const rows = (options) =>
      connect(url, keys.anon).from('articles').select('id', options).order('id')

    test('a response is cut at the cap without an error', async () => {
      const { data, error, status } = await rows()
      assert.deepEqual([error, status], [null, 200])
      assert.deepEqual(data, ids.slice(0, cap))
    })

    test('a higher limit does not raise the cap, and a lower one applies', async () => {
      assert.deepEqual((await rows().limit(1_000)).data, ids.slice(0, cap))
      assert.deepEqual((await rows().range(5, 999)).data, ids.slice(5, 5 + cap))
      assert.deepEqual((await rows().limit(3)).data, ids.slice(0, 3))
    })

    test('a count reveals that rows are missing', async () => {
      const { data, count, status } = await rows({ count: 'exact' })
      assert.deepEqual([status, count, data.length], [206, ids.length, cap])
      const head = await rows({ count: 'exact', head: true })
      assert.deepEqual([head.status, head.count], [206, ids.length])
    })

    test('page after page returns each row once', async () => {
      const read = []
      for (;;) {
        const { data } = await rows()
          .range(read.length, read.length + 999)
          .throwOnError()
        if (data.length === 0) break
        read.push(...data)
      }
      assert.deepEqual(read, ids)
    })
  })
}
