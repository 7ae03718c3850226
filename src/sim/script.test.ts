import { expect, test } from 'vitest'
import { commandScript, type ContainerScript, type ContainerStart } from './script.ts'

const start = (command: readonly string[], args: readonly string[] = []): ContainerStart => ({
  node: 'n',
  namespace: 'd',
  pod: 'p',
  container: 'c',
  image: 'busybox',
  restarts: 0,
  command,
  args,
  env: { NAME: 'world' },
  config: undefined as never,
  sandbox: undefined as never,
})

const rows: readonly (readonly [readonly string[], ContainerScript])[] = [
  [[], {}],
  [['nginx', '-g', 'daemon off;'], {}],
  [['sleep', '5'], { exit: { afterMs: 5000, code: 0 } }],
  [['sleep', '1h'], { exit: { afterMs: 3_600_000, code: 0 } }],
  [['sleep', 'infinity'], {}],
  [['true'], { exit: { afterMs: 0, code: 0 } }],
  [['/bin/false'], { exit: { afterMs: 0, code: 1 } }],
  [['sh', '-c', 'exit 3'], { exit: { afterMs: 0, code: 3 } }],
  [['sh', '-c', 'sleep 2; exit 1'], { exit: { afterMs: 2000, code: 1 } }],
  [['/bin/sh', '-ec', 'false && exit 5'], { exit: { afterMs: 0, code: 1 } }],
  [['sh', '-c', 'false || exit 5'], { exit: { afterMs: 0, code: 5 } }],
  [['sh', '-c', 'true\nsleep 1\n'], { exit: { afterMs: 1000, code: 0 } }],
  [['sh', '-c', 'nginx'], {}],
  [
    ['sh', '-c', 'echo "hello $NAME" && sleep 1 && echo bye >&2'],
    {
      logs: [
        { atMs: 0, text: 'hello world\n', stream: 'stdout' },
        { atMs: 1000, text: 'bye\n', stream: 'stderr' },
      ],
      exit: { afterMs: 1000, code: 0 },
    },
  ],
  [
    ['sh', '-c', 'echo why > /dev/termination-log; exit 1'],
    { terminationMessage: 'why\n', exit: { afterMs: 0, code: 1 } },
  ],
  [
    ['sh', '-c', 'echo begin; while true; do date; sleep 1; done'],
    { logs: [{ atMs: 0, text: 'begin\n', stream: 'stdout' }] },
  ],
]

test.for(rows)('%j', ([command, expected]) => {
  expect(commandScript(start(command))).toEqual(expected)
})

test('args follow the command', () => {
  expect(commandScript(start(['sh', '-c'], ['exit 9']))).toEqual({ exit: { afterMs: 0, code: 9 } })
})
