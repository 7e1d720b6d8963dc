// Starts a server on PORT, prints its address, and ends in order when asked to: sessions first, then the server.

export function run(server, usercast) {
  const port = Number(process.env.PORT ?? 3000);
  server.on('error', (error) => {
    console.error(error.code === 'EADDRINUSE' ? `port ${port} is taken: try PORT=0 npm start` : error.message);
    process.exitCode = 1;
  });
  server.listen(port, () => console.log(`usercast demo: http://localhost:${server.address().port}`));

  const stop = async () => {
    await usercast.drain({ withinMs: 2_000 });
    server.close();
    // Browsers keep spare connections that never ask for anything: closing would wait for them.
    setTimeout(() => server.closeAllConnections(), 500).unref();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}
