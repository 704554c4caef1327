// Sends what the arguments say through the SDK that lies in this folder's node_modules, and prints what came of it.
// send.cjs <base address> <event key> <JSON: an event or an array>
const { Inngest } = require("inngest");

const [base, eventKey, events] = process.argv.slice(2);
// Version 1 and 2 call the address inngestBaseUrl, and want a name; later ones baseUrl, and an id.
const client = new Inngest({
  id: "platform", name: "platform", eventKey, baseUrl: base, inngestBaseUrl: base, isDev: false,
});

client.send(JSON.parse(events)).then(
  (sent) => console.log(JSON.stringify({ sent: sent ?? null })),
  (error) => console.log(JSON.stringify({ raised: String(error.message ?? error) })),
);
