"""The account's books: contacts, deals, pipelines and events, and what people and integrations do to them."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox import defaults
from sandbox.amocrm.entities import Change, Contact, Deal
from sandbox.amocrm.pipelines import INCOMING_TYPE, LOST_SORT, Pipeline, Stage, new_pipeline
from sandbox.amocrm.search import SearchIndex, matches
from sandbox.clock import Clock

if TYPE_CHECKING:
    from sandbox.amocrm.records import Record


Listener = Callable[[str, Deal, tuple[int, int] | None], None]


class Account:
    """One amoCRM account. Every method may be called from any thread; `on_change(action, deal, before)` is told of
    `add`, `status`, `update` and `delete`."""

    def __init__(self, clock: Clock, lock: threading.RLock, on_change: Listener) -> None:
        self.clock = clock
        self.lock = lock
        self.on_change = on_change
        self.contacts: dict[int, Contact] = {}
        self.deals: dict[int, Deal] = {}
        self.pipelines: dict[int, Pipeline] = {}
        self.changes: list[Change] = []
        self.custom_fields: dict[str, int] = {}
        self.records: dict[int, Record] = {}
        self.users = {defaults.ADMIN_USER_ID: True, defaults.GONE_USER_ID: False}
        self.index = SearchIndex()
        self.last_id = 40_000_000

    def next_id(self) -> int:
        self.last_id += 2
        return self.last_id

    def reindex(self) -> None:
        self.index = SearchIndex()
        for contact in self.contacts.values():
            self.index.add(contact.id, contact.texts())

    def field_id(self, name: str) -> int:
        return self.custom_fields.setdefault(name, 905_001 + 2 * len(self.custom_fields))

    # People

    def add_contact(
        self,
        name: str = "",
        email: str | list[str] | None = None,
        phone: str | list[str] | None = None,
        fields: dict[str, str] | None = None,
    ) -> Contact:
        with self.lock:
            now = self.clock.now()
            emails = [email] if isinstance(email, str) else list(email or [])
            phones = [phone] if isinstance(phone, str) else list(phone or [])
            contact = Contact(self.next_id(), name, emails, phones, dict(fields or {}), [], now, now)
            for field_name in contact.fields:
                self.field_id(field_name)
            self.contacts[contact.id] = contact
            self.index.add(contact.id, contact.texts())
            return contact

    def edit_contact(self, contact_id: int, **changes: Any) -> Contact:
        """Sets name, emails, phones or fields."""
        with self.lock:
            contact = self.contacts[contact_id]
            for name, value in changes.items():
                setattr(contact, name, value)
            contact.updated_at = self.clock.now()
            self.index.add(contact.id, contact.texts())
            return contact

    def delete_contact(self, contact_id: int) -> None:
        with self.lock:
            contact = self.contacts.pop(contact_id)
            for lead_id in contact.lead_ids:
                self.deals[lead_id].contact_ids.remove(contact_id)

    def find_contacts(self, query: str) -> list[Contact]:
        """Contacts with the text anywhere in name, e-mails, phones or custom fields, whatever the case."""
        with self.lock:
            candidates = (self.contacts.get(number) for number in sorted(self.index.find(query)))
            # The index keeps texts that were changed since, so each hit is looked at again.
            return [contact for contact in candidates if contact and matches(query, contact.texts())]

    # Deals

    def add_deal(
        self,
        name: str = "",
        price: float = 0,
        status_id: int | None = None,
        pipeline_id: int | None = None,
        contact_ids: list[int] | None = None,
        fields: dict[str, str] | None = None,
        tags: list[str] | None = None,
        by: int = defaults.ADMIN_USER_ID,
        quiet: bool = False,
    ) -> Deal:
        """A new deal on that stage (by default the first one); `quiet` sends no hook and writes no event."""
        with self.lock:
            pipeline = self.pipelines[pipeline_id] if pipeline_id else self.main_pipeline()
            stage = pipeline.stage(status_id) if status_id else pipeline.first_stage()
            if stage is None:
                raise KeyError(status_id)
            now = self.clock.now()
            deal = Deal(self.next_id(), name, price, pipeline.id, stage.id, list(contact_ids or []))
            deal.fields = dict(fields or {})
            for field_name in deal.fields:
                self.field_id(field_name)
            deal.tags = list(tags or [])
            deal.created_at = deal.updated_at = now
            deal.closed_at = now if stage.id in (defaults.WON, defaults.LOST) else None
            self.deals[deal.id] = deal
            for contact_id in deal.contact_ids:
                self.contacts[contact_id].lead_ids.append(deal.id)
            if not quiet:
                self.note("lead_added", deal, None, (deal.pipeline_id, deal.status_id), by)
                self.on_change("add", deal, None)
            return deal

    def move_deal(
        self, deal_id: int, status_id: int, pipeline_id: int | None = None, by: int = defaults.ADMIN_USER_ID
    ) -> Deal:
        """Puts the deal on a stage; the same stage again is no change of stage. Raises KeyError for an unknown one."""
        with self.lock:
            deal = self.deals[deal_id]
            pipeline = self.pipelines[pipeline_id or deal.pipeline_id]
            if pipeline.stage(status_id) is None:
                raise KeyError(status_id)
            before = (deal.pipeline_id, deal.status_id)
            after = (pipeline.id, status_id)
            deal.updated_at = self.clock.now()
            if before != after:
                deal.pipeline_id, deal.status_id = after
                closed = status_id in (defaults.WON, defaults.LOST)
                deal.closed_at = deal.updated_at if closed else None
                if status_id != defaults.LOST:
                    deal.loss_reason_id = None
                self.note("lead_status_changed", deal, before, after, by)
                self.on_change("status", deal, before)
            return deal

    def edit_deal(self, deal_id: int, **changes: Any) -> Deal:
        """Sets name, price, fields, tags, responsible_user_id or loss_reason_id."""
        with self.lock:
            deal = self.deals[deal_id]
            for name, value in changes.items():
                setattr(deal, name, value)
            for field_name in deal.fields:
                self.field_id(field_name)
            deal.updated_at = self.clock.now()
            self.on_change("update", deal, None)
            return deal

    def delete_deal(self, deal_id: int) -> None:
        with self.lock:
            deal = self.deals[deal_id]
            deal.is_deleted = True
            deal.updated_at = self.clock.now()
            self.note("lead_deleted", deal, (deal.pipeline_id, deal.status_id), None, defaults.ADMIN_USER_ID)
            self.on_change("delete", deal, None)

    def note(
        self, kind: str, deal: Deal, before: tuple[int, int] | None, after: tuple[int, int] | None, by: int
    ) -> None:
        number = f"01sandbox{len(self.changes):017d}"
        self.changes.append(Change(number, kind, deal.id, self.clock.now(), by, before, after))

    # Pipelines

    def main_pipeline(self) -> Pipeline:
        return next(pipeline for pipeline in self.pipelines.values() if pipeline.is_main)

    def add_pipeline(self, name: str, stages: list[str]) -> Pipeline:
        with self.lock:
            numbered = [(self.next_id(), title) for title in stages]
            sort = len(self.pipelines) + 1
            pipeline = new_pipeline(self.next_id(), name, sort, self.next_id(), numbered)
            pipeline.is_main = not self.pipelines
            self.pipelines[pipeline.id] = pipeline
            return pipeline

    def add_stage(self, pipeline_id: int, name: str, sort: int | None = None, number: int | None = None) -> Stage:
        """A new stage, by default behind the others and before 142. number: the id of one that is brought back. Raises
        ValueError when it is taken."""
        with self.lock:
            pipeline = self.pipelines[pipeline_id]
            if sort is None:
                sort = max(stage.sort for stage in pipeline.stages if stage.sort < LOST_SORT - 1000) + 10
            if number is not None and any(one.stage(number) for one in self.pipelines.values()):
                raise ValueError(f"stage {number} is there already")
            stage = Stage(number or self.next_id(), name, sort)
            pipeline.stages.append(stage)
            return stage

    def delete_stage(self, pipeline_id: int, status_id: int) -> None:
        """Removes a stage; its deals go to the pipeline's first one. Raises ValueError for the built-in ones."""
        with self.lock:
            pipeline = self.pipelines[pipeline_id]
            stage = pipeline.stage(status_id)
            if stage is None:
                raise KeyError(status_id)
            if stage.type == INCOMING_TYPE or status_id in (defaults.WON, defaults.LOST):
                raise ValueError("the incoming stage, 142 and 143 cannot be deleted")
            pipeline.stages.remove(stage)
            for deal in list(self.deals.values()):
                if (deal.pipeline_id, deal.status_id) == (pipeline_id, status_id):
                    self.move_deal(deal.id, pipeline.first_stage().id, pipeline_id)

    def stage_named(self, name: str, pipeline_id: int | None = None) -> Stage:
        """Raises KeyError when the pipeline (by default the main one) has no such stage."""
        pipeline = self.pipelines[pipeline_id] if pipeline_id else self.main_pipeline()
        for stage in pipeline.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)
