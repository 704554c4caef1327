// amocrm-js: connects by code, walks the pages, and saves deals, contacts, companies and tasks as its README does.
const { Client } = require("amocrm-js");

const told = JSON.parse(process.argv[2]);

async function main() {
  const client = new Client({ domain: told.subdomain, auth: { ...told.auth, code: told.code } });
  await client.connection.connect();
  await client.token.refresh();
  const account = await client.request.get("/api/v4/account", { with: "version" });
  const pages = await client.leads.get({ limit: 50, with: ["contacts"] });
  let seen = pages.getData().length;
  while (pages.hasNext()) {
    await pages.next();
    seen += pages.getData().length;
  }
  const contact = new client.Contact({});
  contact.name = "Анна";
  contact.custom_fields_values = [{ field_code: "EMAIL", values: [{ value: "anna@example.com" }] }];
  await contact.save();
  contact.name = "Анна Петрова";
  await contact.save();
  const lead = new client.Lead({});
  lead.name = "Курс";
  lead.price = 4900;
  lead._embedded = { contacts: [{ id: contact.id }] };
  await lead.save();
  await client.request.patch("/api/v4/leads", [
    { id: lead.id, status_id: told.stage, pipeline_id: told.pipeline },
  ]);
  const company = new client.Company({});
  company.name = "Школа";
  await company.save();
  const task = new client.Task({});
  task.text = "Позвонить";
  task.complete_till = 1790000000;
  task.entity_id = lead.id;
  task.entity_type = "leads";
  await task.save();
  const known = await client.leads.getById(told.known);
  known.name = "Целиком";
  let echoed = "saved";
  try {
    await known.save();
  } catch (error) {
    echoed = "refused";
  }
  return {
    account: account.data.id, seen, contact: contact.id, lead: lead.id, company: company.id, task: task.id, echoed,
  };
}

main().then(
  (done) => console.log(JSON.stringify(done)),
  (error) => console.log(JSON.stringify({ raised: String(error && error.stack) })),
);
