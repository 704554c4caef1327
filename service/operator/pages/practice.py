"""The practice panel: a manager plays each trouble on the sandbox, and sees what the page says of it. 404 elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from flask import abort, flash, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from outbox.outcome import DeliveryError
from service.current import current
from service.operator import words
from service.operator.pages import overview, practice_deeds
from service.operator.pages.blueprint import back_to, bp, may_change, show
from service.operator.pages.headline import Headline
from service.operator.turns import waits_for_others
from service.sandbox_control import Play, SandboxControl, SandboxSilent


@dataclass(frozen=True)
class Deed:
    """One button. state: (icon, tone, words) of what is played now. sees: what will be seen. link: a page that mends
    it, in place of a deed."""

    name: str
    title: str
    state: tuple[str, str, str]
    sees: str
    button: str
    link: str = ""


@bp.get("/practice")
@waits_for_others
def practice() -> Response:
    control, dealpost = _control(), current()
    fault, deeds = "", []
    try:
        deeds = _deeds(control.play())
    except SandboxSilent:
        fault = _("The sandbox does not answer. Start practice anew with `make run`.")
    return show(
        "practice.html", "pages.connections", live=True, headline=_headline(), deeds=deeds, fault=fault,
        said=overview.sentence(dealpost),
    )  # fmt: skip


@bp.post("/practice/<deed>")
@waits_for_others
def play(deed: str) -> Response:
    """Do it, and say what can be seen of it where."""
    control, dealpost = _control(), current()
    does = practice_deeds.DOES.get(deed)
    if does is None:
        abort(404)
    try:
        flash(does(dealpost, control), "ok")
    except SandboxSilent:
        flash(_("The sandbox does not answer. Start practice anew with `make run`."), "warn")
    except DeliveryError as error:
        flash(_("It could not be done: %(cause)s.", cause=words.cause_title(error.cause, error.params)), "warn")
    return back_to("pages.practice")


def _control() -> SandboxControl:
    """Nobody outside practice, and nobody who may only look, gets further."""
    control = current().wiring.sandbox if current().settings.sandbox else None
    if control is None:
        abort(404)
    if not may_change():
        abort(403)
    return control


def _headline() -> Headline:
    head, then = _("Practice: play each trouble and see what the page says."), _("Nothing real changes.")
    return Headline("blue", "info", head, then, "", "practice")


def _deeds(now: Play) -> list[Deed]:
    fine = ("tick", "ok", _("In order"))

    def bad(said: str) -> tuple[str, str, str]:
        return "alert", "bad", said

    found = [
        Deed(
            "lesson", _("A student finishes a lesson"), ("play", "quiet", ""),
            _("The platform tells of it, and seconds later the deal stands on the lesson's stage."),
            _("Finish a lesson"),
        ),
        Deed(
            "move", _("A manager moves a deal in amoCRM"), ("play", "quiet", ""),
            _("The webhook tells of it, and a record is made in the ERP."), _("Move a deal"),
        ),
        Deed(
            "stranger", _("A student whom amoCRM does not know finishes a lesson"), ("play", "quiet", ""),
            _("The delivery says “not found”, when it is tried again, and lets you correct the address."),
            _("Finish a stranger's lesson"),
        ),
    ]  # fmt: skip
    if now.silent:
        found.append(Deed(
            "answer", _("amoCRM is silent"), bad(_("Silent")),
            _(
                "The next try goes through, and all that waits goes out. Press “Resume” under Connections to shorten"
                " the wait."
            ),
            _("amoCRM answers again"),
        ))  # fmt: skip
    else:
        found.append(Deed(
            "silence", _("amoCRM falls silent"), fine,
            _(
                "Two lessons are finished meanwhile. When both have failed, amoCRM rests: “passes by itself”, with a"
                " countdown."
            ),
            _("amoCRM falls silent"),
        ))  # fmt: skip
    if now.stage:
        found.append(Deed(
            "restore", _("A stage is deleted"), bad(_("“%(stage)s” is gone", stage=now.stage)),
            _("The lesson can be sent again: open the overview and press “Send”."), _("Bring the stage back"),
        ))  # fmt: skip
    else:
        found.append(Deed(
            "delete", _("Somebody deletes a stage"), fine,
            _("A lesson that leads there does not arrive. The overview names the stage and lets you choose another."),
            _("Delete a stage"),
        ))  # fmt: skip
    if now.withdrawn:
        found.append(Deed(
            "", _("The access is withdrawn"), bad(_("Withdrawn")),
            _("amoCRM's page asks whether Dealpost may work with the account. What waits goes out after that."),
            _("Give access again"), url_for("connect.start"),
        ))  # fmt: skip
    else:
        found.append(Deed(
            "withdraw", _("Somebody withdraws the access in amoCRM"), fine,
            _("A lesson is finished meanwhile. The page asks to connect again, and everything waits."),
            _("Withdraw the access"),
        ))  # fmt: skip
    if now.unpaid:
        found.append(Deed(
            "pay", _("The account is not paid"), bad(_("Not paid")),
            _("Press “Try one” on the overview: when one goes through, the others follow."), _("Pay for amoCRM"),
        ))  # fmt: skip
    else:
        found.append(Deed(
            "unpaid", _("amoCRM's paid time ends"), fine,
            _("A lesson is finished meanwhile. The page says who has to pay, and that everything waits."),
            _("Let the paid time end"),
        ))  # fmt: skip
    if now.refuses:
        found.append(Deed(
            "take", _("The ERP refuses our key"), bad(_("Refuses")),
            _("Press “Try one” on the overview: when one goes through, the others follow."),
            _("The ERP takes records again"),
        ))  # fmt: skip
    else:
        found.append(Deed(
            "refuse", _("The ERP refuses our key"), fine,
            _("A deal is moved meanwhile. The page says that records wait, and who mends it."),
            _("Let the ERP refuse"),
        ))  # fmt: skip
    if now.hook:
        found.append(Deed(
            "hook-off", _("amoCRM switches the webhook off"), fine,
            _("The page says that amoCRM tells of nothing, and has the button that mends it."),
            _("Switch the webhook off"),
        ))  # fmt: skip
    else:
        found.append(Deed(
            "hook-on", _("The webhook is off"), bad(_("Off")),
            _("amoCRM tells of changes of stage again."), _("Switch the webhook on"),
        ))  # fmt: skip
    return found
