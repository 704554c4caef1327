"""Whether everything that Dealpost needs is there and works, one line each, with the mend for what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from flask_babel import gettext as _

from outbox.message import State
from outbox.outcome import DeliveryError
from service.amocrm.choices import StageChoices
from service.amocrm.pipelines import lesson_numbers
from service.causes import CAUSES
from service.current import Dealpost
from service.destinations.records.rukovoditel import fields
from service.destinations.records.rukovoditel.entity_fields import Field
from service.destinations.records.rukovoditel.refusals import error_of
from service.destinations.records.rukovoditel.replies import Garbled, Refused
from service.heartbeat import SILENT, Processes
from service.network.http import NoAnswer
from service.operator import words
from service.operator.words.numbers import ngettext
from service.routing import AMOCRM, ERP
from service.secret_strength import short_ones
from service.situations.gather import gather
from service.situations.rules import find
from service.status import iso, write_probe

OK, NOTE, FAULT = "ok", "note", "fault"
ERP_FAULTS = (Refused, Garbled, NoAnswer)
DEADLINE = 10.0
CLOCK_OFF = 60.0
"""Seconds by which our clock may differ from amoCRM's before somebody should set it."""


@dataclass(frozen=True)
class Check:
    """state: ok; note: works without, but know of it; fault: has to be mended. mend: what to do, or ""."""

    name: str
    state: str
    words: str
    mend: str = ""


def run(dealpost: Dealpost) -> Iterator[Check]:
    """All checks, each as soon as it is known. Sends a few requests, each at the shared pace and with a deadline."""
    yield from _settings(dealpost)
    yield from _store(dealpost)
    yield from _amocrm(dealpost)
    yield from _erp(dealpost)
    yield from _situations(dealpost)


LOOKED_UP = ("store", "worker", "dead", "bare", "stage", "hook")
"""Situations that a check of its own has just looked up."""


def _situations(dealpost: Dealpost) -> Iterator[Check]:
    """What else is not as it should be, in the words of the page."""
    try:
        signals = gather(dealpost)
    except Exception:
        return  # the store's own line has told
    for one in find(signals):
        if one.code not in LOOKED_UP:
            told = words.as_sentence(words.situation_title(one, signals.now, one.destination))
            mend = words.situation_todo(one, signals.now)
            state = FAULT if one.code == "stopped" else NOTE
            yield Check(_("deliveries"), state, f"{told} {words.what_next(one, signals.now)}", mend)


def _settings(dealpost: Dealpost) -> Iterator[Check]:
    settings = dealpost.settings
    if settings.sandbox:
        yield Check("SANDBOX", NOTE, _("practice mode: nothing real is changed"))
    yield Check(
        "DATABASE_URL", OK, _("SQLite file") + f" {settings.database_path}" if settings.on_sqlite else "PostgreSQL"
    )
    if not dealpost.store.lanes.notified():
        yield Check(
            "DATABASE_URL",
            NOTE,
            _("PostgreSQL passes on no notifications: waiting deliveries are looked for every second"),
            _("Behind a transaction pooler that is how it is; a direct address lets them go out at once."),
        )
    if settings.database_hint:
        yield Check(
            "DATABASE_URL",
            NOTE,
            _("three slashes count from the project's folder"),
            _("For a path from the root, such as /data, write four: sqlite:////data/dealpost.db"),
        )
    for name in () if settings.sandbox else settings.unknown:
        yield Check(name, NOTE, _("no setting of this name"), _("Correct the name in .env, or take the line out."))
    for name in [] if settings.sandbox else short_ones(settings):
        yield Check(name, NOTE, _("short: it could be guessed"), _("Take a longer random value."))
    if settings.api_keys:
        names = ", ".join(key.name + (_(" (may only send)") if key.ingest_only else "") for key in settings.api_keys)
        yield Check("API_KEYS", OK, names)
    else:
        yield Check(
            "API_KEYS",
            FAULT,
            _("nobody can send events"),
            _("Set API_KEYS=name:key, a long random key for each sender."),
        )
    if settings.users:
        named = ", ".join(f"{one.name} ({one.role})" for one in settings.users)
        yield Check("USERS", OK, _("the page is open to %(name)s", name=named))
    if settings.admin_password:
        yield Check("ADMIN_PASSWORD", OK, _("the page is open to %(name)s", name=settings.admin_username))
    elif settings.users:
        pass
    else:
        yield Check("ADMIN_PASSWORD", NOTE, _("the page is closed"), _("Set ADMIN_PASSWORD to look at it."))
    yield _optional("PUBLIC_URL", settings.public_url, _("Set it so that alerts and webhooks name the right address."))
    if settings.alert_urls:
        count = len(settings.alert_urls)
        yield Check("ALERT_URLS", OK, ngettext("%(num)s address", "%(num)s addresses", count))
    else:
        yield Check("ALERT_URLS", NOTE, _("not set"), _("Set it to hear of what needs a person."))
    yield Check(
        "LESSON_MAP",
        OK,
        ", ".join(f"{lesson_id} → {lesson}" for lesson_id, lesson in settings.amocrm.lesson_map.items()),
    )


