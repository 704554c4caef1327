"""Who is known: found by names, telephones and parts of e-mails, and forgotten again."""

import pytest

from outbox.message import Known, State
from outbox.queries import Filter
from outbox.store import Store
from tests.integration.store.make import Clock, event, finish, only
from tests.integration.store.test_care import nowhere

ANN = Known("Анна Сёмина", ("+7 (912) 345-67-89",), ("ann@x.example",), (77,))


def found(store: Store, text: str) -> set[str]:
    return {row.event_id for row in store.reading.find(Filter(search=text), 50).rows}


@pytest.fixture
def ann(store: Store) -> str:
    """The id of the lesson of a student who is known with name and telephone."""
    (lesson,) = store.intake.accept([event("ann@x.example")])
    store.intake.accept([event("bob@x.example")])
    store.operations.learn([ANN])
    return lesson.id


@pytest.mark.parametrize(
    "text",
    [
        "ann@x.example", "ANN@X.example", "nn@x", "Анна", "семина анна", "сём", "+7 912 345 67 89", "8(912)345-67-89",
        "89123456789", "345-67-89", "6789", "67 89",
    ],
)  # fmt: skip
def test_a_student_is_found_however_one_asks(store: Store, ann: str, text: str) -> None:
    assert found(store, text) == {ann}
    assert [one.email for one in store.reading.students(Filter(search=text), 10)] == ["ann@x.example"]


@pytest.mark.parametrize("text", ["345-67", "+7 912", "8 912 345 67 80", "Анна Белова", "%", "_", "n@x.exampl3"])
def test_what_fits_nobody_finds_nobody(store: Store, ann: str, text: str) -> None:
    assert found(store, text) == set()


def test_a_whole_address_means_nobody_whose_address_ends_alike(store: Store, ann: str) -> None:
    (other,) = store.intake.accept([event("joann@x.example")])
    assert found(store, "ann@x.example") == {ann}
    assert found(store, "ann@x") == {ann, other.id}


def test_a_number_is_a_deal_and_the_end_of_a_telephone(store: Store, ann: str) -> None:
    (hook,) = store.intake.accept([event(None, name="amocrm/webhook", destination="erp", key=None, lead_id=6789)])
    assert found(store, "6789") == {ann, hook.id}


def test_a_name_that_is_learnt_later_shows_on_all_rows_of_the_student_and_of_the_deal(store: Store, ann: str) -> None:
    first = only(store, ann)
    assert (first.person, first.phones) == ("Анна Сёмина", "+7 (912) 345-67-89")
    finish(store, State.DELIVERED, first.id, lead_id=78, person="Анна Ли")
    (hook,) = store.intake.accept([event(None, name="amocrm/webhook", destination="erp", key=None, lead_id=78)])
    (later,) = store.intake.accept([event("ann@x.example", data={"email": "ann@x.example", "lesson": 2})])
    assert {only(store, one).person for one in (ann, hook.id, later.id)} == {"Анна Ли"}
    assert found(store, "Ли Анна") == found(store, "ann@x.example") == {ann, hook.id, later.id}
    assert found(store, "Сёмина") == set()


def test_a_hook_names_its_deal_until_the_person_is_known(store: Store) -> None:
    from dataclasses import replace

    told = (Known("Курс для Анны", lead_ids=(77,), is_title=True),)
    hook = event(None, name="amocrm/webhook", destination="erp", key=None, lead_id=77)
    (receipt,) = store.intake.accept([replace(hook, known=told)])
    assert only(store, receipt.id).person == "Курс для Анны"
    assert found(store, "курс") == {receipt.id}
    store.operations.learn([ANN])
    assert only(store, receipt.id).person == "Анна Сёмина"
    (again,) = store.intake.accept([replace(event(None, destination="erp", key=None, lead_id=77), known=told)])
    assert only(store, again.id).person == "Анна Сёмина"
    assert found(store, "ann@x.example") == found(store, "6789") == {receipt.id, again.id}
    assert [one.id for one in store.reading.events_of("ann@x.example", None)] == [again.id, receipt.id]
    (student,) = store.reading.students(Filter(), 10)
    assert (student.email, student.lead_id, student.name, student.open) == ("ann@x.example", 77, "Анна Сёмина", 2)


