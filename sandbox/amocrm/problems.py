"""amoCRM's ways of saying no."""

from typing import TYPE_CHECKING, Any

from sandbox.wire import REASONS, Response, as_json

if TYPE_CHECKING:
    from sandbox.world import World

HAL = "application/hal+json"
PROBLEM = "application/problem+json"
NOTHING = Response(204)


class Refused(Exception):
    """Ends a request with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def hal(data: Any, status: int = 200) -> Response:
    return as_json(data, status, HAL)


def problem(status: int, detail: str, **more: Any) -> Response:
    data = {
        "title": REASONS.get(status, "Error"),
        "type": f"https://httpstatuses.com/{status}",
        "status": status,
        "detail": detail,
    }
    return as_json({**data, **more}, status, PROBLEM)


def hint(status: int, text: str, detail: str = "") -> Response:
    """An error of the token endpoint: problem JSON with `hint`, without RFC 6749's `error`."""
    return problem(status, detail or text, hint=text)


def not_found(world: "World") -> Response:
    """To a question for one id: both answers have been seen."""
    return NOTHING if world.settings.not_found_status == 204 else problem(404, "Entity not found")


def unauthorized() -> Response:
    return problem(401, "Неверный логин или пароль")


def no_rights() -> Response:
    return problem(403, "Недостаточно прав")
