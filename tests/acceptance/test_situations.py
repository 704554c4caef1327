"""A school in trouble in many ways: one running service, moved by its account's faults from state to state, what a
manager reads there in both languages, and each mend pressed to its end."""

from collections.abc import Iterator

import pytest

from chaos import shim
from sandbox import defaults
from tests.support.school import School

pytestmark = pytest.mark.skipif(not shim.available(), reason="the clock of another process takes a C compiler to move")

CALM = {"ru": ("Всё доставлено", "Делать ничего не нужно"), "en": ("All delivered.", "Nothing has to be done")}


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    school = School(tmp_path_factory.mktemp("school"))
    try:
        school.worker.says("starts")
        school.says("/outbox", "amoCRM has no webhook to Dealpost")
        yield school
    finally:
        school.close()


def reads(school: School, screens: dict[str, tuple[str, str]]) -> None:
    """On each of these screens stands this, in Russian and in English, and none calls it calm."""
    for place, language in enumerate(("ru", "en")):
        for path, texts in screens.items():
            said = school.says(path, *filter(None, [texts[place]]), language=language)
            assert not [one for one in CALM[language] if one in said], (path, language, said)


def checked(school: School, russian: str, english: str) -> None:
    """`flask check` tells of it too."""
    running = school.check("ru"), school.check("en")
    for check, text in zip(running, (russian, english), strict=True):
        assert text in check.text()


def test_a_webhook_that_nobody_subscribed(school: School) -> None:
    reads(
        school,
        {
            "/outbox": ("В amoCRM нет вебхука для Dealpost.", "amoCRM has no webhook to Dealpost."),
            "/outbox/connections": ("В amoCRM нет вебхука для Dealpost.", "amoCRM has no webhook to Dealpost."),
        },
    )
    school.press("/outbox/connections/webhook")
    assert [one["destination"] for one in school.control("GET", "hooks")["hooks"]]
    assert "webhook to Dealpost" not in school.read("/outbox")


def test_an_e_mail_that_amocrm_does_not_know_and_the_lesson_behind_it(school: School) -> None:
    first = school.lesson("nobody@example.com", 1)
    number = school.until(first, "pending", tries=2)
    second = school.lesson("nobody@example.com", 2)
    behind = school.until(second, "pending")
    cause = ("Не нашли ученика с такой почтой в amoCRM", "No student with this e-mail in amoCRM")
    reads(
        school,
        {
            "/outbox": ("но само может не пройти", "but it may not pass by itself"),
            f"/outbox/{number}": ("исправьте почту", "correct the e-mail"),
            f"/outbox/{behind}": (f"Ждёт прежнюю отправку этого ученика, № {number}.",
                                  f"It waits for this student's earlier delivery, No. {number}."),
            "/outbox/deliveries?state=pending": ("Ждёт прежнюю", "Waits for an earlier one"),
            "/outbox/students/journey?email=nobody@example.com": cause,
        },
    )  # fmt: skip
    checked(school, *cause)
    deal = school.student("Борис", "boris@example.com")
    school.press(f"/outbox/{number}/correct", email="boris@example.com")
    school.until(first, "delivered")
    school.until(second, "delivered")
    assert school.stage_of(deal) == defaults.STAGE_LESSON_2
    assert "finished lesson 1" in school.read(f"/outbox/{number}")
    assert "finished lesson 2" in school.read(f"/outbox/{behind}")


def test_a_pause_that_a_person_began(school: School) -> None:
    school.student("Вера", "vera@example.com")
    school.press("/outbox/pause/amocrm")
    event = school.lesson("vera@example.com", 1)
    number = school.until(event, "pending")
    school.later(400)
    stands = ("Отправка в amoCRM приостановлена.", "Sending to amoCRM is paused.")
    school.says("/outbox", stands[1])
    reads(
        school,
        {
            "/outbox": stands,
            "/outbox/connections": stands,
            f"/outbox/{number}": ("", "It goes out when somebody resumes."),
            "/outbox/deliveries?state=pending": ("", "when resumed"),
            "/outbox/students/journey?email=vera@example.com": stands,
        },
    )
    assert "keep trying" not in school.read("/outbox")
    checked(school, *stands)
    assert "It goes out when somebody resumes sending to amoCRM." in school.press(f"/outbox/{number}/retry")
    school.press("/outbox/resume/amocrm")
    school.until(event, "delivered")


