"""`flask check`: what works, and the mend for what does not."""

from __future__ import annotations

import click
from flask.cli import with_appcontext
from flask_babel import gettext as _
from flask_babel import ngettext

from service import checks
from service.commands.terminal import N_, Command, fail, say
from service.current import current


@click.command(
    "check",
    cls=Command,
    help=N_("Say what works and what does not, with the mend. Exit code 1 if anything has to be mended."),
)
@with_appcontext
def check() -> None:
    signs = {checks.OK: "ok", checks.NOTE: "--", checks.FAULT: "!!"}
    faults = 0
    for one in checks.run(current()):
        say(f"{signs[one.state]}  {one.name}: {one.words}")
        if one.mend:
            say(f"      {one.mend}")
        faults += one.state == checks.FAULT
    if faults:
        fail(ngettext("%(num)s fault has to be mended.", "%(num)s faults have to be mended.", faults))
    say(_("All is well."))
