"""amocrm-sdk: connects by code, walks the pages, and writes deals, contacts, companies and tasks."""

import json
import sys

from amocrm.auth import InMemoryTokenStorage, OAuthConfig
from amocrm.manager import exchange_code, get_client
from amocrm.models.companies import Company
from amocrm.models.contacts import Contact
from amocrm.models.leads import Lead
from amocrm.models.tasks import Task

told = json.loads(sys.argv[1])
oauth = OAuthConfig(**told["auth"], storage=InMemoryTokenStorage())
exchange_code(told["subdomain"], told["code"], oauth)
client = get_client(told["subdomain"], oauth)
client._refresh_tokens()
seen = len(list(client.leads.list()))
(contact,) = client.contacts.create([Contact(name="Анна")])
client.contacts.update_one(Contact(id=contact.id, name="Анна Петрова"))
(lead,) = client.leads.create([Lead(name="Курс", price=4900, contacts=[Contact(id=contact.id)])])
client.leads.update([Lead(id=lead.id, status_id=told["stage"], pipeline_id=told["pipeline"])])
(both,) = client.leads.create_complex([Lead(name="Второй", contacts=[Contact(first_name="Пётр")])])
(company,) = client.companies.create([Company(name="Школа")])
(task,) = client.tasks.create(
    [Task(text="Позвонить", complete_till=1790000000, entity_id=lead.id, entity_type="leads")]
)
read = client.leads.get(lead.id)
done = {"seen": seen, "contact": contact.id, "lead": lead.id, "company": company.id, "task": task.id}
print(json.dumps({**done, "complex": both.contact_id, "read": [one.id for one in read.contacts or []]}))