def test_a_lesson_without_a_stage(school: School) -> None:
    event = school.lesson("vera@example.com", 4)
    number = school.until(event, "skipped")
    stands = ("Для урока 4 не выбран этап.", "No stage is chosen for lesson 4.")
    reads(
        school,
        {
            "/outbox": stands,
            "/outbox/connections": stands,
            f"/outbox/{number}": ("Для этого урока не выбран этап.", "No stage is chosen for this lesson."),
            "/outbox/deliveries?state=skipped": (
                "для этого урока не выбран этап",
                "no stage is chosen for this lesson",
            ),
        },
    )
    assert "1 moved nothing" in school.read("/outbox")
    school.press("/outbox/connections/stages", **{"stage:4": str(defaults.STAGE_LESSON_3)})
    school.says("/outbox", "Finished lessons have moved no deal")
    school.press(f"/outbox/{number}/retry")
    school.until(event, "delivered")


def test_an_erp_that_answers_an_empty_500(school: School) -> None:
    school.control("PATCH", "settings", erp_may_create=False)
    event = school.event("crm/create-deal", dealName="Курс Анны", amount="100")
    number = school.until(event, "pending", tries=1)
    stands = ("ERP отвечает неразборчиво", "The ERP answers with something unreadable")
    reads(
        school,
        {
            "/outbox": stands,
            f"/outbox/{number}": ("Загляните в ERP", "Look into the ERP"),
            "/outbox/deliveries?state=pending": stands,
        },
    )
    school.control("PATCH", "settings", erp_may_create=True)
    school.press(f"/outbox/{number}/retry")
    school.until(event, "delivered")


def test_an_erp_that_refuses_the_key(school: School) -> None:
    school.nothing_waits("erp")
    school.control("POST", "faults", preset="erp_key_mismatch")
    event = school.event("crm/create-deal", dealName="Курс Бориса", amount="100")
    number = school.until(event, "pending", tries=1)
    stands = ("Исправьте, что неверно в CRM_API_KEY", "Correct what is wrong of CRM_API_KEY")
    reads(school, {"/outbox": stands, f"/outbox/{number}": stands, "/outbox/connections": stands})
    assert "CRM_API_KEY (environment)" in school.read("/outbox")
    school.control("DELETE", "faults")
    school.press("/outbox/try/erp")
    school.until(event, "delivered")


def test_amocrm_asks_to_slow_down(school: School) -> None:
    school.student("Глеб", "gleb@example.com")
    # Only for a deal's move, since a job that looks into the account could be the one that is told to slow down.
    slow = {"status": 429, "retry_after": 300, "count": 1, "part": "amocrm", "method": "PATCH"}
    school.control("POST", "faults", kind="status", **slow)
    event = school.lesson("gleb@example.com", 1)
    number = school.until(event, "pending", tries=1)
    stands = ("amoCRM просит не торопиться", "amoCRM asks to slow down")
    for language, text in zip(("ru", "en"), stands, strict=True):  # this one passes by itself
        for path in ("/outbox", f"/outbox/{number}", f"/outbox/{number}/preview"):
            school.says(path, text, language=language)
    assert "Passes by itself" in school.read("/outbox") and "Paused" in school.read("/outbox/connections")
    assert "It goes out after the pause of amoCRM, in" in school.press(f"/outbox/{number}/retry")
    school.later(320)
    school.until(event, "delivered")
    school.later(2400)
    assert "usually" not in school.says("/outbox", "of 6 requests per second")


def test_an_address_that_the_account_does_not_let_in(school: School) -> None:
    school.control("POST", "faults", preset="forbidden_113")
    event = school.lesson("gleb@example.com", 2)
    number = school.until(event, "pending", tries=1)
    stands = ("Аккаунт amoCRM не пускает с нашего адреса", "The amoCRM account does not allow our address")
    reads(school, {"/outbox": stands, f"/outbox/{number}": stands, "/outbox/connections": stands})
    checked(school, *stands)
    school.control("DELETE", "faults")
    school.press("/outbox/try/amocrm")
    school.until(event, "delivered")


