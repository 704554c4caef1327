"""`flask check`: what works, and the mend for what does not."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from flask.cli import with_appcontext
from flask_babel import gettext as _
from flask_babel import ngettext

from service import checks
from service.commands.terminal import N_, Command, fail, say
from service.current import current

SIGNS = {checks.OK: "ok", checks.NOTE: "--", checks.FAULT: "!!"}


@click.command(
    "check",
    cls=Command,
    help=N_("Say what works and what does not, with the mend. Exit code 1 if anything has to be mended."),
)
@click.option("--email", default="", help=N_("Also look for the deal of this student."))
@click.option("--json", "as_json", is_flag=True, help=N_("For programs: each setting too that is left at its default."))
@with_appcontext
def check(email: str, as_json: bool) -> None:
    found = checks.run(current(), email.strip(), every=as_json)
    if as_json:
        rows = [asdict(one) for one in found]
        faults = sum(row["state"] == checks.FAULT for row in rows)
        click.echo(json.dumps({"ok": not faults, "faults": faults, "checks": rows}, ensure_ascii=False, indent=2))
        sys.exit(1 if faults else 0)
    faults = 0
    for one in found:
        source = f"  [{one.source}]" if one.source and one.source != _("default") else ""
        say(f"{SIGNS[one.state]}  {one.name}: {one.words}{source}")
        if one.mend:
            say(f"      {one.mend}")
        faults += one.state == checks.FAULT
    if faults:
        fail(ngettext("%(num)s fault has to be mended.", "%(num)s faults have to be mended.", faults))
    say(_("All is well."))
