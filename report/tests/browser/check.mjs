// What a browser finds wrong with pages of the report: node check.mjs PAGE.html...
// Prints one line per fault, and the number of pages when there is none. CHROMIUM names the browser, NPM_FOLDER the
// folder in which npm installed what package.json names; without it, that was here.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { relative, resolve } from 'node:path'

const require = createRequire(process.env.NPM_FOLDER ? `${process.env.NPM_FOLDER}/` : import.meta.url)
const { chromium } = require('playwright-core')
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync']
// Only colours depend on the scheme, and they do not depend on the width.
const LOOKS = [
  { colorScheme: 'light', width: 360 },
  { colorScheme: 'light', width: 768 },
  { colorScheme: 'light', width: 1440 },
  { colorScheme: 'dark', width: 1440, runOnly: ['color-contrast', 'link-in-text-block'] },
]
// The printable part of A4 with margins of 1 cm, at 96 pixels per inch.
const PAPER = { width: 718, height: 1046 }

const faults = []
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: QUIET })
try {
  await Promise.all(process.argv.slice(2).map(async file => {
    for (const look of LOOKS) await onScreen(file, look)
    await byKeyboard(file)
    await onPaper(file)
  }))
} finally {
  await browser.close()
}
faults.sort().forEach(fault => console.log(fault))
if (faults.length) process.exitCode = 1
else console.log(`${process.argv.length - 2} pages without a fault`)

function fault(file, where, what) {
  faults.push(`${relative(process.cwd(), file)}, ${where}: ${what}`)
}

async function open(file, options) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  return { context, page, go: () => page.goto(`file://${resolve(file)}`) }
}

/// As it arrives, with its own Content-Security-Policy; then with every fold open, before axe, which that policy
/// would keep out.
async function onScreen(file, { colorScheme, width, runOnly }) {
  const where = `${colorScheme}, ${width} px`
  const options = { colorScheme, viewport: { width, height: 900 } }
  const plain = await open(file, options)
  let requests = 0
  plain.page.on('request', request => {
    if (requests++ > 0) fault(file, where, `asks for ${request.url()}`)
  })
  plain.page.on('console', message => fault(file, where, `console: ${message.text()}`))
  plain.page.on('pageerror', error => fault(file, where, `error: ${error.message}`))
  await plain.go()
  await sideways(plain.page, file, where)
  await unfold(plain.page)
  await sideways(plain.page, file, `${where}, unfolded`)
  for (const cell of await plain.page.evaluate(overfull)) fault(file, where, `text runs out of ${cell}`)
  await plain.context.close()

  const audited = await open(file, { ...options, bypassCSP: true })
  await audited.go()
  await unfold(audited.page)
  await audited.page.evaluate(AXE)
  const { violations } = await audited.page.evaluate(options => axe.run(document, options),
    { resultTypes: ['violations'], ...(runOnly && { runOnly }) })
  for (const { id, help, nodes } of violations)
    for (const node of nodes.slice(0, 5)) fault(file, where, `axe ${id}: ${help}: ${node.html.slice(0, 160)}`)
  await audited.context.close()
}

async function sideways(page, file, where) {
  const [needs, has] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement
    return [scrollWidth, clientWidth]
  })
  if (needs > has) fault(file, where, `the page is ${needs} px wide and scrolls sideways`)
}

function unfold(page) {
  return page.evaluate(() => document.querySelectorAll('details').forEach(fold => { fold.open = true }))
}

/// Cells whose text is wider than they are.
function overfull() {
  const cells = [...document.querySelectorAll('td, th, dt, dd')].filter(cell => cell.scrollWidth > cell.clientWidth + 1)
  const visible = cells.filter(cell => cell.clientWidth > 1)
  return visible.slice(0, 5).map(cell => `<${cell.localName}> ${cell.textContent.trim().slice(0, 60)}`)
}

/// Tab and Enter open every fold.
async function byKeyboard(file) {
  const { context, page, go } = await open(file, { viewport: { width: 1440, height: 900 } })
  await go()
  const closed = () => page.evaluate(() => document.querySelectorAll('details:not([open])').length)
  for (let left = 5000; left > 0 && (await closed()) > 0; left--) {
    await page.keyboard.press('Tab')
    const at = await page.evaluate(() => {
      const focused = document.activeElement
      return { end: focused === document.body, fold: focused.localName === 'summary' && !focused.parentElement.open }
    })
    if (at.fold) await page.keyboard.press('Enter')
    if (at.end) break
  }
  const left = await page.evaluate(() =>
    [...document.querySelectorAll('details:not([open]) > summary')].map(summary => summary.textContent.trim()))
  for (const name of left.slice(0, 5)) fault(file, 'keyboard', `cannot open '${name.slice(0, 60)}'`)
  await context.close()
}

/// Nothing of a table is beyond the paper or in a box that paper cannot scroll.
async function onPaper(file) {
  const { context, page, go } = await open(file, { viewport: PAPER })
  await page.emulateMedia({ media: 'print' })
  await go()
  await unfold(page)
  const cut = await page.evaluate(() => {
    const beyond = element => element.getBoundingClientRect().right > innerWidth + 1
    const boxed = element => getComputedStyle(element).overflow !== 'visible'
      && (element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1)
    const name = element => element.caption?.textContent ?? element.getAttribute('aria-label') ?? element.className
    const tables = [...document.querySelectorAll('table, svg')].filter(beyond)
    return [...tables, ...[...document.querySelectorAll('.scroll, .tall')].filter(boxed)].map(name)
  })
  for (const name of cut.slice(0, 5)) fault(file, 'print', `cuts '${String(name).trim().slice(0, 60)}'`)
  for (const cell of await page.evaluate(overfull)) fault(file, 'print', `text runs out of ${cell}`)
  const pdf = await page.pdf({ format: 'A4', margin: { top: '1cm', right: '1cm', bottom: '1cm', left: '1cm' } })
  if (!pdf.subarray(0, 5).equals(Buffer.from('%PDF-'))) fault(file, 'print', 'gives no PDF')
  await context.close()
}
