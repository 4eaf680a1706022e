"""The map of Service Users: every route, function and schedule.

Calls are in the order of the API reference, and a view's docstring is the call's summary there. Each call
is translated by ``chalicelib.http``, decided by ``chalicelib.rules`` and stored by ``chalicelib.store``. The
other functions import what only they need when they are called, which keeps the API's cold start short.
"""

import gc
import os
from typing import Any

gc.disable()  # What is imported stays: collecting in between finds nothing, and slows a cold start.

from chalice.app import Response

from chalicelib.functions.settings import service
from chalicelib.http import account, keys, service_users, system, users
from chalicelib.http.http_api import Application
from chalicelib.http.routes import Routes

app = Application(app_name="service-users")
api = Routes(app, service)

if "DIRECTORY_TABLE" in os.environ:
    service()  # Create the client while Lambda starts the environment, not in the first call.


# Service Users


@app.route("/v1/service-users", methods=["POST"], content_types=[])
def create_service_user() -> Response:
    """Create a Service User with its keys."""
    return api.serve(service_users.create)


@app.route("/v1/service-users", methods=["GET"], content_types=[])
def list_service_users() -> Response:
    """List the account's Service Users."""
    return api.serve(service_users.listing)


@app.route("/v1/service-users/{username}", methods=["GET"], content_types=[])
def read_service_user(username: str) -> Response:
    """Read a Service User."""
    return api.serve(service_users.read, username)


@app.route("/v1/service-users/{username}", methods=["PUT"], content_types=[])
def update_service_user(username: str) -> Response:
    """Change a Service User's display name, description, labels, role or Administrators."""
    return api.serve(service_users.update, username)


@app.route("/v1/service-users/{username}", methods=["DELETE"], content_types=[])
def delete_service_user(username: str) -> Response:
    """Delete a Service User and every key it has."""
    return api.serve(service_users.delete, username)


@app.route("/v1/service-users/{username}/suspend", methods=["POST"], content_types=[])
def suspend_service_user(username: str) -> Response:
    """Suspend a Service User."""
    return api.serve(service_users.suspend, username)


@app.route("/v1/service-users/{username}/resume", methods=["POST"], content_types=[])
def resume_service_user(username: str) -> Response:
    """Resume a suspended Service User."""
    return api.serve(service_users.resume, username)


@app.route("/v1/service-users/{username}/api-keys", methods=["GET"], content_types=[])
def list_service_user_keys(username: str) -> Response:
    """List a Service User's keys."""
    return api.serve(service_users.list_keys, username)


@app.route("/v1/service-users/{username}/api-keys", methods=["POST"], content_types=[])
def generate_service_user_key(username: str) -> Response:
    """Generate a key for a Service User."""
    return api.serve(service_users.generate_key, username)


@app.route("/v1/service-users/{username}/api-keys", methods=["DELETE"], content_types=[])
def revoke_service_user_key(username: str) -> Response:
    """Revoke a Service User's key."""
    return api.serve(service_users.revoke_key, username)


@app.route("/v1/service-users/{username}/api-keys", methods=["PATCH"], content_types=[])
def restrict_service_user_key(username: str) -> Response:
    """Change the restrictions of a Service User's key."""
    return api.serve(service_users.restrict_key, username)


@app.route("/v1/service-users/{username}/api-keys/rotate", methods=["POST"], content_types=[])
def rotate_service_user_key(username: str) -> Response:
    """Rotate a Service User's key."""
    return api.serve(service_users.rotate_key, username)


@app.route("/v1/service-users/{username}/api-keys/{keyType}", methods=["GET"], content_types=[])
def read_service_user_key(username: str, keyType: str) -> Response:  # noqa: N803 - the name in the contract
    """Read a Service User's key of a type."""
    return api.serve(service_users.read_key, username, keyType)


@app.route("/v1/service-users/{username}/api-keys/{keyType}", methods=["PATCH"], content_types=[])
def restrict_service_user_key_of_type(username: str, keyType: str) -> Response:  # noqa: N803
    """Change the restrictions of a Service User's key of a type."""
    return api.serve(service_users.restrict_key_of_type, username, keyType)


@app.route("/v1/service-users/{username}/api-keys/{keyType}", methods=["DELETE"], content_types=[])
def revoke_service_user_key_of_type(username: str, keyType: str) -> Response:  # noqa: N803
    """Revoke a Service User's key of a type."""
    return api.serve(service_users.revoke_key_of_type, username, keyType)


# The caller


@app.route("/v1/api-keys/rotate", methods=["POST"], content_types=[])
def rotate_own_key() -> Response:
    """Rotate the key used to sign in."""
    return api.serve(keys.rotate_own)


