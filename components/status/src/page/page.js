// Keeps the status page up to date: fetches it every 2 s and replaces what has changed. Elements
// that are the same stay the same, with their focus, their input and their scroll position.
'use strict'

const PAGE = '/status'
const PAUSE = 2_000
const LONGEST_PAUSE = 60_000
const TIME_LIMIT = 10_000

let pause = PAUSE
let timer

// After an action, the address may be that of the action. A reload must not repeat its notice.
if (location.pathname + location.search !== PAGE) {
  history.replaceState(null, '', PAGE + location.hash)
}

document.addEventListener('visibilitychange', () => {
  clearTimeout(timer)
  if (!document.hidden) {
    update()
  }
})
say('is-live', 'Updates itself')
timer = setTimeout(update, PAUSE)

async function update() {
  try {
    const response = await fetch(PAGE, {
      headers: { accept: 'text/html' },
      cache: 'no-store',
      signal: AbortSignal.timeout(TIME_LIMIT),
    })
    const page = new DOMParser().parseFromString(await response.text(), 'text/html')
    const main = page.getElementById('status')
    if (response.ok && main) {
      replaceBy(page, main)
      say('is-live', 'Updates itself')
      pause = PAUSE
    } else {
      const isLoggedOut = response.status === 401 || page.getElementById('token')
      fail(isLoggedOut ? 'You are logged out: reload to log in.' : 'The application fails.')
    }
  } catch {
    fail('The application does not respond.')
  }
  clearTimeout(timer)
  if (!document.hidden) {
    timer = setTimeout(update, pause)
  }
}

function fail(reason) {
  pause = Math.min(pause * 2, LONGEST_PAUSE)
  say('is-lost', `${reason} This page is out of date.`)
}

// A screen reader announces a text only when it changes.
function say(state, text) {
  const live = document.getElementById('live')
  if (live.textContent !== text) {
    live.className = state
    live.textContent = text
  }
}

function replaceBy(page, main) {
  const focused = document.activeElement
  document.title = page.title
  morph(document.getElementById('favicon'), page.getElementById('favicon'))
  morph(document.querySelector('header'), page.querySelector('header'))
  morph(document.getElementById('status'), main)
  // Moving an element takes the focus from it.
  if (focused.isConnected && focused !== document.activeElement) {
    focused.focus({ preventScroll: true })
  }
}

// Makes `element` like `model`. Children with an id are found by it, others by their place. So what
// holds the focus, a reader's input or `live` needs an id, as do its ancestors whose place varies.
function morph(element, model) {
  if (element.id === 'live' || element.isEqualNode(model)) {
    return
  }
  for (const { name } of [...element.attributes]) {
    // Which details are open is the reader's choice.
    if (!model.hasAttribute(name) && name !== 'open') {
      element.removeAttribute(name)
    }
  }
  for (const { name, value } of model.attributes) {
    if (element.getAttribute(name) !== value) {
      element.setAttribute(name, value)
    }
  }
  morphChildren(element, [...model.childNodes])
}

function morphChildren(element, models) {
  const wanted = new Set(models.map((model) => model.id).filter(Boolean))
  const present = new Map()
  for (const child of [...element.childNodes]) {
    // The notice is about the reader's own request: it stays until it is dismissed.
    if (child.id && !wanted.has(child.id) && child.id !== 'notice') {
      child.remove()
    } else if (child.id) {
      present.set(child.id, child)
    }
  }
  let next = element.firstChild
  for (const model of models) {
    while (next && next.id === 'notice') {
      next = next.nextSibling
    }
    const same = model.id ? present.get(model.id) : next
    if (same && isAlike(same, model)) {
      if (same === next) {
        next = next.nextSibling
      } else {
        element.insertBefore(same, next)
      }
      if (same.nodeType === Node.ELEMENT_NODE) {
        morph(same, model)
      } else if (same.data !== model.data) {
        same.data = model.data
      }
    } else {
      const added = element.insertBefore(document.importNode(model, true), next)
      if (added.id && element.matches('.events:not(.older)')) {
        added.classList.add('is-new')
      }
    }
  }
  while (next) {
    const rest = next
    next = next.nextSibling
    if (rest.id !== 'notice') {
      rest.remove()
    }
  }
}

function isAlike(node, model) {
  return node.nodeType === model.nodeType && node.nodeName === model.nodeName
    && (node.id ?? '') === (model.id ?? '')
}
