// The demo's servers as processes of their own.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export interface Demo {
  readonly url: string;
  /** Resolves to the exit code. */
  stop(): Promise<number | null>;
}

const running = new Set<ChildProcess>();

/** Ends what a test that failed has left running. */
export function killDemos(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Starts a server of `examples/demo`, on a free port unless `env` names one; resolves when it printed its address. */
export async function startDemo(file: string, env: Record<string, string> = {}): Promise<Demo> {
  if (!existsSync(fromHere('../../dist/src/index.js'))) throw new Error('the demo runs on dist: `npm run build` first');
  const child = spawn(process.execPath, [fromHere(`../../examples/demo/${file}`)], {
    env: { ...process.env, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const exited = once(child, 'exit').then(([code]: unknown[]) => {
    running.delete(child);
    return code as number | null;
  });
  const url = await new Promise<string>((resolve, reject) => {
    let output = '';
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const address = /http:\/\/localhost:\d+/.exec(output);
      if (address) resolve(address[0]);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    void exited.then((code) => reject(new Error(`${file} ended with ${code}: ${output}`)));
  });
  return {
    url,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}

/** Writes messages by the demo's API, `Number 1` and so on; the last one comes last. */
export async function writeMany(url: string, personId: string, title: string, count: number): Promise<void> {
  const call = async <T>(path: string, headers: Record<string, string> = {}, body?: object): Promise<T> => {
    const init = body && { method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(`${url}${path}`, {
      headers: { 'Content-Type': 'application/json', ...headers },
      ...init,
    });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return (await response.json()) as T;
  };
  const { token } = await call<{ token: string }>('/api/login', {}, { person_id: personId });
  const headers = { Authorization: `Bearer ${token}` };
  const { boxes } = await call<{ boxes: { id: string; title: string }[] }>('/api/boxes', headers);
  const box = boxes.find((one) => one.title === title);
  const write = (number: number): Promise<unknown> => {
    const content = { encrypted: Buffer.from(`Number ${number}`).toString('base64') };
    return call(`/api/boxes/${box?.id}/messages`, headers, { content });
  };
  await Promise.all(Array.from({ length: count - 1 }, (_, index) => write(index + 1)));
  await write(count);
}
