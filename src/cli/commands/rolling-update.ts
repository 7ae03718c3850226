// cox rolling-update: replaces the pods of a ReplicationController one by one, as old kubectl did (it left with 1.18): by a
// file, by --image, and back with --rollback. An interrupted update goes on when the same command is given again.
import { type ReplicationController, replicationControllers } from '../../api/core/replication-controller.ts'
import { parseDuration } from '../../api/machinery/duration.ts'
import { createClient } from '../../client/api-client.ts'
import { systemClock } from '../../host/system.ts'
import { type Command, CliError, dataDirFlag, type Invocation, namespaceFlags, out } from '../command.ts'
import { connect } from '../connect.ts'
import { readManifests } from '../manifests.ts'
import {
  adoptedSpec,
  annotated,
  checkPartners,
  desiredReplicas,
  type NewController,
  nextController,
  numberIn,
  originalReplicas,
  specHash,
  withImage,
} from '../rolling-update/partners.ts'
import { RollingUpdate } from '../rolling-update/run.ts'

const say = (line: string): void => out(`${line}\n`)

function durationOf(call: Invocation, name: string, defaultMs: number): number {
  const text = call.flag(name)
  if (text === undefined) return defaultMs
  const ms = parseDuration(text)
  if (ms === undefined || ms < 0) throw new CliError(`--${name}: "${text}" is not a duration such as 10s or 1m30s`, 2)
  return ms
}

/** Throws CliError (exit code 2) in old kubectl's words where the flags make no sense. */
function checkFlags(call: Invocation): string {
  const [oldName] = call.positionals
  const files = call.flags('filename')
  const image = call.flag('image')
  if (oldName === undefined) throw new CliError('Must specify the controller to update', 2)
  if (call.positionals.length > 2) throw new CliError('at most two controllers: rolling-update OLD [NEW]', 2)
  if (files.length > 0 && image !== undefined) throw new CliError('--filename and --image can not both be specified', 2)
  if (files.length > 1) throw new CliError('May only specify a single filename for new controller', 2)
  if (files.length > 0 && call.positionals.length > 1)
    throw new CliError('May not specify a new name with --filename', 2)
  if (files.length === 0 && image === undefined && !call.on('rollback'))
    throw new CliError('Must specify --filename or --image for new controller', 2)
  return oldName
}

function fromFile(file: string, old: ReplicationController): NewController {
  const [found, ...more] = readManifests([file])
  if (found === undefined || more.length > 0 || found.kind !== replicationControllers.kind)
    throw new CliError(`${file} does not specify a valid ReplicationController`)
  const { name } = found.metadata
  if (name === undefined) throw new CliError(`${file}: metadata.name must be set`)
  const next = found as unknown as NewController
  const replicas = (next.spec.replicas as number | undefined) ?? numberIn(old, originalReplicas) ?? old.spec.replicas
  const whole = { ...next, metadata: { ...next.metadata, name }, spec: { ...next.spec, replicas } }
  checkPartners(old, whole, file)
  return whole
}

/** To another controller that keeps its name. */
async function toAnother(update: RollingUpdate, old: ReplicationController, next: NewController): Promise<string> {
  const { name } = (await update.open(old, next)).metadata
  await update.roll(old.metadata.name, name)
  await update.finish(old.metadata.name, name)
  return name
}

/** To another image under the old name: a controller with a name of its own exists only while it goes on. */
async function toImage(update: RollingUpdate, old: ReplicationController, call: Invocation): Promise<string> {
  const { name } = old.metadata
  const image = call.flag('image') ?? ''
  const inProgress = old.metadata.annotations?.[nextController]
  if (inProgress !== undefined && old.metadata.annotations?.[adoptedSpec] !== undefined) {
    say(`Found existing update in progress (${inProgress}), resuming.`)
    await update.rename(name, inProgress)
    return name
  }
  const labelKey = call.flag('deployment-label-key') ?? 'deployment'
  const next = withImage(old, {
    image,
    container: call.flag('container'),
    pullPolicy: call.flag('image-pull-policy'),
    labelKey,
    newName: undefined,
  })
  const begun = inProgress === undefined ? undefined : await update.find(inProgress)
  if (begun !== undefined) {
    if (!begun.spec.template?.spec.containers.some((container) => container.image === image))
      throw new CliError(
        `an update of ${name} to another image is in progress (${inProgress}); finish it, or take it back: cox rolling-update ${name} --rollback`,
      )
    say(`Found existing update in progress (${inProgress}), resuming.`)
  }
  const separated = await update.separate(old, labelKey, specHash(old.spec.template))
  const target = begun === undefined ? next : { ...next, metadata: { ...next.metadata, name: begun.metadata.name } }
  await update.change(name, (current) => annotated(current, { [nextController]: target.metadata.name }))
  const opened = await update.open(separated, target)
  await update.roll(name, opened.metadata.name)
  await update.rename(name, opened.metadata.name)
  return name
}