def test_of_those_without_deliveries_nothing_is_kept(store: Store, ann: str) -> None:
    store.operations.learn([Known("Пётр", ("+7 900 000-00-01",), ("petr@x.example",), (99,))])
    assert found(store, "Пётр") == set()
    (later,) = store.intake.accept([event("petr@x.example")])
    assert only(store, later.id).person is None


def test_what_is_known_already_is_not_written_again(store: Store, ann: str) -> None:
    commits = store.key_values.put("probe", "n", 1)
    assert commits == 1

    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("a write transaction was begun")

    database = store.operations.database  # type: ignore[attr-defined]
    kept, database.write = database.write, refuse
    try:
        store.operations.learn([ANN])
    finally:
        database.write = kept
    store.operations.learn([Known("Анна Ли", (), ("ann@x.example",))])
    row = only(store, ann)
    assert (row.person, row.phones) == ("Анна Ли", "+7 (912) 345-67-89")


def test_a_corrected_address_is_another_student_and_the_wrong_one_is_gone(store: Store, ann: str) -> None:
    (slip,) = store.intake.accept([event("anm@x.example")])
    row = only(store, slip.id)
    store.operations.correct_all([row.id], {"email": "ann@x.example"}, "ann@x.example", "email:ann@x.example", "olga")
    assert only(store, slip.id).person == "Анна Сёмина"
    assert found(store, "Анна") == {ann, slip.id} and found(store, "anm@") == set()
    (action, *_) = store.reading.actions(1)
    assert store.operations.undo(action.id, "olga", 10.0) == 1
    assert found(store, "anm@") == {slip.id} and found(store, "Анна") == {ann}


def test_pruning_takes_those_whom_no_row_refers_to(store: Store, clock: Clock) -> None:
    (old, _) = store.intake.accept([event("ann@x.example"), event("bob@x.example")])
    store.operations.learn([ANN, Known("Боб", (), ("bob@x.example",))])
    finish(store, State.DELIVERED, only(store, old.id).id, lead_id=77)
    clock.forward(10)
    assert store.maintenance.prune(clock.now) == 1
    database = store.maintenance.database  # type: ignore[attr-defined]
    assert [row["email"] for row in database.rows("SELECT email FROM students")] == ["bob@x.example"]
    assert database.rows("SELECT lead_id FROM deals") == []
    assert store.maintenance.verify() == []


def test_forgetting_erases_names_and_telephones_to_the_last_byte(store: Store, ann: str, address: str) -> None:
    (bob,) = store.intake.accept([event("carl@x.example")])
    finish(store, State.DELIVERED, only(store, ann).id, lead_id=77, person="Анна Сёмина")
    bodies = ({"response_body": "+7 (912) 345-67-89"}, {"response_body": "nothing of hers"})
    finish(store, State.DELIVERED, only(store, bob.id).id, exchanges=bodies)
    (hook,) = store.intake.accept([event(None, name="amocrm/webhook", destination="erp", key="lead:77", lead_id=77)])
    assert only(store, hook.id).person == "Анна Сёмина"
    store.maintenance.forget("ann@x.example", "olga")
    assert only(store, hook.id).person is None and only(store, hook.id).phones == ""
    assert found(store, "Анна") == found(store, "6789") == found(store, "ann@") == set()
    ((attempt,),) = store.reading.attempts([only(store, bob.id).id]).values()
    assert [one["response_body"] for one in attempt.exchanges] == ["[forgotten]", "nothing of hers"]
    for words in ("345-67-89", "9123456789", "Сёмина", "семина", "ann@x.example"):
        nowhere(address, words.encode())


def test_a_search_that_fits_very_many_shows_some_and_says_so(store: Store) -> None:
    store.intake.accept([event(f"student{number:03}@x.example", key=None) for number in range(250)])
    where = store.reading.look_up(Filter(search="student"))
    assert where.people is not None and where.people.cut
    assert store.reading.count(where) == len(store.reading.students(where, 1000)) == 100
    few = store.reading.look_up(Filter(search="student00"))
    assert few.people is not None and not few.people.cut and store.reading.count(few) == 10


def test_students_are_paged_within_a_search(store: Store) -> None:
    store.intake.accept([event(f"student{number}@x.example", key=None) for number in range(25)])
    seen, after = list[str | None](), None
    while page := store.reading.students(Filter(search="student"), 10, after):
        seen += [one.email for one in page]
        after = page[-1].after
    assert seen == [f"student{number}@x.example" for number in reversed(range(25))]
