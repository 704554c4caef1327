"""The knobs of the sandbox, each with its default, settable while it runs."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from sandbox import defaults

CHOICES: dict[str, tuple[Any, ...]] = {
    "flavour": ("amocrm", "kommo"),
    "rotation": ("strict", "lenient"),
    "consent": ("ask", "auto", "refuse"),
    "deleted_deals": ("hidden", "shown"),
    "error_shape": ("validation", "errors", "detail"),
    "deleted_rows": ("nulls", "whole"),
    "not_found_status": (204, 404),
    "echoed_rows": ("refused", "accepted"),
    "unpaid": ("no", "writes", "all"),
    "erp_may_view": ("yes", "none", "no"),
    "erp_configuration": ("text", "object"),
    "hook_agent": ("1.0", "2.0"),
    "hook_second_post": ("replace", "merge"),
    "hook_account_block": ("full", "subdomain", "none"),
}


@dataclass
class Settings:
    """What each knob does is told in docs/sandbox.md."""

    flavour: str = "amocrm"
    subdomain: str = defaults.SUBDOMAIN
    redirect_uri: str = defaults.REDIRECT_URI
    rotation: str = "strict"
    consent: str = "ask"
    consent_from_widget: bool = False
    consent_referer: str = ""
    access_seconds: int = 86_400
    refresh_seconds: int = 92 * 86_400
    code_seconds: int = 1_200
    moved_to: str = ""
    moved_status: int = 401
    admin: bool = True
    unpaid: str = "no"

    limit_on: bool = True
    limit_rps: int = 7
    limit_retry_after: int = 1
    limit_html: bool = False
    block_after: int = 30
    block_window: int = 60

    filters_enabled: bool = True
    minor_units: bool = True
    price_wraps: bool = False
    deleted_deals: str = "hidden"
    deleted_rows: str = "nulls"
    not_found_status: int = 204
    read_lag_seconds: float = 0.0
    echoed_rows: str = "refused"
    error_shape: str = "validation"
    refused_batch_applies: bool = False

    latency_ms: float = 0.0
    erp_latency_ms: float = 0.0
    clock_offset: float = 0.0
    date_offset: float = 0.0

    hooks_on: bool = True
    hook_doubled: float = 1.0
    hook_duplicates: float = 0.0
    hook_shuffle: float = 0.0
    hook_time_skew: int = 0
    hook_time_shift: int = 0
    hook_update_stage: bool = False
    hook_agent: str = "1.0"
    hook_timeout: float = 2.0
    hook_second_post: str = "replace"
    hook_account_block: str = "full"
    time_scale: float = 1.0

    erp_display_errors: bool = False
    erp_old_version: bool = False
    erp_database_down: bool = False
    erp_may_create: bool = True
    erp_may_view: str = "yes"
    erp_configuration: str = "text"
    erp_race_ms: float = 0.0
    erp_utc_offset: int = 3

    random_seed: int = 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def update(self, changes: dict[str, Any]) -> None:
        """Sets the named knobs, all or none; raises ValueError naming the first that is unknown or of a wrong kind."""
        known = {knob.name: knob.type for knob in fields(self)}
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"no such setting: {name}")
            kind = type(getattr(self, name))
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if type(value) is not kind:
                raise ValueError(f"{name} must be {kind.__name__}, not {type(value).__name__}")
            if name in CHOICES and value not in CHOICES[name]:
                raise ValueError(f"{name} must be one of {', '.join(map(str, CHOICES[name]))}")
            if name == "time_scale" and value <= 0:
                raise ValueError("time_scale must be above 0")
            checked[name] = value
        for name, value in checked.items():
            setattr(self, name, value)
