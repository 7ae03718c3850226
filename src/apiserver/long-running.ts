// Requests that go on for as long as the client likes: not measured by their duration, never queued.
export const longSubresources: ReadonlySet<string> = new Set(['attach', 'exec', 'log', 'portforward', 'proxy'])