def test_access_that_was_withdrawn(school: School) -> None:
    school.student("Женя", "zhenya@example.com")
    school.control("POST", "tokens/revoke")
    event = school.lesson("zhenya@example.com", 3)
    number = school.until(event, "pending", tries=1)
    stands = ("amoCRM нужно подключить заново", "amoCRM has to be connected again")
    reads(
        school,
        {
            "/outbox": stands,
            f"/outbox/{number}": ("Нажмите «Подключить»", "Press Connect"),
            "/outbox/connections": stands,
            "/outbox/students/journey?email=zhenya@example.com": stands,
        },
    )
    checked(school, *stands)
    school.control("PATCH", "settings", consent="refuse")
    assert "В amoCRM не разрешили доступ." in school.read("/oauth/start", "ru")
    school.control("PATCH", "settings", consent="auto")
    said = school.read("/oauth/start")
    assert "amoCRM is connected" in said and stands[1] not in said
    school.until(event, "delivered")


def test_a_deal_that_was_lost(school: School) -> None:
    deal = school.student("Дина", "dina@example.com")
    school.control("POST", f"deals/{deal}/move", status_id=defaults.LOST)
    number = school.until(school.lesson("dina@example.com", 1), "skipped")
    for language, text in (("ru", "сделка закрыта"), ("en", "the deal is closed")):
        said = school.says("/outbox/students/journey?email=dina@example.com", text, language=language)
        assert "still ahead" not in said and "ещё впереди" not in said
    assert "The deal is closed." in school.read(f"/outbox/{number}")
    assert school.stage_of(deal) == defaults.LOST


def test_a_stage_that_was_deleted(school: School) -> None:
    people = [(f"Ученик {number}", f"pupil{number}@example.com") for number in range(6)]
    deals = [school.student(*person) for person in people]
    stages = f"pipelines/{defaults.PIPELINE_ID}/stages"
    school.control("DELETE", f"{stages}/{defaults.STAGE_LESSON_2}")
    events = [school.lesson(email, 2) for _name, email in people]
    stands = ("Этап «Урок 2 пройден» удалён из воронки", "The stage “Урок 2 пройден” is gone from the funnel")
    said = school.says("/outbox", stands[1], "Save and try one", "wait until it is mended")
    assert "by themselves after that" not in said and "for one cause" not in said
    number = school.until(events[0], "pending")
    reads(
        school,
        {
            "/outbox": stands,
            f"/outbox/{number}": stands,
            "/outbox/connections": stands,
            f"/outbox/students/journey?email={people[0][1]}": stands,
        },
    )
    checked(school, *stands)
    school.press("/outbox/connections/stages", **{"stage:2": str(defaults.STAGE_LESSON_3), "then_retry": "try"})
    school.says("/outbox", "went through", "Send the other 5")
    assert [school.stage_of(deal) for deal in deals].count(defaults.STAGE_LESSON_3) == 1
    school.press("/outbox/resume/amocrm")
    for event in events:
        school.until(event, "delivered")
    assert {school.stage_of(deal) for deal in deals} == {defaults.STAGE_LESSON_3}


def test_a_platform_with_a_wrong_key(school: School) -> None:
    for _time in range(3):
        assert school.web.call("POST", "/api/events", body={"name": "x"}, headers={"X-API-Key": "wrong"})[0] == 401
    for path in ("/outbox", "/outbox/connections"):
        school.says(path, "Платформа", language="ru")
        school.says(path, "a wrong key or none")


def test_an_event_that_cannot_be_read(school: School) -> None:
    address = f"{school.web.url}/webhooks/amocrm/{defaults.WEBHOOK_SECRET}"
    school.control("POST", "hooks/send", raw="leads[status][0]=x&&&%%%", destination=address)
    reads(
        school,
        {
            "/outbox": ("1 отправка не дошла.", "1 delivery did not arrive."),
            "/outbox/deliveries?state=dead": ("не", "could not be read"),
        },
    )


def test_a_worker_that_is_gone(school: School) -> None:
    school.student("Зоя", "zoya@example.com")
    school.worker.kill()
    event = school.lesson("zoya@example.com", 1)
    number = school.until(event, "pending")
    school.later(200)
    stands = ("Ничего не уходит: процесс отправки молчит", "Nothing is being sent: the sending process is silent")
    screens = ("/outbox", "/outbox/connections", f"/outbox/{number}")
    reads(school, dict.fromkeys(screens, stands))
    assert "Working" not in school.read("/outbox")
    school.worker = school.processes.worker(school.environ)
    school.until(event, "delivered")
    school.no_more_says("/outbox", stands[1])
