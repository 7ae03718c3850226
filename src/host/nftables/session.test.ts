import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isRoot } from '../testing/needs.ts'
import { nftSession } from './session.ts'

describe.runIf(isRoot)('an nft that waits for work', () => {
  const netns = `coxnfs${process.pid}`
  const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' })
  const within = ['ip', 'netns', 'exec', netns]
  const session = nftSession(within)
  const elements = () => ip('netns', 'exec', netns, 'nft', 'list', 'set', 'inet', 't', 's').match(/\d+\.\d+\.\d+\.\d+/g)
  const pids = () => ip('netns', 'pids', netns).split('\n').filter(Boolean)
  beforeAll(() => void ip('netns', 'add', netns))
  afterAll(() => {
    session.end()
    ip('netns', 'delete', netns)
  })

  it('applies the commands of a call in one transaction, by the same process', async () => {
    expect(await session.run(['add table inet t', 'add set inet t s { type ipv4_addr; }'])).toBe('done')
    const [first] = pids()
    await session.run(['add element inet t s { 10.0.0.1, 10.0.0.2 }', 'delete element inet t s { 10.0.0.1 }'])
    expect([elements(), pids()]).toEqual([['10.0.0.2'], [first]])
  })
  it('a refusal rejects, changes nothing and says which; the next call works', async () => {
    const refused = session.run(['add element inet t s { 10.0.0.3 }', 'add element inet t none { 10.0.0.4 }'])
    await expect(refused).rejects.toThrow(/^nft: .*No such file or directory/)
    await expect(session.run(['nonsense'])).rejects.toThrow(/^nft: syntax error/)
    expect(elements()).toEqual(['10.0.0.2'])
    await session.run(['add element inet t s { 10.0.0.3 }'])
    expect(elements()).toEqual(['10.0.0.2', '10.0.0.3'])
  })
  it('a long change is taken', async () => {
    const many = Array.from({ length: 2000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`)
    await session.run([`add element inet t s { ${many.join(', ')} }`])
    expect(elements()).toHaveLength(2002)
  })
  it('nft that was killed is started again', async () => {
    for (const pid of pids()) process.kill(Number(pid), 'SIGKILL')
    const outcome = await session.run(['flush set inet t s']).catch((error: unknown) => String(error))
    // Killed before or after the line was written: nobody knows, and the caller begins anew.
    if (outcome !== 'done') expect(outcome).toMatch(/nft: ended/)
    expect(await session.run(['add element inet t s { 10.0.0.9 }'])).toBe('done')
    expect(elements()).toContain('10.0.0.9')
  })
  it('an nft without an interactive mode is not used', async () => {
    const unable = nftSession(['false'])
    expect([await unable.run(['add table inet x']), await unable.run(['add table inet x'])]).toEqual([
      'unable',
      'unable',
    ])
  })
})
