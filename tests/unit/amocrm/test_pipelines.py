"""Which stage a lesson means: one rule for the worker that moves deals and for the page that shows it."""

from types import SimpleNamespace
from typing import Any

import pytest

from outbox.outcome import DeliveryError
from service.amocrm.choices import FunnelChoice, StageChoice, StageChoices
from service.amocrm.pipelines import lesson_numbers
from service.operator.pages import stages
from tests.unit.amocrm.fakes import House, settings

FUNNEL, OTHER = 10, 11


def pipelines(*funnels: tuple[int, list[tuple[int, str]]]) -> Any:
    def node(funnel: int, listed: list[tuple[int, str]]) -> dict[str, Any]:
        rows = [{"id": key, "name": name, "sort": key, "type": 0} for key, name in listed]
        return {"id": funnel, "name": f"Funnel {funnel}", "sort": funnel, "_embedded": {"statuses": rows}}

    def answer(request: Any) -> Any:
        if request["path"] == "/oauth2/access_token":
            return 200, {"token_type": "Bearer", "expires_in": 86400, "access_token": "a", "refresh_token": "r"}
        return 200, {"_embedded": {"pipelines": [node(*funnel) for funnel in funnels]}}

    return answer


def asked(wanted: str, *funnels: tuple[int, list[tuple[int, str]]], choice: StageChoice | None = None) -> Any:
    """-> (what the worker takes for lesson 1, what the page shows of it)."""
    here = House(pipelines(*funnels), stages={1: wanted})
    here.account.pipelines.all()
    if choice is not None:
        here.account.pipelines.choices.put(choice)
    try:
        target = here.account.pipelines.target(1)
        found: Any = (target.status_id, target.known) if target else None
    except DeliveryError as error:
        found = error.cause
    store = SimpleNamespace(key_values=here.key_values, now=here.clock)
    configured = SimpleNamespace(amocrm=settings(stages={1: wanted}))
    [shown] = stages.lessons(SimpleNamespace(store=store, settings=configured))  # type: ignore[arg-type]
    return found, (shown.state, shown.status_id)


@pytest.mark.parametrize(
    ("wanted", "worker", "page"),
    [
        ("102", (102, True), ("there", 102)),
        (" second  STAGE ", (102, True), ("there", 102)),
        ("1", (103, True), ("there", 103)),  # a stage whose name is a number
        ("Twice", "stage_ambiguous", ("ambiguous", None)),
        ("999", (999, False), ("gone", 999)),
        ("Nowhere", "stage_deleted", ("gone", None)),
        ("", None, ("unset", None)),
    ],
)
def test_the_worker_and_the_page_mean_the_same_stage(wanted: str, worker: object, page: object) -> None:
    listed = [(101, "Twice"), (102, "Second stage"), (103, "1"), (104, "twice ")]
    assert asked(wanted, (FUNNEL, listed)) == (worker, page)


def test_an_id_is_the_stage_of_this_id_whatever_another_one_is_called() -> None:
    assert asked("101", (FUNNEL, [(101, "First"), (102, "101")])) == ((101, True), ("there", 101))


def test_a_choice_goes_before_the_setting_and_may_be_of_another_pipeline() -> None:
    choice = StageChoice(1, 201, OTHER, "Chosen", "Olga", 5.0)
    found = asked("101", (FUNNEL, [(101, "First")]), (OTHER, [(201, "Chosen")]), choice=choice)
    assert found == ((201, True), ("there", 201))


def test_a_choice_is_read_as_it_was_written_and_what_is_none_is_left_out() -> None:
    key_values = House().key_values
    choices = StageChoices(key_values)
    choices.put(StageChoice(2, 102, 10, "Second", "Olga", 5.0))
    key_values.put("choices", "stage:x", {"status_id": 1})
    key_values.put("choices", "stage:3", {"status_id": None})
    assert choices.all() == {2: StageChoice(2, 102, 10, "Second", "Olga", 5.0)} and choices.of(3) is None
    choices.remove(2)
    assert choices.all() == {}


def test_a_lesson_exists_by_a_stage_a_place_on_the_platform_or_a_choice() -> None:
    given = settings(stages={4: "x"}, lesson_map={67: 1, 68: 2})
    assert lesson_numbers(given, [9]) == [1, 2, 4, 9]


def chosen(setting: int | None) -> Any:
    """An account of two funnels, of which the second was chosen on the page."""
    here = House(
        pipelines((FUNNEL, [(101, "One")]), (OTHER, [(201, "One"), (202, "Two")])),
        stages={1: "One"},
        pipeline_id=setting,
    )
    before = here.deals.destination.fingerprint
    here.account.pipelines.choices.put_funnel(FunnelChoice(OTHER, "Funnel 11", "Olga", 5.0))
    assert here.deals.destination.fingerprint != before  # what rests for want of a funnel goes on
    return here


def test_lessons_go_to_the_funnel_that_was_chosen_where_no_setting_names_one() -> None:
    target = chosen(None).account.pipelines.target(1)
    assert (target.pipeline_id, target.status_id) == (OTHER, 201)


def test_a_setting_goes_before_the_funnel_that_was_chosen() -> None:
    here = chosen(FUNNEL)
    assert here.account.pipelines.funnel_id() == FUNNEL
    assert here.account.pipelines.target(1).status_id == 101


def test_another_funnel_forgets_the_stages_that_were_chosen_in_the_one_before() -> None:
    choices = chosen(None).account.pipelines.choices
    choices.put(StageChoice(1, 202, OTHER, "Two", "Olga"))
    choices.put(StageChoice(2, 101, FUNNEL, "One", "Olga"))
    choices.put(StageChoice(3, 101, None, "One", "Olga"))  # of whichever funnel it is
    assert choices.put_funnel(FunnelChoice(OTHER)) == [2]
    assert sorted(choices.all()) == [1, 3]
