"""amocrm-api: connects by code, walks the pages, and saves deals, contacts, companies, notes and tasks as models."""

import json
import sys
from datetime import datetime

from amocrm.v2 import Company, Contact, Lead, Pipeline, Task, tokens
from amocrm.v2.account import AccountInteraction

told = json.loads(sys.argv[1])
manager = tokens.default_token_manager
auth = told["auth"]
manager(auth["client_id"], auth["client_secret"], told["subdomain"], auth["redirect_uri"], tokens.MemoryTokensStorage())
manager.init(code=told["code"])
refreshed = manager._get_new_tokens()
manager._storage.save_tokens(*refreshed)
seen = sum(1 for _ in Lead.objects.all())
contact = Contact(name="Анна").save()
contact.name = "Анна Петрова"
contact.save()
lead = Lead(name="Курс", price=4900).save()
lead = Lead.objects.get(lead.id)
lead.status = next(stage for stage in Pipeline.objects.get(told["pipeline"]).statuses if stage.id == told["stage"])
lead.save()
note = lead.notes(text="Оплачено")
note.save()
task = Task(text="Позвонить", complete_till=datetime(2026, 9, 21))
lead.tasks.add(task)
company = Company(name="Школа").save()
print(
    json.dumps(
        {
            "account": AccountInteraction().get()["id"],
            "seen": seen,
            "contact": contact.id,
            "lead": lead.id,
            "company": company.id,
            "task": task.id,
        }
    )
)
