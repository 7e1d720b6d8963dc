// Ends the processes of a test process that is gone, however it went: a shell that waits for the end of its input.

import { type ChildProcess, spawn } from 'node:child_process';

const SCRIPT = `
pids=' '
while read -r verb pid; do
  case $verb in
    +) pids="$pids$pid " ;;
    -) case $pids in *" $pid "*) pids="\${pids%% $pid *} \${pids#* $pid }" ;; esac ;;
  esac
done
for pid in $pids; do kill -KILL "$pid"; done
`;

let shell: ChildProcess | null = null;

function tell(verb: '+' | '-', pid: number): void {
  if (!shell) {
    // A group of its own, so that Ctrl-C in the terminal does not end it before its time.
    shell = spawn('sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    shell.unref();
    (shell.stdin as unknown as { unref(): void }).unref();
  }
  shell.stdin!.write(`${verb} ${pid}\n`);
}

/** Sees to it that this process does not outlive us. */
export function guard(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  tell('+', pid);
  child.once('exit', () => tell('-', pid));
}