def _optional(name: str, value: str, mend: str) -> Check:
    return Check(name, OK, value) if value else Check(name, NOTE, _("not set"), mend)


def _store(dealpost: Dealpost) -> Iterator[Check]:
    name = _("store")
    try:
        write_probe(dealpost.store)
        tallies = dealpost.store.reading.tallies()
    except Exception as error:
        mend = _("Look at the disk's space and rights, and whether another program holds the file.")
        yield Check(name, FAULT, type(error).__name__, mend)
        return
    dead = sum(tally.states.get(State.DEAD, 0) for tally in tallies.values())
    yield Check(name, OK, _("events can be stored"))
    if dead:
        lost = ngettext("%(num)s delivery did not arrive", "%(num)s deliveries did not arrive", dead)
        yield Check(name, NOTE, lost, "flask outbox list --state dead")
    age = Processes(dealpost.store.key_values).worker_age(dealpost.store.now())
    if age is not None and age <= SILENT:
        yield Check(_("worker"), OK, _("heard %(seconds)s s ago", seconds=round(age)))
    else:
        yield Check(_("worker"), NOTE, _("does not run"), _("Start it: python scheduler.py"))


def _amocrm(dealpost: Dealpost) -> Iterator[Check]:
    missing = dealpost.wiring.destinations[AMOCRM].missing()
    if missing and missing != ("AMOCRM_REFRESH_TOKEN",):  # that one alone: Connect does as well, and is told below
        one = dealpost.settings.amocrm
        given = (one.base_url, one.client_id, one.client_secret, one.refresh_token, one.access_token, one.pipeline_id)
        yield _not_set_up("amoCRM", missing, any_set=any(given))
        return
    account = dealpost.wiring.amocrm
    status = account.tokens.status()
    if status.usable:
        until = _("good until %(time)s", time=iso(status.expires_at)) if status.expires_at else ""
        yield Check(_("amoCRM, access"), OK, ", ".join(filter(None, (status.state, until))))
    else:
        mend = _("Open /outbox and press Connect, or put new tokens in with `flask tokens import`.")
        yield Check(_("amoCRM, access"), FAULT, ": ".join(filter(None, (status.state, status.detail))), mend)
        return
    dates: list[tuple[float, str]] = []

    def note(exchange: Any) -> None:
        headers = {name.lower(): value for name, value in exchange.response_headers.items()}
        if date := headers.get("date"):
            dates.append((exchange.at, date))

    try:
        found = account.client.bound(record=note, deadline=DEADLINE).account()
    except DeliveryError as error:
        yield _failed(_("amoCRM, account"), error)
        return
    yield Check(_("amoCRM, account"), OK, f"{found.get('name') or ''} ({found.get('id')}), {status.host}")
    yield from _renamed(dealpost, str(found.get("subdomain") or ""))
    yield from _clock(dates)
    yield from _pipeline(dealpost)
    yield from _hook(dealpost)


def _renamed(dealpost: Dealpost, name: str) -> Iterator[Check]:
    """A renamed account is followed while its pair is good; a fresh start or a long-lived token finds it no more."""
    ours = dealpost.settings.amocrm.subdomain
    if ours and name and ours.lower() != name.lower():
        words = _("the account is named %(name)s now, not %(ours)s", name=name, ours=ours)
        yield Check("AMOCRM_SUBDOMAIN", FAULT, words, f"AMOCRM_SUBDOMAIN={name}")


