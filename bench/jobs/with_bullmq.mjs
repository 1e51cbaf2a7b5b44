// BullMQ on Redis: `node with_bullmq.mjs work <processes>` works, `node with_bullmq.mjs <what> <count>` sends as sender.py does.
// Finished jobs are removed. Fifty jobs at once in a process: more than its default of one, and faster.
import { fork } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const { Queue, Worker } = createRequire(join(process.env.BENCH_MODULES, 'x'))('bullmq');
const at = new URL(process.env.BENCH_URL);
const connection = { host: at.hostname, port: Number(at.port), maxRetriesPerRequest: null };
const PAUSE_MS = 20;

const files = {};

function tell(name, text) {
  files[name] ??= openSync(join(process.env.BENCH_FOLDER, name), 'a');
  writeSync(files[name], text);
}

async function perform(job) {
  if (job.name === 'noop') tell('ran', '.');
  else tell('started', `${process.hrtime.bigint() - BigInt(job.data.sent_ns)}\n`);
}

const options = { removeOnComplete: true, removeOnFail: true };
const queue = () => new Queue('bench', { connection });
const stamp = (to) => to.add('stamp', { sent_ns: String(process.hrtime.bigint()) }, options);

async function send(what, count) {
  const to = queue();
  await stamp(to);
  const began = performance.now();
  if (what === 'one') {
    for (let n = 0; n < count; n += 1) await to.add('noop', {}, options);
  } else if (what === 'many') {
    for (let start = 0; start < count; start += 1000) {
      const jobs = Array.from({ length: Math.min(1000, count - start) }, () => ({ name: 'noop', data: {}, opts: options }));
      await to.addBulk(jobs);
    }
  } else {
    for (let n = 0; n < count; n += 1) {
      await pause(PAUSE_MS);
      await stamp(to);
    }
  }
  console.log((performance.now() - began) / 1000);
  await to.close();
}

const [what, count] = process.argv.slice(2);
if (what === 'work') {
  for (let n = 1; n < Number(count); n += 1) fork(fileURLToPath(import.meta.url), ['work', '1']);
  new Worker('bench', perform, { connection, concurrency: 50 });
} else {
  await send(what, Number(count));
}
