"""Connects Chalice's routes to the views of this package."""

from collections.abc import Callable
from typing import cast

from chalice.app import Chalice, Request, Response

from chalicelib.http.browsers import with_security_headers
from chalicelib.http.call import Service, not_allowed, serve

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Routes:
    """Serves the views of a Chalice application. ``service`` returns what they need."""

    def __init__(self, app: Chalice, service: Callable[[], Service]) -> None:
        self._app = app
        self.service = service

    def serve(self, view: Callable[..., Response], *parameters: str) -> Response:
        """Return a view's response to the current request and its path parameters."""
        return with_security_headers(serve(_request(self._app), self.service, view, *parameters))

    def refuse_other_methods(self) -> None:
        """Respond with 405 to methods that a path does not have; API Gateway alone would say 403."""
        for path, taken in self._app.routes.items():
            others = [method for method in METHODS if method not in taken]
            self._app.route(path, methods=others, content_types=[], name="other_methods")(
                _refuser(self._app, list(taken))
            )


def _request(app: Chalice) -> Request:
    return cast("Request", app.current_request)  # there is one while a view runs


def _refuser(app: Chalice, taken: list[str]) -> Callable[..., Response]:
    def other_methods(**_parameters: str) -> Response:
        return with_security_headers(not_allowed(_request(app), taken))

    return other_methods