@app.route("/v1/api-keys/find", methods=["POST"], content_types=[])
def find_key() -> Response:
    """Find whose a key is."""
    return api.serve(keys.find)


@app.route("/v1/whoami", methods=["GET"], content_types=[])
def whoami() -> Response:
    """Read the caller's own identity."""
    return api.serve(account.whoami)


# Users


@app.route("/v1/users", methods=["POST"], content_types=[])
def invite_user() -> Response:
    """Invite a User."""
    return api.serve(users.invite)


@app.route("/v1/users", methods=["GET"], content_types=[])
def list_users() -> Response:
    """List the account's Users."""
    return api.serve(users.listing)


@app.route("/v1/users/activate", methods=["POST"], content_types=[])
def activate_user() -> Response:
    """Accept an invitation."""
    return api.serve(users.activate)


@app.route("/v1/users/{username}", methods=["GET"], content_types=[])
def read_user(username: str) -> Response:
    """Read a User."""
    return api.serve(users.read, username)


@app.route("/v1/users/{username}", methods=["PUT"], content_types=[])
def update_user(username: str) -> Response:
    """Change a User's role or display name."""
    return api.serve(users.update, username)


@app.route("/v1/users/{username}", methods=["DELETE"], content_types=[])
def revoke_user(username: str) -> Response:
    """Revoke a User from the account."""
    return api.serve(users.revoke, username)


@app.route("/v1/users/{username}/invitation", methods=["POST"], content_types=[])
def invite_user_again(username: str) -> Response:
    """Send a User a new invitation."""
    return api.serve(users.invite_again, username)


@app.route("/v1/users/{username}/suspend", methods=["POST"], content_types=[])
def suspend_user(username: str) -> Response:
    """Suspend a User."""
    return api.serve(users.suspend, username)


@app.route("/v1/users/{username}/resume", methods=["POST"], content_types=[])
def resume_user(username: str) -> Response:
    """Resume a suspended User."""
    return api.serve(users.resume, username)


@app.route("/v1/users/{username}/shown-keys", methods=["GET"], content_types=[])
def list_shown_keys(username: str) -> Response:
    """List the keys of Service Users that a person was shown."""
    return api.serve(users.list_shown_keys, username)


@app.route("/v1/users/{username}/shown-keys", methods=["DELETE"], content_types=[])
def end_shown_keys(username: str) -> Response:
    """End the keys of Service Users that a person was shown, and their access if wanted."""
    return api.serve(users.end_shown_keys, username)


@app.route("/v1/users/{username}/api-keys", methods=["GET"], content_types=[])
def list_own_keys(username: str) -> Response:
    """List your own keys."""
    return api.serve(users.list_keys, username)


@app.route("/v1/users/{username}/api-keys", methods=["POST"], content_types=[])
def generate_own_key(username: str) -> Response:
    """Generate a key for yourself."""
    return api.serve(users.generate_key, username)


@app.route("/v1/users/{username}/api-keys", methods=["DELETE"], content_types=[])
def revoke_own_key(username: str) -> Response:
    """Revoke one of your own keys."""
    return api.serve(users.revoke_key, username)


@app.route("/v1/users/{username}/api-keys", methods=["PATCH"], content_types=[])
def restrict_own_key(username: str) -> Response:
    """Change the restrictions of one of your own keys."""
    return api.serve(users.restrict_key, username)


@app.route("/v1/users/{username}/api-keys/rotate", methods=["POST"], content_types=[])
def rotate_own_key_of_type(username: str) -> Response:
    """Rotate one of your own keys."""
    return api.serve(users.rotate_key, username)


@app.route("/v1/users/{username}/api-keys/{keyType}", methods=["GET"], content_types=[])
def read_own_key(username: str, keyType: str) -> Response:  # noqa: N803 - the name in the contract
    """Read your own key of a type."""
    return api.serve(users.read_key, username, keyType)


@app.route("/v1/users/{username}/api-keys/{keyType}", methods=["PATCH"], content_types=[])
def restrict_own_key_of_type(username: str, keyType: str) -> Response:  # noqa: N803
    """Change the restrictions of your own key of a type."""
    return api.serve(users.restrict_key_of_type, username, keyType)


@app.route("/v1/users/{username}/api-keys/{keyType}", methods=["DELETE"], content_types=[])
def revoke_own_key_of_type(username: str, keyType: str) -> Response:  # noqa: N803
    """Revoke your own key of a type."""
    return api.serve(users.revoke_key_of_type, username, keyType)


# The account


@app.route("/v1/account", methods=["GET"], content_types=[])
def read_account() -> Response:
    """Read the account's name and policy."""
    return api.serve(account.read)


