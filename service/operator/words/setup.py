"""The steps of the set-up in words: what each is called, and in a sentence how it stands."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import pgettext

from service.causes import CAUSES, N_
from service.check_results import SAID as CHECKED
from service.operator.words.causes import cause_means, cause_title, cause_todo, fill
from service.operator.words.numbers import ngettext
from service.operator.words.states import sentence
from service.operator.words.times import ago_words
from service.setup.steps import Step, StepState

SAID = {
    "runs": N_("The store is on disk, accepting and sending work. Nothing that was accepted gets lost."),
    "account_lacks": N_("First the school's developer makes an integration in amoCRM and sets: %(missing)s."),
    "account_open": N_(
        "amoCRM's page opens. Choose the school's account and press “Allow”, nothing else has to be typed. It needs an"
        " administrator's rights."
    ),
    "account_lost": N_("amoCRM has taken its access back. Connect again: what waits is not lost by it."),
    "account_connected": N_("The account “%(account)s” is connected."),
    "after_account": N_("This comes after amoCRM is connected."),
    "after_funnel": N_("This comes after the funnel is chosen."),
    "after_stages": N_("This comes after the stages are chosen."),
    "funnels_unread": N_("amoCRM was not asked yet which funnels and stages it has."),
    "funnel_open": N_("Lessons move deals of one funnel only. Which one?"),
    "funnel_set": N_("Deals of “%(funnel)s” are moved: set by AMOCRM_PIPELINE_ID."),
    "funnel_chosen": N_("Deals of “%(funnel)s” are moved: chosen here by %(who)s."),
    "funnel_gone_setting": N_(
        "amoCRM has no funnel %(id)s, which AMOCRM_PIPELINE_ID names. The school's developer corrects it, or empties"
        " it: then it is chosen here."
    ),
    "funnel_gone": N_("The funnel “%(funnel)s” is no longer in amoCRM. Choose another one."),
    "funnel_archived": N_(
        "The funnel “%(funnel)s” is in amoCRM's archive and takes no moves. Bring it back, or choose another one."
    ),
    "no_lessons": N_("No lessons are set up yet: the school's developer sets LESSON_MAP."),
    "stages_open": N_("No stage is chosen for lesson %(lessons)s: it moves nothing so far."),
    "stages_gone": N_("The stage for lesson %(lessons)s is no longer in amoCRM. Choose another one."),
    "stages_ambiguous": N_(
        "Several stages bear the name that is set for lesson %(lessons)s. Choose the one that is meant."
    ),
    "stages_set": N_("Each lesson has its stage."),
    "hook_no_erp": N_("Not needed: changes of stage become records in an ERP, and there is none."),
    "hook_no_secret": N_(
        "amoCRM cannot tell of changes of stage, so they make no records: the school's developer sets WEBHOOK_SECRET."
    ),
    "hook_no_address": N_("amoCRM does not know our address: the school's developer sets PUBLIC_URL."),
    "hook_open": N_("Once amoCRM tells of changes of stage, they become records. One button registers that there."),
    "hook_off": N_("amoCRM has switched the webhook off: it tells of nothing. Subscribe it again."),
    "hook_unknown": N_("The webhook is not registered in amoCRM: it tells of nothing. Subscribe it."),
    "hook_unheard": N_("Registered, but nothing has come yet. Move a deal in amoCRM to try it."),
    "hook_heard": N_("amoCRM tells of changes, last %(heard)s."),
    "erp_unused": N_("Not needed while there is no ERP. If there is one, the school's developer sets: %(missing)s."),
    "erp_half": N_("It is set up by half. The school's developer sets: %(missing)s."),
    "erp_unchecked": N_(
        "The settings are there. One button tries the login, the table, its fields and the key; it changes nothing."
    ),
    "erp_well": N_("The login works, the table has its fields, and the key is unique. Tried %(checked)s."),
    "trial_open": N_(
        "Choose somebody in amoCRM and a lesson: you see which deal would move where, and only then it is sent."
    ),
    "trial_goes": N_("The trial lesson is on its way. Here you see how it goes."),
    "trial_arrived": N_("The trial lesson has arrived."),
    "trial_real": N_("A lesson of the platform has arrived."),
    "trial_skipped": N_("The trial lesson moved nothing. Try another student, or another lesson."),
    "trial_lost": N_("The trial lesson did not arrive."),
    "alert_nobody": N_("Nobody is told when something stops: the school's developer sets ALERT_URLS."),
    "alert_practice": N_("Not needed in practice: alerts stand in the log."),
    "alert_open": N_("Whoever has to know when something stops gets a message. Try whether it arrives."),
    "alert_heard": N_("The messenger took the test alert %(at)s. Look whether it has arrived."),
    "alert_unheard": N_("The test alert reached nobody %(at)s: the school's developer corrects ALERT_URLS."),
    "without": N_("Not needed, says %(who)s."),
}

MOMENTS = ("heard", "checked", "at")
"""Params that are times."""


def step_title(one: Step) -> str:
    return {
        "service": _("The service runs"),
        "account": pgettext("step", "Connect amoCRM"),
        "funnel": _("Choose the funnel"),
        "stages": _("Choose a stage for each lesson"),
        "webhook": _("Let amoCRM tell of changes"),
        "erp": _("Connect the ERP, if there is one"),
        "trial": pgettext("step", "Send a trial lesson"),
        "alert": pgettext("step", "Send a test alert"),
    }[one.name]


def step_words(one: Step, now: float) -> str:
    """How it stands, and what to do."""
    params: dict[str, Any] = dict(one.params)
    params.update({name: ago_words(params[name], now) for name in MOMENTS if name in params})
    if one.said == "erp_wanted":
        return ngettext(
            "%(num)s record waits for it. The school's developer sets: %(missing)s.",
            "%(num)s records wait for it. The school's developer sets: %(missing)s.",
            params["count"],
            missing=params["missing"],
        )
    if one.said in SAID:
        return fill(SAID[one.said], params)
    if one.said in CHECKED:
        words, mend = (fill(text, params) for text in CHECKED[one.said])
        return f"{sentence(words[:1].upper() + words[1:])} {mend}"
    told = (cause_title(one.said, params), cause_todo(one.said, params) or cause_means(one.said, params))
    return " ".join(sentence(part) for part in told if part)


def step_state(one: Step) -> tuple[str, str, str]:
    """(icon, tone, words), as states.chip."""
    if one.state is StepState.DONE:
        return "tick", "ok", _("Done")
    if one.state is StepState.UNNEEDED:
        return "minus", "quiet", pgettext("step", "Not needed")
    if one.state is StepState.WAITS:
        return "clock", "quiet", _("Later")
    return ("alert", "bad", _("Needs you")) if one.fault else ("play", "blue", _("Now"))


def known_codes() -> set[str]:
    """Every code that has its sentence."""
    return {*SAID, *CHECKED, *CAUSES, "erp_wanted"}
