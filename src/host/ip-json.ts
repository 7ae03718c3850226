// What `ip -j` answers: a list in JSON, or nothing at all where the list is empty.
export const parseIpList = <T>(answer: string): readonly T[] =>
  answer.trim() === '' ? [] : (JSON.parse(answer) as readonly T[])