def _clock(dates: list[tuple[float, str]]) -> Iterator[Check]:
    try:
        at, date = dates[-1]
        differs = at - parsedate_to_datetime(date).timestamp()
    except (IndexError, ValueError, TypeError):
        return
    if abs(differs) > CLOCK_OFF:
        said = _("differs from amoCRM's by %(seconds)s s", seconds=round(differs))
        yield Check(_("clock"), FAULT, said, _("Set this machine's clock (NTP)."))
    else:
        yield Check(_("clock"), OK, _("agrees with amoCRM's"))


def _pipeline(dealpost: Dealpost) -> Iterator[Check]:
    settings, pipelines = dealpost.settings.amocrm, dealpost.wiring.amocrm.pipelines
    try:
        every = pipelines.within(DEADLINE).all(max_age=0.0)
    except DeliveryError as error:
        yield _failed("AMOCRM_PIPELINE_ID", error)
        return
    chosen = next((one for one in every if one.id == settings.pipeline_id), None)
    mend = _("Take one of `flask pipelines`.")
    if chosen is None:
        got = (
            _("not set")
            if settings.pipeline_id is None
            else _("amoCRM has no pipeline %(id)s", id=settings.pipeline_id)
        )
        yield Check("AMOCRM_PIPELINE_ID", FAULT, got, mend)
    elif chosen.is_archive:
        words = _("%(name)s is in amoCRM's archive and takes no moves", name=chosen.name)
        yield Check("AMOCRM_PIPELINE_ID", FAULT, words, mend)
    else:
        yield Check("AMOCRM_PIPELINE_ID", OK, f"{chosen.name} ({chosen.id})")
    for lesson in lesson_numbers(settings, StageChoices(dealpost.store.key_values).all()):
        name = f"AMOCRM_STAGE_LESSON_{lesson}"
        try:
            target = pipelines.target(lesson)
        except DeliveryError as error:
            yield _failed(name, error, mend)
            continue
        if target is None:
            yield Check(name, NOTE, _("no stage: events of lesson %(lesson)s change nothing", lesson=lesson), mend)
        elif not target.known:
            said = _("the pipeline %(name)s has no stage %(id)s", name=target.pipeline_name, id=target.status_id)
            yield Check(name, FAULT, said, mend)
        elif target.incoming:
            said = _("%(name)s is the stage of incoming requests, to which no deal can be moved", name=target.name)
            yield Check(name, FAULT, said, mend)
        else:
            said = f"{target.name} ({target.status_id})"
            if target.by != "setting":
                said += _(", chosen on the page by %(who)s", who=target.by)
            yield Check(name, OK, said)
    yield from _webhook_stages(dealpost)


def _webhook_stages(dealpost: Dealpost) -> Iterator[Check]:
    name, wanted = "AMOCRM_WEBHOOK_STAGES", dealpost.settings.amocrm.webhook_stages
    if not wanted:
        return
    try:
        unknown = dealpost.wiring.amocrm.pipelines.within(DEADLINE).unknown(wanted)
    except DeliveryError as error:
        yield _failed(name, error)
        return
    shown = [":".join(filter(None, pair)) for pair in (unknown or wanted)]
    if unknown:
        said = _("amoCRM has no stage %(names)s", names=", ".join(shown))
        yield Check(name, FAULT, said, _("Take one of `flask pipelines`."))
    else:
        yield Check(name, OK, ", ".join(shown))


def _hook(dealpost: Dealpost) -> Iterator[Check]:
    name = _("webhook")
    if not dealpost.settings.webhook_secrets:
        yield Check(name, NOTE, _("not set up: changes of stage make no records"), _("Set WEBHOOK_SECRET."))
        return
    try:
        hooks = dealpost.wiring.webhook.ours(DEADLINE)
    except DeliveryError as error:
        if error.cause == "webhooks_closed":  # a tariff or a right: nothing of the deals hangs on it
            yield Check(name, NOTE, _(CAUSES[error.cause].title), _(CAUSES[error.cause].todo))
            return
        yield _failed(name, error)
        return
    mend = "flask webhook subscribe"
    if not hooks:
        yield Check(name, FAULT, _("amoCRM has no webhook with our secret"), mend)
    elif all(hook.get("disabled") for hook in hooks):
        yield Check(name, FAULT, _("amoCRM has switched it off"), mend)
    elif not any("status_lead" in (hook.get("settings") or ()) for hook in hooks if not hook.get("disabled")):
        yield Check(name, FAULT, _("it does not tell of changes of stage"), mend)
    elif any(event not in _told(hooks) for event in dealpost.wiring.webhook.events):
        words = _("it does not tell of deals made on a stage; we find them in the log of events")
        yield Check(name, NOTE, words, mend)
    else:
        yield Check(name, OK, _("registered and switched on"))