/** Back to the old controller, whatever the new one has by now. */
async function back(update: RollingUpdate, old: ReplicationController, call: Invocation): Promise<string> {
  const { name, annotations } = old.metadata
  const [file] = call.flags('filename')
  const newName =
    call.positionals[1] ?? (file === undefined ? annotations?.[nextController] : fromFile(file, old).metadata.name)
  if (newName === undefined)
    throw new CliError(`Could not find a new controller to roll back from: ${name} has no update in progress`)
  const next = await update.find(newName)
  if (next === undefined)
    throw new CliError(
      `Could not find a new controller to roll back from: replicationcontrollers "${newName}" not found`,
    )
  const wish = numberIn(old, originalReplicas) ?? numberIn(next, desiredReplicas) ?? old.spec.replicas
  say(`Setting "${name}" replicas to ${wish}`)
  await update.change(name, (current) =>
    annotated(current, { [desiredReplicas]: String(wish), [originalReplicas]: undefined, [adoptedSpec]: undefined }),
  )
  await update.change(newName, (current) =>
    annotated(current, { [originalReplicas]: String(wish), [desiredReplicas]: undefined }),
  )
  say(`Continuing update with existing controller ${name}.`)
  await update.roll(newName, name)
  await update.finish(newName, name)
  return name
}

export const rollingUpdate: Command = {
  name: 'rolling-update',
  summary: 'Replace the pods of a ReplicationController one by one with those of a new one.',
  usage: 'rolling-update OLD ([NEW] --image=IMAGE | -f FILE | [NEW] --rollback) [flags]',
  flags: {
    ...dataDirFlag,
    ...namespaceFlags,
    filename: {
      type: 'string',
      short: 'f',
      value: 'FILE',
      multiple: true,
      help: 'file with the new ReplicationController',
    },
    image: {
      type: 'string',
      value: 'IMAGE',
      help: 'image of the new controller; must be distinct from the existing image',
    },
    container: {
      type: 'string',
      value: 'NAME',
      help: 'container whose image changes (needed where a pod has several)',
    },
    'image-pull-policy': { type: 'string', value: 'POLICY', help: 'pull policy of the new image' },
    'deployment-label-key': {
      type: 'string',
      value: 'KEY',
      help: 'label that tells the two controllers apart (default: deployment)',
    },
    rollback: { type: 'boolean', help: 'take an interrupted update back' },
    'update-period': { type: 'string', value: 'TIME', help: 'time between two new pods (default: 1m0s)' },
    timeout: { type: 'string', value: 'TIME', help: 'give up when nothing moves for so long (default: 5m0s)' },
  },
  async run(call) {
    const oldName = checkFlags(call)
    const updatePeriodMs = durationOf(call, 'update-period', 60_000)
    const timeoutMs = durationOf(call, 'timeout', 300_000)
    const namespace = call.flag('namespace') ?? 'default'
    const transport = connect(call)
    try {
      const client = createClient(transport, { userAgent: 'cox' })
      const update = new RollingUpdate({ client, namespace, updatePeriodMs, timeoutMs, clock: systemClock, say })
      const old = await update.find(oldName)
      if (old === undefined)
        throw new CliError(`Error from server (NotFound): replicationcontrollers "${oldName}" not found`)
      const name = await choose(update, old, call)
      say(`replicationcontroller "${name}" rolling updated`)
      return 0
    } finally {
      transport.close?.()
    }
  },
}

function choose(update: RollingUpdate, old: ReplicationController, call: Invocation): Promise<string> {
  if (call.on('rollback')) return back(update, old, call)
  const [file] = call.flags('filename')
  if (file !== undefined) return toAnother(update, old, fromFile(file, old))
  const newName = call.positionals[1]
  if (newName === undefined) return toImage(update, old, call)
  const next = withImage(old, {
    image: call.flag('image') ?? '',
    container: call.flag('container'),
    pullPolicy: call.flag('image-pull-policy'),
    labelKey: call.flag('deployment-label-key') ?? 'deployment',
    newName,
  })
  return update
    .separate(old, call.flag('deployment-label-key') ?? 'deployment', specHash(old.spec.template))
    .then((separated) => toAnother(update, separated, next))
}
