"""People, deals, and what happened to them."""

from dataclasses import dataclass, field

from sandbox import defaults


@dataclass(slots=True)
class Contact:
    id: int
    name: str
    emails: list[str] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    lead_ids: list[int] = field(default_factory=list)
    created_at: int = 0
    updated_at: int = 0

    def texts(self) -> list[str]:
        return [self.name, *self.emails, *self.phones, *self.fields.values()]


@dataclass(slots=True)
class Deal:
    """A lead. `price` may have kopecks; `contact_ids[0]` is the main contact."""

    id: int
    name: str
    price: float
    pipeline_id: int
    status_id: int
    contact_ids: list[int] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    created_at: int = 0
    updated_at: int = 0
    closed_at: int | None = None
    is_deleted: bool = False
    loss_reason_id: int | None = None
    responsible_user_id: int = defaults.ADMIN_USER_ID


@dataclass(slots=True)
class Change:
    """An entry of `/api/v4/events`; `before` and `after` are (pipeline, status) or None."""

    id: str
    type: str
    entity_id: int
    created_at: int
    created_by: int
    before: tuple[int, int] | None
    after: tuple[int, int] | None