def _told(hooks: Sequence[Mapping[str, Any]]) -> set[str]:
    """What the webhooks that are switched on tell of."""
    return {event for hook in hooks if not hook.get("disabled") for event in hook.get("settings") or ()}


def _erp(dealpost: Dealpost) -> Iterator[Check]:
    missing = dealpost.wiring.destinations[ERP].missing()
    if missing:
        erp = dealpost.settings.erp
        yield _not_set_up("ERP", missing, any_set=any((erp.url, erp.key, erp.username, erp.password)))
        return
    client, erp = dealpost.wiring.erp_client, dealpost.settings.erp
    entity = str(erp.entity_id)
    try:
        login = client.login(total=DEADLINE)
    except DeliveryError as error:
        yield _failed("ERP", error, _("Check CRM_API_URL, CRM_API_KEY, CRM_API_USERNAME and CRM_API_PASSWORD."))
        return
    if login.before:
        words = _("its PHP writes before its answers: %(words)s", words=login.before)
        yield Check("ERP", NOTE, words, _("Switch display_errors off in the ERP's PHP."))
    else:
        yield Check("ERP", OK, login.name or _("the login works"))
    try:
        may_create = client.may_create(entity, total=DEADLINE)
    except ERP_FAULTS as fault:
        yield _failed("ERP_ENTITY_ID", error_of(fault))
        return
    if not may_create:
        words = _("the ERP's user may not create records in entity %(id)s", id=entity)
        yield Check("ERP_ENTITY_ID", FAULT, words, _("Give this user the right to create and to see records there."))
    yield from _erp_fields(dealpost)


def _erp_fields(dealpost: Dealpost) -> Iterator[Check]:
    erp = dealpost.settings.erp
    named = fields.configured(erp)
    known: dict[str, Field] | None = None
    try:
        known = dealpost.wiring.erp_client.fields(str(erp.entity_id), total=DEADLINE)
    except ERP_FAULTS as fault:  # older versions cannot be asked
        words = _("the fields of entity %(id)s cannot be read", id=erp.entity_id)
        yield Check("ERP_ENTITY_ID", NOTE, f"{words}: {fault}", _("Look whether these fields are there."))
    lacking = [name for name in named if known is not None and fields.number(name) not in known]
    if lacking:
        words = _("entity %(id)s has no %(fields)s", id=erp.entity_id, fields=", ".join(lacking))
        yield Check("ERP_ENTITY_ID", FAULT, words, _("Correct the names of the fields, or make these fields."))
    elif known is not None:
        yield Check("ERP_ENTITY_ID", OK, f"{erp.entity_id}: {', '.join(named)}")
    key = known.get(fields.number(erp.field_key)) if known is not None and erp.field_key else None
    if key is not None and not key.unique:
        words = _("%(field)s is not unique: after a lost answer a record could be made twice", field=erp.field_key)
        yield Check("ERP_FIELD_KEY", FAULT, words, _('Switch "unique" on for this field in the ERP.'))
    elif key is not None:
        yield Check("ERP_FIELD_KEY", OK, _("%(field)s is unique", field=erp.field_key))
    if not erp.field_key:
        said = _("not set: after a broken connection a record may need a person's look")
        yield Check("ERP_FIELD_KEY", NOTE, said, _("Name a unique text field, and no record is ever made twice."))


def _not_set_up(name: str, missing: tuple[str, ...], any_set: bool) -> Check:
    mend = _("Set %(names)s.", names=", ".join(missing))
    said = _("half set up; deliveries wait") if any_set else _("not set up; deliveries wait")
    return Check(name, FAULT if any_set else NOTE, said, mend)


def _failed(name: str, error: DeliveryError, mend: str = "") -> Check:
    todo = CAUSES[error.cause].todo if error.cause in CAUSES else ""
    params = {**dict.fromkeys(("missing", "detail", "account", "address", "since", "lesson"), "…"), **error.params}
    return Check(name, FAULT, error.message, (_(todo) % params if todo else "") or mend or _("Try again in a minute."))
