// Node's part of a hosts file: every TLS connection goes to the sandbox. The clients themselves stay as they are.
const tls = require("node:tls");
const connect = tls.connect;
tls.connect = (options, ...rest) =>
  connect({ ...options, host: "127.0.0.1", port: Number(process.env.SANDBOX_PORT), path: undefined }, ...rest);
