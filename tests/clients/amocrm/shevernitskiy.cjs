// @shevernitskiy/amo: connects by code, lists, adds, moves, links, notes, subscribes a hook.
const { Amo } = require("@shevernitskiy/amo");

const told = JSON.parse(process.argv[2]);

async function main() {
  const tokens = [];
  const auth = { ...told.auth, grant_type: "authorization_code", code: told.code };
  const options = { request_delay: 0, on_token: (token) => tokens.push(token) };
  const first = new Amo(`${told.subdomain}.amocrm.ru`, auth, options);
  await first.account.getAccount();
  const again = { ...told.auth, ...tokens[0], expires_at: 1 };
  const amo = new Amo(`${told.subdomain}.amocrm.ru`, again, options);
  const account = await amo.account.getAccount({ with: ["amojo_id", "users_groups", "task_types"] });
  let seen = 0;
  for (let page = 1; ; page++) {
    const found = await amo.lead.getLeads({ limit: 50, page, with: ["contacts"] });
    seen += found._embedded.leads.length;
    if (!found._links.next) break;
  }
  const email = [{ field_code: "EMAIL", values: [{ value: "anna@example.com" }] }];
  const contact = (await amo.contact.addContacts([{ name: "Анна", custom_fields_values: email }]))._embedded.contacts[0].id;
  await amo.contact.updateContactById(contact, { name: "Анна Петрова" });
  const lead = (await amo.lead.addLeads([{ name: "Курс", price: 4900 }]))._embedded.leads[0].id;
  await amo.link.addLinksByEntityId(lead, "leads", [{ to_entity_id: contact, to_entity_type: "contacts" }]);
  await amo.lead.updateLeads([{ id: lead, status_id: told.stage, pipeline_id: told.pipeline }]);
  const both = await amo.lead.addComplex([{ name: "Второй", _embedded: { contacts: [{ first_name: "Пётр" }] } }]);
  const stages = await amo.pipeline.getStatusesByPipelineId(told.pipeline);
  const task = (await amo.task.addTasks([{ text: "Позвонить", complete_till: 1790000000, entity_id: lead, entity_type: "leads" }]))._embedded.tasks[0].id;
  await amo.note.addNotes("leads", [{ entity_id: lead, note_type: "common", params: { text: "Оплачено" } }]);
  const company = (await amo.company.addCompanies([{ name: "Школа" }]))._embedded.companies[0].id;
  await amo.webhook.addWebhook({ destination: "http://127.0.0.1:9/hook", settings: ["status_lead"] });
  await amo.webhook.deleteWebhook({ destination: "http://127.0.0.1:9/hook" });
  return {
    account: account.id, seen, contact, lead, company, task, complex: both[0].contact_id, tokens: tokens.length,
    stages: stages._embedded.statuses.length,
  };
}

main().then(
  (done) => console.log(JSON.stringify(done)),
  (error) => console.log(JSON.stringify({ raised: String(error && error.stack), response: error && error.response })),
);
