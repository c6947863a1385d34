// What Supabase's API gateway does in front of PostgREST, as far as clients depend on it: the path
// prefix /rest/v1, and the role of an API key.
//
//   node gateway.js <port> <URL of PostgREST>
//
// The gateway of a project also refuses a request without a known key. This one does not: such a
// refusal would say nothing about PostgREST.

import { createServer, request } from 'node:http'
import { keys } from '../stand-in.js'

const PREFIX = '/rest/v1'
const [port, upstream] = process.argv.slice(2)
const postgrest = new URL(upstream)
const jwts = { [keys.publishable]: keys.anon, [keys.secret]: keys.service }

/** The bearer token for PostgREST. An `sb_…` key is not a JWT: it stands for one. */
function authorization({ apikey, authorization }) {
  const isKey = authorization?.toLowerCase().startsWith('bearer sb_')
  if (authorization && !isKey) return authorization
  return apikey && `Bearer ${jwts[apikey] ?? apikey}`
}

const server = createServer((incoming, response) => {
  const { method, url, headers } = incoming
  if (!url.startsWith(PREFIX)) {
    response.writeHead(404).end()
    return
  }
  const token = authorization(headers)
  const path = postgrest.pathname.replace(/\/$/, '') + (url.slice(PREFIX.length) || '/')
  const outgoing = request(
    {
      hostname: postgrest.hostname,
      port: postgrest.port,
      method,
      path,
      headers: { ...headers, host: postgrest.host, ...(token && { authorization: token }) },
    },
    (answer) => {
      response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders)
      answer.pipe(response)
    },
  )
  outgoing.on('error', (error) => {
    console.error(`${method} ${url}: ${error.message}`)
    response.headersSent ? response.destroy() : response.writeHead(502).end()
  })
  incoming.pipe(outgoing)
})

server.listen(Number(port), '127.0.0.1', () => {
  console.log(`serving: http://127.0.0.1:${port}`)
})
