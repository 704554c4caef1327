"""`flask sandbox`: an amoCRM and an ERP to practise on, alone, for any client."""

from __future__ import annotations

import click

from service.commands.terminal import N_, Helpful


@click.command(
    "sandbox",
    cls=Helpful,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    help=N_("Play amoCRM and the ERP until stopped; takes what `python -m sandbox --help` tells."),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def sandbox(context: click.Context, arguments: tuple[str, ...]) -> None:
    # Here, so that a service without the sandbox's folder still has its other commands.
    from sandbox.__main__ import main

    main(list(arguments), context.command_path)
