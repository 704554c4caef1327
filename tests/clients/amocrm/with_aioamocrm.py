"""aioamocrm: connects by code, walks the pages, and writes deals, contacts, companies, tasks, notes and links."""

import asyncio
import json
import sys

from aioamocrm import AmoCRMClient, Contact, Lead, OAuth2, Task

told = json.loads(sys.argv[1])


async def work() -> dict[str, object]:
    oauth = OAuth2(**told["auth"], refresh_margin=told["lifetime"] * 2)
    async with AmoCRMClient(subdomain=told["subdomain"], auth=oauth, rate_limit=None) as amo:
        await amo.exchange_code(told["code"])
        account = await amo.account.get(with_=["users_groups", "task_types"])
        seen = [lead.id async for lead in amo.leads.iterate(limit=50, with_=["contacts"])]
        (contact,) = await amo.contacts.create([Contact(name="Анна")])
        await amo.contacts.update([Contact(id=contact.id, name="Анна Петрова")])
        (lead,) = await amo.leads.create([Lead(name="Курс", price=4900)])
        await amo.leads.link(lead.id, "contacts", contact.id)
        await amo.leads.update([Lead(id=lead.id, status_id=told["stage"], pipeline_id=told["pipeline"])])
        person = {"first_name": "Пётр"}
        (both,) = await amo.leads.create_complex([{"name": "Второй", "_embedded": {"contacts": [person]}}])
        (company,) = await amo.companies.create([{"name": "Школа"}])
        (task,) = await amo.tasks.create(
            [Task(text="Позвонить", complete_till=1_790_000_000, entity_id=lead.id, entity_type="leads")]
        )
        await amo.tasks.get(task.id)
        links = await amo.leads.links(lead.id)
        stages = await amo.pipelines.statuses(told["pipeline"])
        return {
            "account": account.id,
            "seen": len(seen),
            "contact": contact.id,
            "lead": lead.id,
            "company": company.id,
            "task": task.id,
            "complex": both.contact_id,
            "links": [link.to_entity_id for link in links],
            "stages": len(stages),
        }


print(json.dumps(asyncio.run(work())))
