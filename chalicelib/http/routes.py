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
        """Return a view's response to the current request and its path parameters; to HEAD, its headers."""
        request = _request(self._app)
        return _finish(request, serve(request, self.service, view, *parameters))

    def add_other_methods(self) -> None:
        """Serve HEAD wherever there is GET, and respond with 405 to methods that a path does not have.

        API Gateway alone would respond to both with 403.
        """
        for path, views in self._app.routes.items():
            taken = [*views, *(["HEAD"] if "GET" in views else [])]
            if "GET" in views:
                self._add(path, ["HEAD"], views["GET"].view_function)
            self._add(path, [it for it in METHODS if it not in taken], _refuser(self._app, taken))

    def _add(self, path: str, methods: list[str], view: Callable[..., Response]) -> None:
        self._app.route(path, methods=methods, content_types=[], name="other_methods")(view)


def _finish(request: Request, response: Response) -> Response:
    """Return a response with the security headers, and to HEAD without its body (RFC 9110, 9.3.2).

    What length the body would have is not told, because API Gateway takes it from the body.
    """
    if request.method == "HEAD":
        response.body = ""
    return with_security_headers(response)


def _request(app: Chalice) -> Request:
    return cast("Request", app.current_request)  # there is one while a view runs


def _refuser(app: Chalice, taken: list[str]) -> Callable[..., Response]:
    def other_methods(**_parameters: str) -> Response:
        request = _request(app)
        return _finish(request, not_allowed(request, taken))

    return other_methods
