"""A client of the Service Users API, with every call that the contract has.

``Client`` and ``AsyncClient`` sign in, follow the pages of lists, wait as ``Retry-After`` says, raise a
problem as an exception of its type, and rotate their own key so that a lost response locks nobody out.
``service_users_client.generated`` is the client that openapi-python-client makes from the contract; its
functions are called through ``Client.call``.
"""

from service_users_client.client import AsyncClient, Client
from service_users_client.errors import (
    BadRequest,
    Conflict,
    ErrorDetail,
    Forbidden,
    InvalidName,
    InvalidResponse,
    NoResponse,
    NotFound,
    NotStored,
    PreconditionFailed,
    Problem,
    ProfileError,
    ResponseLost,
    ServerProblem,
    ServiceUsersError,
    TooManyRequests,
    Unauthenticated,
)
from service_users_client.profiles import Profile, Profiles
from service_users_client.retries import Retries

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Client",
    "Conflict",
    "ErrorDetail",
    "Forbidden",
    "InvalidName",
    "InvalidResponse",
    "NoResponse",
    "NotFound",
    "NotStored",
    "PreconditionFailed",
    "Problem",
    "Profile",
    "ProfileError",
    "Profiles",
    "ResponseLost",
    "Retries",
    "ServerProblem",
    "ServiceUsersError",
    "TooManyRequests",
    "Unauthenticated",
]
