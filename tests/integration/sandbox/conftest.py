"""A sandbox with a clock that stands still, spoken to over plain HTTP."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from sandbox import ManualClock, Sandbox, defaults

PAIR = {"grant_type": "refresh_token", "refresh_token": defaults.REFRESH_TOKEN}


class Box:
    """A sandbox and a caller with a good access token."""

    def __init__(self, sandbox: Sandbox, clock: ManualClock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.session = requests.Session()
        self.token = sandbox.oauth.new_pair().access

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        options.setdefault("timeout", 10)
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.sandbox.url + path, headers=headers, **options)

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.call("GET", path, params=params)

    def patch(self, path: str, data: Any) -> requests.Response:
        return self.call("PATCH", path, json=data)

    def post(self, path: str, data: Any) -> requests.Response:
        return self.call("POST", path, json=data)

    def rows(self, path: str, name: str, **params: Any) -> list[dict[str, Any]]:
        response = self.get(path, **params)
        assert response.status_code == 200, response.text
        rows: list[dict[str, Any]] = response.json()["_embedded"][name]
        return rows

    def tokens(self, **changes: Any) -> requests.Response:
        """The token endpoint, by default with the first refresh token."""
        data = {
            "client_id": defaults.CLIENT_ID,
            "client_secret": defaults.CLIENT_SECRET,
            "redirect_uri": defaults.REDIRECT_URI,
            **PAIR,
            **changes,
        }
        return self.post("/oauth2/access_token", {name: value for name, value in data.items() if value is not None})

    def erp(self, action: str, form: bool = False, **parameters: Any) -> requests.Response:
        data = {
            "key": defaults.ERP_KEY,
            "username": defaults.ERP_USERNAME,
            "password": defaults.ERP_PASSWORD,
            "action": action,
            **parameters,
        }
        data = {name: value for name, value in data.items() if value is not None}
        return self.session.post(
            self.sandbox.erp_url, data=data if form else None, json=None if form else data, timeout=10
        )

    def insert(self, **items: Any) -> requests.Response:
        return self.erp("insert", entity_id=70, items=items)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self.session.request(method, f"{self.sandbox.url}/_sandbox/{path}", json=body, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()

    def close(self) -> None:
        self.session.close()


@pytest.fixture
def make_box() -> Iterator[Callable[..., Box]]:
    """make_box(**knobs); the pace is off unless asked for, since the clock stands still."""
    boxes: list[Box] = []

    def make(**knobs: Any) -> Box:
        clock = ManualClock()
        sandbox = Sandbox(clock=clock, **{"limit_on": False, **knobs}).start()
        boxes.append(Box(sandbox, clock))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()
        box.sandbox.close()


@pytest.fixture
def box(make_box: Callable[..., Box]) -> Box:
    return make_box()
