"""A fake amoCRM account and Rukovoditel ERP to try everything against without accounts."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from sandbox import certificates
from sandbox.amocrm.account import Account
from sandbox.amocrm.hooks import Hooks
from sandbox.amocrm.oauth import OAuth
from sandbox.clock import Clock, ManualClock
from sandbox.defaults import SETTINGS
from sandbox.erp.tables import Tables
from sandbox.faults import Faults
from sandbox.log import RequestLog
from sandbox.server import Server
from sandbox.settings import Settings
from sandbox.world import World

__all__ = ["SETTINGS", "Clock", "ManualClock", "Sandbox"]


class Sandbox:
    """A running sandbox: `with Sandbox() as s: requests.get(s.url)`.

    `port` 0 takes a free one. `port_erp` opens a second door to the same world, so that the ERP has an address of its
    own. The control API answers only under loopback names, `host` and `control_hosts`. With
    `tls_folder` each port speaks HTTPS too, and is a proxy for amoCRM's names; clients trust its `ca.pem`. Any knob may
    be given by name, as in `Sandbox(rotation="lenient")`; raises ValueError for an unknown one.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        port_erp: int | None = None,
        state_file: str | Path | None = None,
        clock: Clock | None = None,
        control_hosts: Iterable[str] = (),
        tls_folder: str | Path | None = None,
        **knobs: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.world = World(self.clock, Path(state_file) if state_file else None, **knobs)
        tls = certificates.context(Path(tls_folder)) if tls_folder else None
        self._servers = [Server(self.world, host, port, tls)]
        if port_erp is not None:
            self._servers.append(Server(self.world, host, port_erp, tls))
        self.url = f"http://{host}:{self._servers[0].port}"
        self.erp_url = f"http://{host}:{self._servers[-1].port}/api/rest.php"
        self.world.base = self.url
        self.world.own_hosts |= {host, *control_hosts} - {"0.0.0.0", "::"}
        self.world.oauth.api_domain = self.world.netloc

    def start(self) -> "Sandbox":
        for server in self._servers:
            server.start()
        return self

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self.world.close()

    def __enter__(self) -> "Sandbox":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """The same as `url`, by the name that SETTINGS uses."""
        return self.url

    @property
    def env(self) -> dict[str, str]:
        """Dealpost's settings for this sandbox."""
        return {**SETTINGS(self.url, self.settings.redirect_uri), "CRM_API_URL": self.erp_url}

    @property
    def amocrm(self) -> Account:
        return self.world.account

    @property
    def erp(self) -> Tables:
        return self.world.erp

    @property
    def log(self) -> RequestLog:
        return self.world.log

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @property
    def hooks(self) -> Hooks:
        return self.world.hooks

    @property
    def oauth(self) -> OAuth:
        return self.world.oauth

    @property
    def settings(self) -> Settings:
        return self.world.settings

    def set(self, **knobs: Any) -> None:
        """Turns knobs while it runs."""
        self.world.set_knobs(knobs)

    def seed(self, **amounts: Any) -> dict[str, Any]:
        return self.world.seed(**amounts)

    def reset(self) -> None:
        self.world.reset()
