// The answer for people: what is, what led to it, indented once for every step back, and what would help.
import type { Cause, Why } from './answer.ts'

function linesOf({ about, reason, message, because }: Cause, depth: number, subject: string): string[] {
  const who = about === subject ? '' : `${about} `
  const line = `${'  '.repeat(depth)}${who}${reason}: ${message}`
  return [line, ...because.flatMap((step) => linesOf(step, depth + 1, about))]
}

/** Ends with a line break. */
export function whyText({ object, state, healthy, causes, suggestions }: Why): string {
  const subject = `${object.kind.toLowerCase()}/${object.name}`
  const lines = [`${subject} is ${state}${healthy ? ': nothing is wrong' : ''}`]
  for (const cause of causes) lines.push(...linesOf(cause, 1, subject))
  const tried = suggestions.filter((one) => one.tried)
  const told = suggestions.filter((one) => !one.tried)
  const list = (title: string, remedies: Why['suggestions']) => {
    if (remedies.length === 0) return
    lines.push('', title)
    for (const { steps, node } of remedies) {
      const [first = '', ...rest] = steps
      lines.push(`  - ${first}`, ...rest.map((step) => `    and ${step}`))
      if (node !== undefined) lines.push(`    then it fits on ${node}`)
    }
  }
  list("What would help (each was tried on a copy of the scheduler's picture):", tried)
  list('What would help:', told)
  return `${lines.join('\n')}\n`
}
