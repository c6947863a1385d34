import assert from 'node:assert/strict'

/** Asserts that PostgREST refused with this error. `details` and `hint` are null unless given. */
export function refused(result, { status, code, message, details = null, hint = null }) {
  nothing(result)
  const { error } = result
  assert.deepEqual(
    {
      status: result.status,
      code: error.code,
      message: error.message,
      details: error.details,
      hint: error.hint,
    },
    { status, code, message, details, hint },
  )
}

/** Asserts that the gateway before PostgREST refused. Its errors have no code and no details. */
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