@app.route("/v1/account", methods=["PUT"], content_types=[])
def update_account() -> Response:
    """Change the account's name and policy."""
    return api.serve(account.update)


@app.route("/v1/events", methods=["GET"], content_types=[])
def list_events() -> Response:
    """List the account's events."""
    return api.serve(account.events)


# Anybody


@app.route("/v1/leaked-keys", methods=["POST"], content_types=[])
def report_leaked_keys() -> Response:
    """Report keys that were found somewhere."""
    return api.serve(keys.report_leaked)


# The API itself


@app.route("/health", methods=["GET"], content_types=[])
def health() -> Response:
    """Check the health of the API."""
    return api.serve(system.health)


@app.route("/openapi.json", methods=["GET"], content_types=[])
def openapi() -> Response:
    """Read the OpenAPI document."""
    return api.serve(system.openapi)


@app.route("/docs", methods=["GET"], content_types=[])
def docs() -> Response:
    """Read the API reference as a page."""
    return api.serve(system.docs)


@app.route("/docs/{name}", methods=["GET"], content_types=[])
def docs_asset(name: str) -> Response:
    """Read a file of the API reference page."""
    return api.serve(system.docs_asset, name)


# The console: its pages are in chalicelib/console/site.py


@app.route("/", methods=["GET"], content_types=[])
def front_door() -> Response:
    """Lead to the console."""
    return api.serve(system.front_door)


def _page(*path: str) -> Response:
    from chalicelib.console import site

    return api.serve(site.show, *path)


@app.route("/console", methods=["GET", "POST"], content_types=[])
def console() -> Response:
    """Show the console's first page."""
    return _page()


@app.route("/console/{section}", methods=["GET", "POST"], content_types=[])
def console_section(section: str) -> Response:
    """Show a section of the console."""
    return _page(section)


@app.route("/console/{section}/{name}", methods=["GET", "POST"], content_types=[])
def console_page(section: str, name: str) -> Response:
    """Show a page about one thing."""
    return _page(section, name)


@app.route("/console/{section}/{name}/{action}", methods=["GET", "POST"], content_types=[])
def console_form(section: str, name: str, action: str) -> Response:
    """Show the form that does something to one thing, or do it."""
    return _page(section, name, action)


api.add_other_methods()

gc.freeze()
gc.enable()


# Other functions


@app.on_dynamodb_record(stream_arn="set-by-the-stack", batch_size=25, starting_position="TRIM_HORIZON")
def notify(event: Any) -> dict[str, Any]:
    """Send the emails of new events."""
    from chalicelib.functions.mailer import notify_function

    return notify_function(event.to_dict(), event.context)


@app.schedule("rate(1 minute)")
def resend(event: Any) -> dict[str, Any]:
    """Retry the emails of pending events."""
    from chalicelib.functions.mailer import resend_function

    return resend_function(event.to_dict(), event.context)


@app.schedule("rate(1 hour)")
def enforce_policies(event: Any) -> dict[str, int]:
    """Send expiry notices and revoke what the policies end. Started every hour, it runs once a day."""
    from chalicelib.functions.enforce_policies import enforce_policies_function

    return enforce_policies_function(event.to_dict(), event.context)


@app.lambda_function(name="feedback")
def feedback(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take SES's reports of emails that bounce or that somebody complained of."""
    from chalicelib.functions.feedback import feedback_function

    return feedback_function(event, context)


@app.lambda_function(name="publish")
def publish(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Publish events on EventBridge: those that the stream brings, and each minute those that wait."""
    from chalicelib.functions.publisher import publish_function

    return publish_function(event, context)


@app.lambda_function(name="archive")
def archive(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Archive published events in a bucket."""
    from chalicelib.functions.publisher import archive_function

    return archive_function(event, context)


@app.lambda_function(name="create_account")
def create_account(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Create an account with its first OWNER. IAM decides who may invoke this: the operator."""
    from chalicelib.functions.operator import create_account_function

    return create_account_function(event, context, api.service())


@app.lambda_function(name="recover_owner")
def recover_owner(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Issue a replacement key to an OWNER who is locked out. IAM decides who may invoke this."""
    from chalicelib.functions.operator import recover_owner_function

    return recover_owner_function(event, context, api.service())


@app.lambda_function(name="authorizer")
def authorizer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Decide for API Gateway whether a request to another API is allowed by its key."""
    from chalicelib.functions.authorizer import authorizer_function

    return authorizer_function(event, context, api.service())


@app.lambda_function(name="verify")
def verify(event: Any, context: Any) -> dict[str, Any]:
    """Decide for a service that is not behind API Gateway whether a request's key allows it."""
    from chalicelib.functions.authorizer import verify_function

    return verify_function(event, context, api.service())
