"""Sends what the arguments say through the SDK on the path, and prints what came of it.

send.py <base address> <event key> <JSON: an array of events>
"""

import json
import sys

import inngest

base, event_key, events = sys.argv[1:]
client = inngest.Inngest(app_id="platform", event_api_base_url=base, event_key=event_key, is_production=True)
try:
    ids = client.send_sync([inngest.Event(**event) for event in json.loads(events)])
    print(json.dumps({"sent": {"ids": list(ids)}}))
except Exception as error:
    print(json.dumps({"raised": f"{type(error).__name__}: {error}"}))
