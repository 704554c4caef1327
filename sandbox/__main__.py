"""`python -m sandbox` and `flask sandbox`: runs the sandbox until it is told to stop."""

import argparse
import signal

from sandbox import Sandbox

STOPS = {signal.SIGTERM, signal.SIGINT}


def main(arguments: list[str] | None = None, name: str = "python -m sandbox") -> None:
    """Raises SystemExit with a reason when it cannot listen."""
    parser = argparse.ArgumentParser(prog=name, description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8099, help="0 takes a free one")
    parser.add_argument("--port-erp", type=int, help="a second port, for the ERP")
    parser.add_argument(
        "--control-host", action="append", default=[], help="another name under which /_sandbox/ answers; repeatable"
    )
    parser.add_argument("--tls", metavar="FOLDER", help="speak HTTPS too, by certificates kept or made there")
    parser.add_argument("--state-file", help="keeps tokens, deals and records over a restart")
    parser.add_argument("--redirect-uri", help="where the consent page sends the browser back to")
    rotation = parser.add_mutually_exclusive_group()
    rotation.add_argument("--strict-rotation", dest="rotation", action="store_const", const="strict")
    rotation.add_argument("--lenient-rotation", dest="rotation", action="store_const", const="lenient")
    options = parser.parse_args(arguments)
    knobs = {name: getattr(options, name) for name in ("rotation", "redirect_uri") if getattr(options, name)}
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # before there are threads: they are waited for by name
    try:
        sandbox = Sandbox(
            options.host,
            options.port,
            options.port_erp,
            options.state_file,
            control_hosts=options.control_host,
            tls_folder=options.tls,
            **knobs,
        )
    except OSError as error:
        raise SystemExit(f"sandbox: cannot listen on {options.host}:{options.port}: {error}") from error
    with sandbox:
        print(f"sandbox listening on {sandbox.url}", flush=True)
        signal.sigwait(STOPS)


if __name__ == "__main__":
    main()
