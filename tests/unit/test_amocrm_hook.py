"""Every shape of amoCRM's webhooks that has been seen, read from a body as it comes over the wire."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.sources.amocrm_webhook_form import Hook, StageChange, UnreadableHook, read
from service.sources.bracket_form import parse

ACCOUNT = "account[id]=28805383&account[subdomain]=School&account[_links][self]=https://school.amocrm.ru"
STATUS = (
    "leads[status][0][id]=25399013&leads[status][0][name]=Сделка&leads[status][0][status_id]=142"
    "&leads[status][0][old_status_id]=7039101&leads[status][0][price]=0&leads[status][0][responsible_user_id]=123123"
    "&leads[status][0][last_modified]=1525349053&leads[status][0][pipeline_id]=1079922"
)
CHANGE = StageChange(25399013, 1079922, 142, 7039101, None, 1525349053)


def hook(*fields: str) -> Hook:
    return read(parse("&".join(fields).encode()))


def only(*fields: str) -> StageChange:
    (change,) = hook(*fields).changes
    return change


# ---- changes of stage ----


def test_a_change_of_stage_is_read_with_its_account() -> None:
    assert hook(STATUS, ACCOUNT) == Hook(28805383, "school", (CHANGE,), ())


def test_a_change_is_read_from_an_escaped_body_too() -> None:
    pairs = [pair.split("=", 1) for pair in STATUS.split("&")]
    assert read(parse(urlencode([(name, value) for name, value in pairs]).encode())).changes == (CHANGE,)


def test_updated_at_is_the_time_where_last_modified_is_missing_or_empty() -> None:
    entry = "leads[status][0][id]=1&leads[status][0][status_id]=2&leads[status][0][updated_at]=1700000000"
    assert only(entry).at == 1700000000
    assert only(entry, "leads[status][0][last_modified]=").at == 1700000000
    assert only(entry, "leads[status][0][last_modified]=1700000009").at == 1700000009


@pytest.mark.parametrize("time", ["", "0", "2024-01-01 10:00:00", "-5", "99999999999999", "1e9", "١٢"])
def test_what_is_no_time_is_no_time(time: str) -> None:
    assert (
        only(f"leads[status][0][id]=1&leads[status][0][status_id]=2&leads[status][0][last_modified]={time}").at is None
    )


def test_a_digital_pipelines_hook_tells_no_time_but_the_old_pipeline() -> None:
    body = (
        "leads[status][0][id]=5&leads[status][0][status_id]=30&leads[status][0][pipeline_id]=3"
        "&leads[status][0][old_status_id]=20&leads[status][0][old_pipeline_id]=2"
    )
    assert only(body) == StageChange(5, 3, 30, 20, 2, None)


def test_old_stage_and_pipeline_may_be_missing_empty_or_zero() -> None:
    entry = "leads[status][0][id]=1&leads[status][0][status_id]=2"
    bare = StageChange(1, None, 2, None, None, None)
    assert only(entry) == bare
    assert only(entry, "leads[status][0][old_status_id]=&leads[status][0][pipeline_id]=") == bare
    assert only(entry, "leads[status][0][old_status_id]=0&leads[status][0][old_pipeline_id]=0") == bare


def test_many_changes_in_one_body_come_in_their_order() -> None:
    body = "&".join(f"leads[status][{n}][id]={90 - n}&leads[status][{n}][status_id]={n + 1}" for n in range(30))
    assert [(change.lead_id, change.status_id) for change in hook(body).changes] == [(90 - n, n + 1) for n in range(30)]


def test_entries_whose_numbers_have_gaps_are_all_read() -> None:
    body = "&".join(f"leads[status][{n}][id]={n}&leads[status][{n}][status_id]=9" for n in (3, 7))
    assert [change.lead_id for change in hook(body).changes] == [3, 7]


def test_one_entry_without_a_number_is_read() -> None:
    assert only("leads[status][id]=3&leads[status][status_id]=9").lead_id == 3


def test_an_update_of_the_same_deal_makes_no_change() -> None:
    update = STATUS.replace("[status]", "[update]")
    assert hook(update, STATUS, ACCOUNT) == Hook(28805383, "school", (CHANGE,), (("leads", "update", "25399013"),))


def test_a_deal_made_on_a_stage_is_told_apart_with_the_time_of_its_making() -> None:
    add = STATUS.replace("[status]", "[add]")
    assert hook(add, "leads[add][0][date_create]=1525349000", ACCOUNT).created == (
        StageChange(25399013, 1079922, 142, None, None, 1525349000, is_new=True),
    )
    bare = "leads[add][0][id]=5&leads[add][0][status_id]=30&leads[add][0][pipeline_id]=3"
    assert hook(bare).created == (StageChange(5, 3, 30, None, None, None, is_new=True),)
    assert hook("leads[add][0][id]=5") == Hook(None, None, (), (("leads", "add", "5"),))


def test_a_stage_that_is_the_old_one_is_no_change_unless_the_pipeline_is_another() -> None:
    entry = "leads[status][0][id]=1&leads[status][0][status_id]=30&leads[status][0][old_status_id]=30"
    moved = f"{entry}&leads[status][0][pipeline_id]=3&leads[status][0][old_pipeline_id]="
    for same in (entry, moved, moved + "3"):
        assert hook(same) == Hook(None, None, (), (("leads", "status", "1"),))
    assert only(moved + "2") == StageChange(1, 3, 30, 30, 2, None)


@pytest.mark.parametrize("closed", [142, 143])
def test_won_to_won_in_another_funnel_is_a_change_whether_or_not_the_old_one_is_told(closed: int) -> None:
    entry = f"leads[status][0][id]=1&leads[status][0][status_id]={closed}&leads[status][0][old_status_id]={closed}"
    moved = f"{entry}&leads[status][0][pipeline_id]=3"
    assert only(moved) == StageChange(1, 3, closed, closed, None, None)
    assert only(moved, "leads[status][0][old_pipeline_id]=2") == StageChange(1, 3, closed, closed, 2, None)
    assert hook(moved, "leads[status][0][old_pipeline_id]=3").changes == ()


def test_the_same_change_twice_running_is_one_and_a_way_there_and_back_is_three() -> None:
    def entry(number: int, lead: int, status: int, old: int) -> str:
        name = f"leads[status][{number}]"
        return f"{name}[id]={lead}&{name}[status_id]={status}&{name}[old_status_id]={old}"

    there, back = (1, 20, 10), (1, 10, 20)
    stages = [there, there, (2, 20, 10), there, back, there]
    got = [
        (c.lead_id, c.status_id, c.old_status_id) for c in hook(*(entry(n, *s) for n, s in enumerate(stages))).changes
    ]
    assert got == [there, (2, 20, 10), back, there]


@pytest.mark.parametrize(
    ("body", "lacking"),
    [
        ("leads[status][0][id]=1", "status_id"),
        ("leads[status][0][status_id]=1", "id"),
        ("leads[status][0][id]=x&leads[status][0][status_id]=1", "id"),
        ("leads[status][0][id]=1&leads[status][0][status_id]=0", "status_id"),
        ("leads[status][0][id]=9223372036854775808&leads[status][0][status_id]=1", "id"),
        ("leads[status][0][id][x]=1&leads[status][0][status_id]=1", "id"),
        ("leads[status][0]=1", "id and status_id"),
        ("leads[status]=1", "id and status_id"),
    ],
)
def test_a_change_whose_deal_or_stage_cannot_be_told_is_unreadable(body: str, lacking: str) -> None:
    with pytest.raises(UnreadableHook) as caught:
        hook(body)
    assert caught.value.reason == f"expected a number as {lacking} in each entry of leads[status], got none"


@pytest.mark.parametrize("entry", ["[id]=2", "=x", "[id]=&leads[status][1][status_id]=3", "[status_id]=142"])
def test_one_change_that_cannot_be_told_takes_no_other_with_it(entry: str) -> None:
    third = STATUS.replace("[0]", "[2]").replace("25399013", "7")
    got = hook(STATUS, f"leads[status][1]{entry}", third, ACCOUNT)
    assert [change.lead_id for change in got.changes] == [25399013, 7]
    [broken] = got.broken
    assert broken.name == "leads[status][1]" and "expected a number as" in broken.reason


# ---- traps of the v2 fields ----


@pytest.mark.parametrize(
    "trap",
    [
        "leads[status][0][custom_fields][0][id]=1&leads[status][0][custom_fields][0][values][0]=1725915600",
        "leads[status][0][custom_fields][0][values][0][value]=x&leads[status][0][custom_fields][0][values][0][enum]=5",
        "leads[status][0][custom_fields][0][values][value]=x",
        "leads[status][0][custom_fields][0][values][0]=1&leads[status][0][custom_fields][0][values][0][value]=1",
        "leads[status][0][custom_fields][0][values][0][value][a][b][c]=six levels and more",
        "leads[status][0][custom_fields]=&leads[status][0][price]=&leads[status][0][name]=",
        "leads[status][0][linked_leads_id][25399013][ID]=25399013",
        "leads[status][0][tags][0][id]=9&leads[status][0][tags][0][name]=vip",
        "leads[status][0][id][note]=1&leads[status][0][status_id][x]=1",
        "leads[status][0]=25399013",
    ],
)
def test_the_other_fields_of_a_deal_do_not_disturb_its_change(trap: str) -> None:
    assert hook(STATUS, trap, ACCOUNT).changes == (CHANGE,)
    assert hook(trap, STATUS, ACCOUNT).changes == (CHANGE,)


def test_a_body_that_is_value_and_parent_at_its_actions_is_read() -> None:
    assert hook("leads=", "leads[status]=", STATUS, "contacts=1", ACCOUNT).changes == (CHANGE,)


# ---- entities and actions ----


@pytest.mark.parametrize(
    "entity", ["leads", "contacts", "companies", "task", "unsorted", "message", "talk", "customers"]
)
@pytest.mark.parametrize("action", ["add", "update", "delete", "restore", "responsible", "note", "unheard_of"])
def test_every_entity_and_action_is_listed(entity: str, action: str) -> None:
    assert hook(f"{entity}[{action}][0][id]=77", ACCOUNT) == Hook(28805383, "school", (), ((entity, action, "77"),))


def test_companies_under_contacts_are_told_apart() -> None:
    body = (
        "contacts[update][0][id]=1&contacts[update][0][type]=company&contacts[update][0][linked_leads_id][123][ID]=123"
        "&contacts[update][1][id]=2&contacts[update][1][type]=contact"
    )
    assert hook(body).others == (("companies", "update", "1"), ("contacts", "update", "2"))


@pytest.mark.parametrize(
    ("body", "others"),
    [
        (
            "leads[delete][0][id]=4&leads[delete][0][status_id]=142&leads[delete][0][pipeline_id]=7",
            [("leads", "delete", "4")],
        ),
        (
            "contacts[delete][0][id]=4&contacts[delete][0][type]=contact&contacts[delete][1][id]=5&contacts[delete][1][type]=company",
            [("contacts", "delete", "4"), ("companies", "delete", "5")],
        ),
        ("leads[delete][0]=4&leads[delete][1]=5", [("leads", "delete", "4"), ("leads", "delete", "5")]),
        ("leads[delete]=4", [("leads", "delete", "4")]),
        ("leads[delete][id]=4", [("leads", "delete", "4")]),
    ],
)
def test_deletes_come_with_a_stage_with_a_type_or_as_a_bare_id(body: str, others: list[tuple[str, str, str]]) -> None:
    assert hook(body) == Hook(None, None, (), tuple(others))


@pytest.mark.parametrize(
    ("body", "other"),
    [
        ("unsorted[add][0][uid]=ab12&unsorted[add][0][lead_id]=3", ("unsorted", "add", "ab12")),
        ("talk[add][0][talk_id]=9&talk[add][0][contact_id]=3", ("talk", "add", "9")),
        ("message[add][0][id]=0f-1&message[add][0][text]=hi", ("message", "add", "0f-1")),
        ("task[add][0][id]=5&task[add][0][element_id]=3", ("task", "add", "5")),
        ("leads[note][0][note][id]=5&leads[note][0][note][element_id]=3", ("leads", "note", "3")),
        ("leads[note][0][note][id]=5", ("leads", "note", "5")),
    ],
)
def test_ids_are_found_under_each_entitys_own_name(body: str, other: tuple[str, str, str]) -> None:
    assert hook(body).others == (other,)


def test_many_entities_and_actions_in_one_body_are_all_read() -> None:
    got = hook("contacts[add][0][id]=1", STATUS, "task[update][0][id]=2&task[update][1][id]=3", "leads[delete][0]=4")
    assert got.changes == (CHANGE,)
    assert sorted(got.others) == [
        ("contacts", "add", "1"),
        ("leads", "delete", "4"),
        ("task", "update", "2"),
        ("task", "update", "3"),
    ]


# ---- whose hook it is ----


@pytest.mark.parametrize(
    ("account", "whose"),
    [
        ("", (None, None)),
        ("account=", (None, None)),
        ("account[subdomain]=school", (None, "school")),
        ("account[id]=5&account[subdomain]=school", (5, "school")),
        ("account[id]=x&account[subdomain]=", (None, None)),
        ("account[_links][self]=https://school.amocrm.ru", (None, "school")),
        ("account[_links][self]=https://School.kommo.com/", (None, "school")),
        ("account[_links][self]=https://school.amocrm.com:443/a", (None, "school")),
        ("account[_links][self]=https://school.example.com", (None, None)),
        ("account[_links][self]=https://amocrm.ru", (None, None)),
        ("account[_links][self]=https://school.amocrm.ru.evil.org", (None, None)),
        ("account[_links][self]=https://[school", (None, None)),
        ("account[_links]=school&account[id]=5", (5, None)),
        ("account[subdomain]=renamed&account[_links][self]=https://school.amocrm.ru", (None, "renamed")),
    ],
)
def test_the_account_is_told_by_whichever_of_its_fields_came(
    account: str, whose: tuple[int | None, str | None]
) -> None:
    got = hook(STATUS, account)
    assert (got.account_id, got.subdomain) == whose


# ---- what is no hook ----


@pytest.mark.parametrize(
    ("body", "got"),
    [
        ("", "no fields"),
        (ACCOUNT, "account"),
        ('{"leads": 1}', '{"leads": 1}'),
        ("leads=1&b=2", "b, leads"),
        ("leads[update][0][name]=x", "leads"),
        ("leads[0][id]=1", "leads"),
        ("leads[update]=", "leads"),
    ],
)
def test_what_has_no_known_shape_is_unreadable_and_the_reason_names_its_fields(body: str, got: str) -> None:
    with pytest.raises(UnreadableHook) as caught:
        hook(body)
    assert caught.value.reason == f"expected entries such as leads[status][0][id], got {got}"


NAMES = st.sampled_from(
    [
        "leads",
        "contacts",
        "account",
        "status",
        "update",
        "delete",
        "id",
        "status_id",
        "note",
        "_links",
        "self",
        "type",
        "",
        "0",
        "1",
        "7",
    ]
)
VALUES = st.sampled_from(["1", "142", "", "company", "x", "https://a.amocrm.ru"])
FORMS = st.dictionaries(
    NAMES,
    st.recursive(
        VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=4) | st.lists(inner, max_size=3), max_leaves=15
    ),
    max_size=4,
)


@given(FORMS)
def test_whatever_form_comes_it_is_read_or_unreadable(form: dict[str, object]) -> None:
    try:
        got = read(form)  # type: ignore[arg-type]
    except UnreadableHook:
        return
    assert got.changes or got.others or got.created
    assert all(entry_id for _, _, entry_id in got.others)
