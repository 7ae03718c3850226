import { expect, it } from 'vitest'
import { rewriteHtml } from './rewrite-html.ts'

const encoder = new TextEncoder()
async function* inPieces(page: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < page.length; at += size) yield page.subarray(at, at + size)
}
async function rewritten(page: string, size: number): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of rewriteHtml(inPieces(encoder.encode(page), size), '/p'))
    text += decoder.decode(chunk, { stream: true })
  return text
}

it.each([1, 3, 7, 1000])('mends links in pieces of %i bytes', async (size) => {
  const page = `<html><a class="é" href="/x" cite='/y'>ü</a> 1 < 2 <img src=/z><a href="//h/x"><a href="/p/x"><b href="/x">`
  expect(await rewritten(page, size)).toBe(
    `<html><a class="é" href="/p/x" cite='/p/y'>ü</a> 1 < 2 <img src=/p/z><a href="//h/x"><a href="/p/x"><b href="/x">`,
  )
})

it('holds no more back than a tag', async () => {
  const piece = encoder.encode('<a href="/x">text</a>'.repeat(3000))
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) yield piece
  }
  let size = 0
  for await (const chunk of rewriteHtml(endless(), '/p')) {
    size += chunk.length
    if (size > 32 << 20) break
  }
  expect(size).toBeGreaterThan(32 << 20)
  async function* unended(): AsyncGenerator<Uint8Array> {
    yield encoder.encode('<')
    for (;;) yield encoder.encode('x'.repeat(1000))
  }
  for await (const chunk of rewriteHtml(unended(), '/p')) {
    expect(chunk.length).toBeLessThan(70_000)
    break
  }
})
