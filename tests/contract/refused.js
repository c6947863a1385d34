import assert from 'node:assert/strict'

/** Asserts that PostgREST refused, with this error. What it says besides code and message is null unless expected. */
export function refused(result, { status, code, message, details = null, hint = null }) {
  nothing(result)
  const { error } = result
  assert.deepEqual(
    { status: result.status, code: error.code, message: error.message, details: error.details, hint: error.hint },
    { status, code, message, details, hint },
  )
}

/** Asserts that the gateway in front of PostgREST refused. Its errors have neither a code nor details. */
export function refusedByGateway(result, message, hint) {
  nothing(result)
  assert.equal(result.status, 401)
  assert.deepEqual({ ...result.error, message: result.error.message }, { message, hint })
}

function nothing({ error, data, count }) {
  assert.ok(error, `expected a refusal: ${JSON.stringify({ data, count })}`)
  assert.equal(data, null)
  assert.equal(count, null)
}
