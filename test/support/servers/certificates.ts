// A certificate authority of a test's own, which nobody trusts who is not told to, and a certificate of it for servers on this
// machine.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program } from '../needs.mjs';

const execute = promisify(execFile);
/** Of what is made for one test. */
const DAYS = '2';

/** Files in PEM. The certificate is for `localhost` and 127.0.0.1. */
export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function makeCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), 'usercast-certificates-'));
  const { path, env } = program('openssl');
  const openssl = (...args: readonly string[]) => execute(path, args, { cwd: dir, env });
  const key = ['-newkey', 'rsa:2048', '-nodes'] as const;
  await writeFile(join(dir, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  await openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', DAYS);
  await openssl('req', ...key, '-keyout', 'key.pem', '-out', 'request.pem', '-subj', '/CN=server');
  const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'] as const;
  const signing = ['x509', '-req', '-in', 'request.pem', ...signer, '-extfile', 'names', '-days', DAYS] as const;
  await openssl(...signing, '-out', 'cert.pem');
  return {
    ca: join(dir, 'ca.pem'),
    cert: join(dir, 'cert.pem'),
    key: join(dir, 'key.pem'),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}
