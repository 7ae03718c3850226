import { describe, expect, it } from 'vitest'
import { settle } from '../client/testing/manual-clock.ts'
import type { LogQuery } from '../ports/node-api.ts'
import { lastLines, readLogs } from './logs.ts'
import { memoryDisk } from './testing/memory-disk.ts'

const path = '/logs/c/0.log'
const line = (second: number, text: string, stream = 'stdout', tag = 'F') =>
  `2024-01-01T00:00:${String(second).padStart(2, '0')}.5Z ${stream} ${tag} ${text}\n`
const content = [
  line(1, 'one'),
  line(2, 'two', 'stderr'),
  line(3, 'thr', 'stdout', 'P'),
  line(3, 'ee'),
  line(4, 'four'),
].join('')
const nowMs = Date.parse('2024-01-01T00:00:05Z')

async function read(query: LogQuery, text = content): Promise<string> {
  const disk = memoryDisk()
  disk.put(path, text)
  const source = { path, running: () => false, onChange: () => () => {} }
  let out = ''
  for await (const chunk of readLogs(disk, source, query, nowMs, new AbortController().signal))
    out += new TextDecoder().decode(chunk)
  return out
}

describe('readLogs', () => {
  it.each<[LogQuery, string]>([
    [{}, 'one\ntwo\nthree\nfour\n'],
    [{ tailLines: 2 }, 'ee\nfour\n'],
    [{ tailLines: 0 }, ''],
    [{ tailLines: 100 }, 'one\ntwo\nthree\nfour\n'],
    [{ limitBytes: 6 }, 'one\ntw'],
    [{ sinceSeconds: 2 }, 'three\nfour\n'],
    [{ sinceTime: '2024-01-01T01:00:04.4+01:00' }, 'four\n'],
    [{ sinceTime: '2024-01-01T00:00:04.5Z' }, 'four\n'],
    [{ timestamps: true, tailLines: 1 }, '2024-01-01T00:00:04.5Z four\n'],
    [{ timestamps: true, sinceSeconds: 2 }, '2024-01-01T00:00:03.5Z three\n2024-01-01T00:00:04.5Z four\n'],
    [{ stream: 'Stderr' }, 'two\n'],
    [{ stream: 'Stdout' }, 'one\nthree\nfour\n'],
  ])('%j', async (query, expected) => expect(await read(query)).toBe(expected))

  it('reads across its blocks', async () => {
    const many = Array.from({ length: 5000 }, (_, i) => line(i % 60, `line ${i} ${'x'.repeat(i % 50)}`)).join('')
    const out = await read({}, many)
    expect(out.split('\n')).toHaveLength(5001)
    expect(await read({ tailLines: 3000 }, many)).toBe(out.split('\n').slice(-3001).join('\n'))
  })
  it('follows through a rotation until the container ends', async () => {
    const disk = memoryDisk()
    disk.put(path, line(1, 'one'))
    let running = true
    let changed = () => {}
    const source = {
      path,
      running: () => running,
      onChange: (call: () => void) => {
        changed = call
        return () => {}
      },
    }
    let out = ''
    const done = (async () => {
      for await (const chunk of readLogs(disk, source, { follow: true }, nowMs, new AbortController().signal))
        out += new TextDecoder().decode(chunk)
    })()
    await settle()
    expect(out).toBe('one\n')
    disk.append(path, line(2, 'two'))
    await settle()
    expect(out).toBe('one\ntwo\n')
    disk.append(path, line(3, 'three'))
    await disk.rename(path, `${path}.20240101-000000.000`)
    disk.put(path, line(4, 'four'))
    await settle()
    expect(out).toBe('one\ntwo\nthree\nfour\n')
    // Two rotations between two looks.
    disk.append(path, line(5, 'five'))
    await disk.rename(path, `${path}.20240101-000001.000`)
    disk.put(path, line(6, 'six'))
    await disk.rename(path, `${path}.20240101-000002.000`)
    disk.put(path, line(7, 'seven'))
    running = false
    changed()
    await done
    expect(out).toBe('one\ntwo\nthree\nfour\nfive\nsix\nseven\n')
  })
  it('ends when nobody listens any more', async () => {
    const disk = memoryDisk()
    disk.put(path, '')
    const stop = new AbortController()
    const reading = readLogs(
      disk,
      { path, running: () => true, onChange: () => () => {} },
      { follow: true },
      nowMs,
      stop.signal,
    )
    const next = reading.next()
    await settle()
    stop.abort()
    expect(await next).toEqual({ done: true, value: undefined })
  })
})

describe('lastLines', () => {
  it('gives the end, cut to its bytes', async () => {
    const disk = memoryDisk()
    disk.put(path, content)
    expect(await lastLines(disk, path, 1, 100)).toBe('four\n')
    expect(await lastLines(disk, path, 80, 8)).toBe('ee\nfour\n')
    expect(await lastLines(disk, '/none', 80, 8)).toBe('')
  })
})
