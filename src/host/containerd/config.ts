// The configuration of our private containerd: everything it keeps is below the data directory, plugins that we do not
// use are off (they cost start time), and what the machine forbids is not asked for.
import { join } from 'node:path'
import type { OciRuntimes } from './oci-runtimes.ts'

export interface ContainerdSettings {
  readonly root: string
  readonly state: string
  readonly socket: string
  readonly snapshotter: 'overlayfs' | 'native'
  readonly sandboxImage: string
  readonly ociRuntimes: Pick<OciRuntimes, 'handlers' | 'standard'>
  readonly cniBinDir: string
  readonly cniConfDir: string
  readonly registryDir: string
  /** Without CAP_SYS_RESOURCE a lower oom_score_adj cannot be set, and every sandbox would fail. */
  readonly restrictOomScore: boolean
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
}

const text = (value: string) => JSON.stringify(value)
const cri = (rest: string) => `[plugins."io.containerd.grpc.v1.cri"${rest}]`

/** What it notes of its containers goes with our state, not into a folder that is everybody's. */
const runtime = (name: string, root: string) => `${cri(`.containerd.runtimes.${name}`)}
  runtime_type = "io.containerd.runc.v2"
${cri(`.containerd.runtimes.${name}.options`)}
  BinaryName = ${text(name)}
  Root = ${text(root)}
  SystemdCgroup = false
`

/** TOML, version 2, which containerd 1.3 to 2.x read. */
export function containerdConfig(settings: ContainerdSettings): string {
  return `version = 2
root = ${text(settings.root)}
state = ${text(settings.state)}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp", "io.containerd.nri.v1.nri",
]

[grpc]
  address = ${text(settings.socket)}
  max_recv_message_size = 16777216
  max_send_message_size = 67108864
[debug]
  level = ${text(settings.logLevel)}
[metrics]
  address = ""

${cri('')}
  sandbox_image = ${text(settings.sandboxImage)}
  restrict_oom_score_adj = ${settings.restrictOomScore}
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  stream_idle_timeout = "4h0m0s"
  max_container_log_line_size = 16384
${cri('.containerd')}
  snapshotter = ${text(settings.snapshotter)}
  default_runtime_name = ${text(settings.ociRuntimes.standard)}
${settings.ociRuntimes.handlers.map((name) => runtime(name, join(settings.state, 'oci'))).join('')}${cri('.cni')}
  bin_dir = ${text(settings.cniBinDir)}
  conf_dir = ${text(settings.cniConfDir)}
  max_conf_num = 1
${cri('.registry')}
  config_path = ${text(settings.registryDir)}
`
}
