// The stand-in for Supabase as a child process, its keys, and Supabase's clients connected to it.
// With CONTRACT_URL, the tests run against a server that is there already: real/README.md.

import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { PostgrestClient } from '@supabase/postgrest-js'
import { createClient } from '@supabase/supabase-js'

/** The articles that the stand-in starts with, in the order of their ids. */
export const articles = JSON.parse(
  readFileSync(new URL('../../dev/supabase/src/sample.json', import.meta.url)),
)

/** What the anonymous role may see of them. */
export const published = articles.filter((article) => article.published)

/** A JWT of a role. By default, the public development secret of `supabase start` signs it. */
export function jwt(role, secret = 'super-secret-jwt-token-with-at-least-32-characters-long') {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url')
  const header = part({ alg: 'HS256', typ: 'JWT' })
  const payload = part({ iss: 'supabase-demo', role, exp: 1983812996 })
  const signature = createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url')
  return `${header}.${payload}.${signature}`
}

export const keys = {
  anon: jwt('anon'),
  publishable: 'sb_publishable_afterword-development',
  service: jwt('service_role'),
  secret: 'sb_secret_afterword-development',
}

// createClient() needs a WebSocket, which Node.js has since 22. No test subscribes to a channel.
class NoWebSocket {}

/**
 * Connects a client of each library. Each request carries `headers`, and is sent by `fetch`. Other
 * options go to the library.
 */
export const libraries = {
  'supabase-js': (url, key, { fetch, headers, ...options } = {}) =>
    createClient(url, key, {
      auth: { persistSession: false, autoRefreshToken: false },
      realtime: { transport: NoWebSocket },
      global: { fetch, headers },
      ...options,
    }),
  // Without supabase-js, a JWT key must be sent as the bearer token, too. An `sb_…` key must not.
  'postgrest-js': (url, key, { fetch, headers, ...options } = {}) => {
    const authorization = key.startsWith('sb_') ? {} : { Authorization: `Bearer ${key}` }
    return new PostgrestClient(`${url}/rest/v1`, {
      headers: { apikey: key, ...authorization, ...headers },
      fetch,
      ...options,
    })
  },
}

const real = process.env.CONTRACT_URL

/** For `skip`: a test about the stand-in or Supabase's gateway, and not about PostgREST. */
export const standInOnly = real ? 'not about PostgREST' : false

/**
 * Starts a stand-in for the test file that calls this, and ends it after the file's last test. If a
 * test fails, it prints the stand-in's output.
 */
export async function start(...options) {
  if (real) return await startReal(options)
  const program = process.env.AFTERWORD_SUPABASE_PROGRAM
  if (!program) {
    throw new Error(
      'AFTERWORD_SUPABASE_PROGRAM is not set. It is the path of the program afterword-supabase: ' +
        '`cargo build -p afterword-supabase` builds it as target/debug/afterword-supabase.',
    )
  }
  const folder = mkdtempSync(join(tmpdir(), 'afterword-contract-'))
  const database = join(folder, 'rows.db')
  const child = spawn(
    program,
    ['--listen', '127.0.0.1:0', '--database', database, '--verbose', ...options],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  // A file that fails before its hooks run leaves no process and no folder behind either.
  process.once('exit', () => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })

  let said = ''
  createInterface(child.stderr).on('line', (line) => (said += `  ${line}\n`))
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(`it ended with ${signal ?? code}`))
  })
  const serving = new Promise((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line.startsWith('serving: ')) resolve({ url: line.slice('serving: '.length) })
    })
  })
  const late = sleep(10_000, 'it did not say within 10 s where it serves', { ref: false })
  const outcome = await Promise.race([serving, ended, late])
  if (!outcome.url) throw new Error(`cannot start ${program}: ${outcome}\n${said}`)

  afterEach((test) => {
    if (!test.passed) process.stderr.write(`The stand-in said:\n${said || '  nothing\n'}`)
    said = ''
  })
  after(async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  return outcome.url
}

/** Restores the sample articles on the real server that corresponds to these options. */
async function startReal(options) {
  const url = options.includes('--row-cap') ? process.env.CONTRACT_ROW_CAP_URL : real
  if (!url) throw new Error('CONTRACT_ROW_CAP_URL is not set')
  const table = libraries['postgrest-js'](url, keys.service).from('articles')
  await table.delete().gte('id', 0).throwOnError()
  await table.insert(articles).throwOnError()
  return url
}

/** A `fetch` that keeps the answers, for what the clients do not show of them. */
export function recorder() {
  const answers = []
  return {
    fetch: async (...request) => {
      const answer = await fetch(...request)
      answers.push(answer)
      return answer
    },
    header: (name) => answers.at(-1).headers.get(name),
  }
}
