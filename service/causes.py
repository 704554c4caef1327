"""The causes of failures and pauses: their codes, and what a person should know of each, in words to translate.

A cause is what groups failures on the page. Destinations name one by its code; the operator's pages turn the code and
its params into a title, what it means, who mends it and what to do. Pure; English here, Russian in the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass


def N_(text: str) -> str:
    """Mark a text for the catalogue; it is translated where it is shown."""
    return text


@dataclass(frozen=True)
class Cause:
    """Texts may hold %(name)s places that are filled from an attempt's params."""

    title: str  # what happened, a sentence with an actor
    means: str  # what that means for deals and students, and what happens by itself
    who: str  # who mends it
    todo: str  # what to do; "" where nothing is to be done


NOBODY = N_("nobody, it passes by itself")
MANAGER = N_("a manager")
ADMIN = N_("an administrator of amoCRM")
DEVELOPER = N_("the school's developer")
ERP_ADMIN = N_("an administrator of the ERP")
SUPPORT = N_("amoCRM's support")
MANAGER_OR_ADMIN = N_("a manager or an administrator of amoCRM")
OWNER = N_("the owner of the amoCRM account")
HOST = N_("the school's developer or the host")

CAUSES: dict[str, Cause] = {
    # --- amoCRM, one row
    "contact_not_found": Cause(
        N_("No student with this e-mail in amoCRM"),
        N_("We look again until the schedule ends, since sales staff may create the contact later."),
        MANAGER,
        N_("Create the contact with this e-mail, or correct the e-mail, then send again."),
    ),
    "deal_not_found": Cause(
        N_("The student has no deal in the funnel"),
        N_("The contact is there, but has no deal in the configured funnel. We look again until the schedule ends."),
        MANAGER,
        N_("Create a deal for the student in the funnel, then send again."),
    ),
    "deal_missing": Cause(
        N_("amoCRM does not find the student's deal just now"),
        N_(
            "One answer proves nothing. We look again, also for another deal of the student; if the deal stays gone "
            "for minutes, the delivery ends as skipped."
        ),
        NOBODY,
        "",
    ),
    "deal_refused": Cause(
        N_("amoCRM refused to change the deal"),
        N_("The deal stays where it is. amoCRM's own words: %(detail)s"),
        MANAGER,
        N_("Open the deal in amoCRM, mend what it names, then send again."),
    ),
    "stage_deleted": Cause(
        N_("The stage for lesson %(lesson)s is gone from the funnel"),
        N_("The deals cannot be moved: this stage is no longer in amoCRM. They stay where they are."),
        MANAGER_OR_ADMIN,
        N_("Choose another stage or bring this one back, then send again."),
    ),
    # --- amoCRM, the whole destination
    "amocrm_slow_down": Cause(
        N_("amoCRM asks to slow down"),
        N_(
            "The account has too many requests, other integrations' included. We wait as long as it asks, then go"
            " on more slowly."
        ),
        NOBODY,
        "",
    ),
    "amocrm_down": Cause(
        N_("amoCRM does not answer"),
        N_("We try again by ourselves; nothing is lost and nothing needs to be done."),
        NOBODY,
        "",
    ),
    "amocrm_unreadable": Cause(
        N_("amoCRM answers with something unreadable"),
        N_("Usually a short fault on amoCRM's side. We try again by ourselves."),
        NOBODY,
        "",
    ),
    "amocrm_moved": Cause(
        N_("amoCRM has no account at %(host)s"),
        N_(
            "It answers “not found” to every question: the account was renamed or is being moved. All deliveries wait; "
            "we ask again by ourselves."
        ),
        ADMIN,
        N_("If the account was renamed, set AMOCRM_SUBDOMAIN to its present name."),
    ),
    "amocrm_unpaid": Cause(
        N_("The amoCRM account is not paid"),
        N_("amoCRM takes no changes until it is paid. All deliveries wait and go out by themselves after that."),
        OWNER,
        N_("Pay for the account."),
    ),
    "amocrm_forbidden": Cause(
        N_("amoCRM blocked the integration"),
        N_("amoCRM refuses all our requests. All deliveries wait; we ask again once an hour, then more seldom."),
        SUPPORT,
        N_(
            "Write to amoCRM's support. A ready text: account %(account)s, our address %(address)s, since "
            "%(since)s: requests of the integration are answered with 403. Please lift the block."
        ),
    ),
    "amocrm_ip_refused": Cause(
        N_("The amoCRM account does not allow our address"),
        N_("The account lets in only the IP addresses on its list. All deliveries wait and go out by themselves."),
        ADMIN,
        N_("Add the address of Dealpost's server to the list in amoCRM's security settings. Its words: %(detail)s"),
    ),
    "amocrm_user_off": Cause(
        N_("The user who connected was switched off in amoCRM"),
        N_("amoCRM refuses all that is asked in this user's name. All deliveries wait and go out by themselves."),
        ADMIN,
        N_("Switch the user on again, or connect as another one. Its words: %(detail)s"),
    ),
    "amocrm_captcha": Cause(
        N_("amoCRM wants a person to sign in"),
        N_("After several failed sign-ins it shows a picture with a code, which only a person can read."),
        ADMIN,
        N_("Sign in to amoCRM as the user who connected. Its words: %(detail)s"),
    ),
    "webhooks_closed": Cause(
        N_("amoCRM does not let us look after its webhooks"),
        N_("The user who connected is no administrator, or the tariff lacks it. Deals and records are not concerned."),
        ADMIN,
        N_("Register the webhook by hand in amoCRM, or connect as an administrator."),
    ),
    "events_closed": Cause(
        N_("amoCRM's log of events is closed to us"),
        N_("What webhooks did not tell of cannot be caught up. Deals and records are not concerned."),
        ADMIN,
        N_("Give the user who connected the right, or look at the account's tariff."),
    ),
    "amocrm_rights": Cause(
        N_("amoCRM does not allow this change"),
        N_("The connection works, but the user who connected lacks the right for this deal."),
        ADMIN,
        N_("Give the user the right to change deals, then send again."),
    ),
    "amocrm_reconnect": Cause(
        N_("amoCRM has to be connected again"),
        N_("amoCRM no longer accepts our access. All deliveries wait and go out by themselves after connecting."),
        ADMIN,
        N_("Press Connect and allow access in amoCRM."),
    ),
    "amocrm_not_set_up": Cause(
        N_("amoCRM is not set up yet"),
        N_("Events are accepted and wait. They go out by themselves once amoCRM is connected."),
        DEVELOPER,
        N_("Missing: %(missing)s"),
    ),
    "amocrm_credentials": Cause(
        N_("amoCRM does not accept the integration's settings"),
        N_("No new access is given. All deliveries wait. amoCRM's words: %(detail)s"),
        DEVELOPER,
        N_("Compare client id, secret, redirect address and subdomain with the integration's page in amoCRM."),
    ),
    "stage_ambiguous": Cause(
        N_("Two stages bear the name that is set for lesson %(lesson)s"),
        N_("It cannot be told which one is meant: %(stages)s. The deals stay where they are."),
        DEVELOPER,
        N_("Choose the stage on the page, or set its id in place of the name."),
    ),
    "funnel_unset": Cause(
        N_("No funnel is chosen yet"),
        N_("Events are accepted and wait. They go out by themselves once it is known whose deals lessons move."),
        MANAGER_OR_ADMIN,
        N_("Choose the funnel on the page."),
    ),
    "pipeline_gone": Cause(
        N_("The configured funnel is not in amoCRM"),
        N_("No deal can be moved until the funnel is chosen anew."),
        DEVELOPER,
        N_("Set AMOCRM_PIPELINE_ID to a funnel that exists in amoCRM, or empty it and choose one on the page."),
    ),
    "pipeline_archived": Cause(
        N_("The funnel is in amoCRM's archive"),
        N_("An archived funnel takes no moves. All deliveries wait and go out by themselves."),
        MANAGER_OR_ADMIN,
        N_("Bring the funnel back from the archive, or choose another one (see `flask pipelines`)."),
    ),
    # --- ERP
    "erp_refused": Cause(
        N_("The ERP did not accept the record"),
        N_("The record was not made. The ERP's own words: %(detail)s"),
        MANAGER,
        N_("Correct the data or the ERP's field, then send again."),
    ),
    "erp_ambiguous": Cause(
        N_("It is not certain whether the ERP made the record"),
        N_("The answer did not come, and it cannot be told: %(detail)s. To guess could double the record."),
        MANAGER,
        N_("Look into the ERP: if the record is missing, send again; if it is there, choose not to send."),
    ),
    "erp_settings": Cause(
        N_("The ERP does not accept our key, user or fields"),
        N_(
            "All records wait. We ask again once an hour, and at once when the settings change. The ERP's own "
            "words: %(detail)s"
        ),
        DEVELOPER,
        N_("Correct what is wrong of %(settings)s; `flask check` looks at each."),
    ),
    "erp_moved": Cause(
        N_("The ERP's address leads elsewhere"),
        N_(
            "Not the ERP answers there, but a redirect. All records wait. We ask again once an hour, and at once when"
            " the settings change. It said: %(detail)s"
        ),
        DEVELOPER,
        N_("Correct CRM_API_URL: it has to be the address that answers by itself, https and host included."),
    ),
    "erp_down": Cause(
        N_("The ERP does not answer"),
        N_("We try again by ourselves; nothing is lost and nothing needs to be done."),
        NOBODY,
        "",
    ),
    "erp_unreadable": Cause(
        N_("The ERP answers with something unreadable"),
        N_(
            "We go on trying, but it may not pass by itself: an empty answer 500 usually means a wrong user, password"
            " or right. All records wait. What came: %(detail)s"
        ),
        ERP_ADMIN,
        N_("Look into the ERP: does it open, and may Dealpost's user make records? Then press “Try one”."),
    ),
    "erp_not_set_up": Cause(
        N_("The ERP is not set up yet"),
        N_("Events are accepted and wait. They go out by themselves once the ERP is connected."),
        DEVELOPER,
        N_("Missing: %(missing)s"),
    ),
    "deal_unseen": Cause(
        N_("amoCRM does not show the deal"),
        N_(
            "It may have been deleted, or amoCRM may be in trouble. We ask again a few times before it counts as gone;"
            " until then its changes wait."
        ),
        NOBODY,
        "",
    ),
    "change_unclear": Cause(
        N_("Two hooks of amoCRM may tell of the same change"),
        N_("We wait a few seconds for what the deal did in between, so that no record is made twice."),
        NOBODY,
        "",
    ),
    # --- ours
    "operator": Cause(
        N_("Paused by %(who)s"),
        N_("Deliveries wait until somebody resumes."),
        MANAGER,
        N_("Press Resume."),
    ),
    "same_cause": Cause(
        N_("Five deliveries running did not arrive"),
        N_("So that no more fail, all wait until the cause is mended. Those five will be sent again, too."),
        MANAGER,
        N_("Mend the cause, then press “Try one”."),
    ),
    "five_refused": Cause(
        N_("Five deliveries running were refused, not all for the same reason"),
        N_("So that no more are refused, all wait. Those five will be sent again, too. What was answered: %(details)s"),
        MANAGER,
        N_("Mend what each answer names, or choose not to send that delivery, then press “Try one”."),
    ),
    "not_set_up": Cause(
        N_("A connection is not set up yet"),
        N_("Events are accepted and wait. They go out by themselves once it is connected."),
        DEVELOPER,
        N_("Missing: %(missing)s"),
    ),
    "dead_other": Cause(
        N_("Deliveries did not arrive"),
        N_("We do not try by ourselves any more. Each says on its own page what happened."),
        MANAGER,
        N_("Look at each, then send it again or choose not to."),
    ),
    "lesson_unmapped": Cause(
        N_("No stage is chosen for lesson %(lessons)s"),
        N_("The lessons were accepted, but moved no deal: it is not known where to."),
        MANAGER_OR_ADMIN,
        N_("Choose a stage for the lesson, then send these again."),
    ),
    "lesson_mapped_since": Cause(
        N_("Finished lessons have moved no deal"),
        N_("No stage was chosen for lesson %(lessons)s when they came. Now there is one."),
        MANAGER,
        N_("Send them again, or choose not to send them."),
    ),
    "waits_long": Cause(
        N_("Some wait longer than people expect"),
        N_("They are being sent, more slowly than usual."),
        NOBODY,
        "",
    ),
    "store_full": Cause(
        N_("The server's disk is full"),
        N_(
            "New lessons are refused now and the platform has to send them again; those accepted before are safe."
            " %(free)s MB are left."
        ),
        HOST,
        N_("Make room on the disk. Accepting and sending go on by themselves after that."),
    ),
    "store_refuses": Cause(
        N_("The store takes no writes"),
        N_("New lessons are refused now and the platform has to send them again; those accepted before are safe."),
        HOST,
        N_("Look at the disk, its rights and the log: %(fault)s"),
    ),
    "disk_low": Cause(
        N_("The server's disk is almost full"),
        N_("%(free)s MB are left. When nothing is left, new lessons are refused."),
        HOST,
        N_("Make room on the disk."),
    ),
    "worker_never": Cause(
        N_("The sending process has not been started"),
        N_("Events are accepted and wait; nothing goes out."),
        DEVELOPER,
        N_("Start it: python scheduler.py"),
    ),
    "worker_silent": Cause(
        N_("Nothing is being sent: the sending process is silent"),
        N_("Silent for %(time)s. Events are accepted and wait; they go out by themselves once it runs again."),
        DEVELOPER,
        N_("Start it again: python scheduler.py"),
    ),
    "hook_off": Cause(
        N_("amoCRM has switched its webhook to Dealpost off"),
        N_("Changes of stage are fetched by themselves, but later, and some may be missed."),
        MANAGER_OR_ADMIN,
        N_("Press “Subscribe” beside the webhook on the page “Connections”."),
    ),
    "hook_unknown": Cause(
        N_("amoCRM has no webhook to Dealpost"),
        N_("Changes of stage are fetched by themselves, but later, and some may be missed."),
        MANAGER_OR_ADMIN,
        N_("Press “Subscribe” beside the webhook on the page “Connections”."),
    ),
    "source_silent": Cause(
        N_("Nothing comes any more: %(source)s"),
        N_("Usually something comes every %(usual)s."),
        DEVELOPER,
        N_("Look whether the sender still sends, and to the right address."),
    ),
    "job_failed": Cause(
        N_("A scheduled job failed: %(job)s"),
        N_("It is tried again by itself. Deliveries go on without it."),
        DEVELOPER,
        N_("Look into the log; if it fails again, send its lines to the makers of Dealpost."),
    ),
    "job_late": Cause(
        N_("A scheduled job has not run in time: %(job)s"),
        N_("Deliveries go on without it."),
        DEVELOPER,
        N_("Look into the log of the sending process, and start it again."),
    ),
    "token_keys_lost": Cause(
        N_("The stored access to amoCRM cannot be opened"),
        N_("TOKEN_KEYS has changed. All deliveries wait and go out by themselves once amoCRM is connected."),
        DEVELOPER,
        N_("Bring the old TOKEN_KEYS back, or press Connect."),
    ),
    "token_ends": Cause(
        N_("The access to amoCRM ends on %(ends)s"),
        N_("Until then everything goes out as usual; after that it waits."),
        ADMIN,
        N_("Press Connect before that, or give a new token."),
    ),
    "refused_events": Cause(
        N_("Events are refused at the door"),
        N_("Nothing of them is kept. The answer says why."),
        DEVELOPER,
        N_("Look at what the sender sends."),
    ),
    "refused_hooks": Cause(
        N_("amoCRM's webhooks are refused at the door"),
        N_("Nothing of them is kept. Changes of stage are fetched by themselves, but later."),
        MANAGER_OR_ADMIN,
        N_("Press “Subscribe” beside the webhook on the page “Connections”."),
    ),
    "worker_died": Cause(
        N_("The sending process stopped in the middle"),
        N_("The delivery was taken up again by itself."),
        NOBODY,
        "",
    ),
    "unreadable_hook": Cause(
        N_("A webhook of amoCRM could not be read"),
        N_("Its body is kept. Nothing was made of it."),
        DEVELOPER,
        N_("Look at the body; if it is one of amoCRM's, tell the makers of Dealpost."),
    ),
    "internal": Cause(
        N_("Dealpost itself stumbled"),
        N_("An error in our own code. The delivery is tried again on the schedule."),
        DEVELOPER,
        N_("Send the details below to the makers of Dealpost."),
    ),
}
