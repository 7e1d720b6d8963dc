// Ends a process of the cluster that runs on PORT: `node kill.js [number] [drain]`. Without a number it takes one that
// serves somebody; without `drain` it is kill -9.

const address = `http://localhost:${process.env.PORT ?? 3000}/cluster`;
const words = process.argv.slice(2);
const action = words.includes('drain') ? 'drain' : 'kill';

try {
  const table = await (await fetch(`${address}/table`)).json();
  const busiest = table
    .filter(({ state }) => state === 'up')
    .toSorted((a, b) => b.sessions.length - a.sessions.length)[0];
  const number = words.find((word) => /^\d+$/.test(word)) ?? busiest?.number;
  const headers = { 'Content-Type': 'application/json' };
  const { ok } = await fetch(`${address}/processes/${number}/${action}`, { method: 'POST', headers });
  if (!ok) throw new Error(`there is no process ${number} to ${action}`);
  const served = table.find((row) => row.number === Number(number)).sessions.map(({ userId }) => userId);
  console.log(`process ${number}: ${action}. It served ${served.join(' and ') || 'nobody'}.`);
} catch (error) {
  console.error(
    error.cause?.code === 'ECONNREFUSED'
      ? `no cluster at ${address}: npm run cluster, or PORT=… where it has another`
      : error.message,
  );
  process.exitCode = 1;
}
