"""Permissions as tables: the status of every call of the API by every kind of caller.

Acme and Zeta are accounts with Users and Service Users of every role. The tables are written by hand from
the rules; ``reference_model`` states the same rules as code, for calls in any order.
"""

import re
from typing import Any, NamedTuple

from tests.support.api_client import NO_BODY

CALLERS_BY_CODE = """
O    an OWNER of Acme
A    a CLUSTER_ADMIN of Acme, Administrator of the Service Users that calls are about
C    a CLUSTER_ADMIN of Acme, Administrator of none
R    a READ_ONLY User of Acme
SO   an OWNER Service User of Acme
SC   a CLUSTER_ADMIN Service User of Acme
SR   a READ_ONLY Service User of Acme
FO   an OWNER of Zeta
FC   a CLUSTER_ADMIN of Zeta, Administrator of Zeta's Service User
FR   a READ_ONLY User of Zeta
FSO  an OWNER Service User of Zeta
FSC  a CLUSTER_ADMIN Service User of Zeta
FSR  a READ_ONLY Service User of Zeta
X    a revoked User, an OWNER and Administrator before, with the key of that time
I    a User invited again who has not activated, with the key of the time before
B    an Administrator who was revoked and invited again, a CLUSTER_ADMIN with a new key
L    an Administrator who was lowered to READ_ONLY and raised again, with a new key
D    a deleted Service User, with its key
K    a Service User of Acme with a key that was revoked
N    nobody: no credentials
W    an OWNER's username with somebody else's key
"""
"""The callers. Those who may hold a USER_MANAGEMENT key use it; READ_ONLY callers use a MONITORING key."""

OF_ZETA = ("FO", "FC", "FR", "FSO", "FSC", "FSR")

STATUSES = """
                           O   A   C   R   SO  SC  SR  FO  FC  FR  FSO FSC FSR X   I   B   L   D   K   N   W
create a reader            201 201 201 403 403 403 403 201 201 403 403 403 403 401 401 201 201 401 401 401 401
create a Cluster Admin     201 201 201 403 403 403 403 201 201 403 403 403 403 401 401 201 201 401 401 401 401
create an owner            201 403 403 403 403 403 403 201 403 403 403 403 403 401 401 403 403 401 401 401 401
list Service Users         200 200 200 403 200 200 403 200 200 403 200 200 403 401 401 200 200 401 401 401 401
read a reader              200 200 200 403 200 200 403 404 404 403 404 404 403 401 401 200 200 401 401 401 401
read an owner              200 200 200 403 200 200 403 404 404 403 404 404 403 401 401 200 200 401 401 401 401
read oneself               404 404 404 403 200 200 200 404 404 403 200 200 200 401 401 404 404 401 401 401 401
read a foreign one         404 404 404 403 404 404 403 200 200 403 200 200 403 401 401 404 404 401 401 401 401
read a User's name         404 404 404 403 404 404 403 404 404 403 404 404 403 401 401 404 404 401 401 401 401
list a reader's keys       200 200 200 403 200 200 403 404 404 403 404 404 403 401 401 200 200 401 401 401 401
list oneself's keys        404 404 404 403 200 200 200 404 404 403 200 200 200 401 401 404 404 401 401 401 401
list a foreign one's keys  404 404 404 403 404 404 403 200 200 403 200 200 403 401 401 404 404 401 401 401 401
read a reader's key        200 200 200 403 200 200 403 404 404 403 404 404 403 401 401 200 200 401 401 401 401
read oneself's key         404 404 404 403 200 200 200 404 404 403 200 200 200 401 401 404 404 401 401 401 401
read a foreign one's key   404 404 404 403 404 404 403 200 200 403 200 200 403 401 401 404 404 401 401 401 401
read a key of no type      404 404 404 403 404 404 403 404 404 403 404 404 403 401 401 404 404 401 401 401 401
rename a reader            200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
rename an owner            200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
raise a reader to OWNER    200 403 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
make oneself Administrator 200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
rename oneself             404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401 401
delete oneself             404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401 401
generate oneself's key     404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401 401
revoke oneself's key       404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401 401
restrict oneself's key     404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401 401
rotate oneself's key       404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401 401
rename a foreign one       404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401 401
suspend a reader           200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
suspend an owner           200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
suspend a foreign one      404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401 401
suspend oneself            404 404 404 403 403 403 403 404 404 403 403 403 403 401 401 404 404 401 401 401 401
resume a reader            200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
resume an owner            200 403 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
resume a foreign one       404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401 401
delete a reader            204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
delete an owner            204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
delete a foreign one       404 404 404 403 403 403 403 204 204 403 403 403 403 401 401 404 404 401 401 401 401
generate a reader's key    201 201 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
generate an owner's key    201 403 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
generate a foreign one's   404 404 404 403 403 403 403 201 201 403 403 403 403 401 401 404 404 401 401 401 401
revoke a reader's key      204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
revoke by query            204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
revoke an owner's key      204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
revoke a foreign one's     404 404 404 403 403 403 403 204 204 403 403 403 403 401 401 404 404 401 401 401 401
restrict a reader's key    200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
restrict an owner's key    200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
restrict a foreign one's   404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401 401
revoke a reader's by path  204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
revoke an owner's by path  204 204 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
revoke a foreign by path   404 404 404 403 403 403 403 204 204 403 403 403 403 401 401 404 404 401 401 401 401
restrict a reader by path  200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
restrict an owner by path  200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
restrict a foreign by path 404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401 401
rotate a reader's key      200 200 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
rotate an owner's key      200 403 403 403 403 403 403 404 404 403 403 403 403 401 401 403 403 401 401 401 401
rotate a foreign one's     404 404 404 403 403 403 403 200 200 403 403 403 403 401 401 404 404 401 401 401 401
rotate the key of the call 200 200 200 200 200 200 200 200 200 200 200 200 200 401 401 200 200 401 401 401 401
whoami                     200 200 200 200 200 200 200 200 200 200 200 200 200 401 401 200 200 401 401 401 401
invite a READ_ONLY User    201 403 403 403 201 403 403 201 403 403 201 403 403 401 401 403 403 401 401 401 401
invite an OWNER            201 403 403 403 403 403 403 201 403 403 403 403 403 401 401 403 403 401 401 401 401
list Users                 200 200 200 403 200 200 403 200 200 403 200 200 403 401 401 200 200 401 401 401 401
read a User                200 200 200 403 200 200 403 404 404 403 404 404 403 401 401 200 200 401 401 401 401
read a foreign User        404 404 404 403 404 404 403 200 200 403 200 200 403 401 401 404 404 401 401 401 401
read no User               404 404 404 403 404 404 403 404 404 403 404 404 403 401 401 404 404 401 401 401 401
rename a User              200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
raise a User to OWNER      200 403 403 403 403 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
lower a User               200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
change one's own role      403 403 403 403 404 403 403 403 403 403 404 403 403 401 401 403 403 401 401 401 401
rename a foreign User      404 403 403 403 404 403 403 200 403 403 200 403 403 401 401 403 403 401 401 401 401
rename no User             404 403 403 403 404 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
revoke a User              204 403 403 403 204 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
revoke a foreign User      404 403 403 403 404 403 403 204 403 403 204 403 403 401 401 403 403 401 401 401 401
revoke no User             404 403 403 403 404 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
suspend a User             200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
suspend a foreign User     404 403 403 403 404 403 403 200 403 403 200 403 403 401 401 403 403 401 401 401 401
suspend no User            404 403 403 403 404 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
suspend one's own access   409 403 403 403 404 403 403 409 403 403 404 403 403 401 401 403 403 401 401 401 401
resume a User              200 403 403 403 403 403 403 404 403 403 403 403 403 401 401 403 403 401 401 401 401
resume a foreign User      404 403 403 403 403 403 403 200 403 403 403 403 403 401 401 403 403 401 401 401 401
list shown keys            200 403 403 403 403 403 403 200 403 403 403 403 403 401 401 403 403 401 401 401 401
end shown keys             200 403 403 403 403 403 403 200 403 403 403 403 403 401 401 403 403 401 401 401 401
revoke and end shown keys  200 403 403 403 403 403 403 404 403 403 403 403 403 401 401 403 403 401 401 401 401
invite again               200 403 403 403 200 403 403 404 403 403 404 403 403 401 401 403 403 401 401 401 401
invite a foreign one again 404 403 403 403 404 403 403 200 403 403 200 403 403 401 401 403 403 401 401 401 401
activate                   200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
activate with a used token 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
list one's keys            200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401 401
list another's keys        403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
generate one's key         201 201 201 403 404 404 403 201 201 403 404 404 403 401 401 201 201 401 401 401 401
generate another's key     403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
revoke one's key           204 204 204 403 404 404 403 204 204 403 404 404 403 401 401 204 204 401 401 401 401
revoke another's key       403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
restrict one's key         200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401 401
restrict another's key     403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
rotate one's key           200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401 401
rotate another's key       403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
read one's key             200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401 401
read another's key         403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
restrict one's by path     200 200 200 403 404 404 403 200 200 403 404 404 403 401 401 200 200 401 401 401 401
restrict another's by path 403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
revoke one's by path       204 204 204 403 404 404 403 204 204 403 404 404 403 401 401 204 204 401 401 401 401
revoke another's by path   403 403 403 403 403 403 403 403 403 403 403 403 403 401 401 403 403 401 401 401 401
read the account           200 200 200 403 403 403 403 200 200 403 403 403 403 401 401 200 200 401 401 401 401
rename the account         200 403 403 403 403 403 403 200 403 403 403 403 403 401 401 403 403 401 401 401 401
find a reader's key        200 200 200 403 200 200 403 200 200 403 200 200 403 401 401 200 200 401 401 401 401
list events                200 200 200 403 200 200 403 200 200 403 200 200 403 401 401 200 200 401 401 401 401
report a leaked key        200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
health                     200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
openapi                    200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
docs                       200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
docs asset                 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
"""

STATUSES_WITH_OTHER_KEYS = """
                           O   A   C   R   SO  SC  SR
read oneself               403 403 403 403 200 200 200
list oneself's keys        403 403 403 403 200 200 200
read oneself's key         403 403 403 403 200 200 200
rotate the key of the call 200 200 200 200 200 200 200
whoami                     200 200 200 200 200 200 200
activate                   200 200 200 200 200 200 200
activate with a used token 400 400 400 400 400 400 400
report a leaked key        200 200 200 200 200 200 200
health                     200 200 200 200 200 200 200
openapi                    200 200 200 200 200 200 200
docs                       200 200 200 200 200 200 200
docs asset                 200 200 200 200 200 200 200
every other call           403 403 403 403 403 403 403
"""
"""The same with every other key a caller may hold: PROVISIONING, PROVISIONING_READONLY and MONITORING."""


class Call(NamedTuple):
    """A call. In the path, {me} is the caller's username; so is it in the body."""

    method: str
    path: str
    body: Any = NO_BODY


SERVICE_USERS, USERS = "/v1/service-users", "/v1/users"
NEW_SERVICE_USER = {"username": "new-bot", "email": "new-bot@machines.example"}
NEW_USER = {"username": "new-one", "email": "new-one@people.example"}
MONITORING, USER_MANAGEMENT = {"keyType": "MONITORING"}, {"keyType": "USER_MANAGEMENT"}
READ_ONLY_PROVISIONING = {"keyType": "PROVISIONING_READONLY"}
NETWORKS = {"allowedNetworks": ["203.0.113.0/24"]}
RESTRICTED = {**MONITORING, **NETWORKS}
NAME = {"displayName": "Another name"}

# "reader-bot" and "owner-bot" are Service Users of Acme, READ_ONLY and OWNER (in the tables: a reader, an
# owner), each with every key but PROVISIONING_READONLY; "foreign-bot" is one of Zeta. "pat" is a User of
# Acme, "foreign-pat" one of Zeta. "No User" is a Service User's name where a User's should stand.
CALLS = {
    "create a reader": Call("POST", SERVICE_USERS, {**NEW_SERVICE_USER, "role": "READ_ONLY"}),
    "create a Cluster Admin": Call("POST", SERVICE_USERS, {**NEW_SERVICE_USER, "role": "CLUSTER_ADMIN"}),
    "create an owner": Call("POST", SERVICE_USERS, {**NEW_SERVICE_USER, "role": "OWNER"}),
    "list Service Users": Call("GET", SERVICE_USERS),
    "read a reader": Call("GET", f"{SERVICE_USERS}/reader-bot"),
    "read an owner": Call("GET", f"{SERVICE_USERS}/owner-bot"),
    "read oneself": Call("GET", SERVICE_USERS + "/{me}"),
    "read a foreign one": Call("GET", f"{SERVICE_USERS}/foreign-bot"),
    "read a User's name": Call("GET", f"{SERVICE_USERS}/pat"),
    "list a reader's keys": Call("GET", f"{SERVICE_USERS}/reader-bot/api-keys"),
    "list oneself's keys": Call("GET", SERVICE_USERS + "/{me}/api-keys"),
    "list a foreign one's keys": Call("GET", f"{SERVICE_USERS}/foreign-bot/api-keys"),
    "read a reader's key": Call("GET", f"{SERVICE_USERS}/reader-bot/api-keys/MONITORING"),
    "read oneself's key": Call("GET", SERVICE_USERS + "/{me}/api-keys/MONITORING"),
    "read a foreign one's key": Call("GET", f"{SERVICE_USERS}/foreign-bot/api-keys/MONITORING"),
    "read a key of no type": Call("GET", f"{SERVICE_USERS}/reader-bot/api-keys/monitoring"),
    "rename a reader": Call("PUT", f"{SERVICE_USERS}/reader-bot", NAME),
    "rename an owner": Call("PUT", f"{SERVICE_USERS}/owner-bot", NAME),
    "raise a reader to OWNER": Call("PUT", f"{SERVICE_USERS}/reader-bot", {"role": "OWNER"}),
    "make oneself Administrator": Call("PUT", f"{SERVICE_USERS}/reader-bot", {"administrators": ["{me}"]}),
    "rename oneself": Call("PUT", SERVICE_USERS + "/{me}", NAME),
    "delete oneself": Call("DELETE", SERVICE_USERS + "/{me}"),
    "generate oneself's key": Call("POST", SERVICE_USERS + "/{me}/api-keys", READ_ONLY_PROVISIONING),
    "revoke oneself's key": Call("DELETE", SERVICE_USERS + "/{me}/api-keys", MONITORING),
    "restrict oneself's key": Call("PATCH", SERVICE_USERS + "/{me}/api-keys", RESTRICTED),
    "rotate oneself's key": Call("POST", SERVICE_USERS + "/{me}/api-keys/rotate", MONITORING),
    "rename a foreign one": Call("PUT", f"{SERVICE_USERS}/foreign-bot", NAME),
    "suspend a reader": Call("POST", f"{SERVICE_USERS}/reader-bot/suspend"),
    "suspend an owner": Call("POST", f"{SERVICE_USERS}/owner-bot/suspend"),
    "suspend a foreign one": Call("POST", f"{SERVICE_USERS}/foreign-bot/suspend"),
    "suspend oneself": Call("POST", SERVICE_USERS + "/{me}/suspend"),
    "resume a reader": Call("POST", f"{SERVICE_USERS}/reader-bot/resume"),
    "resume an owner": Call("POST", f"{SERVICE_USERS}/owner-bot/resume"),
    "resume a foreign one": Call("POST", f"{SERVICE_USERS}/foreign-bot/resume"),
    "delete a reader": Call("DELETE", f"{SERVICE_USERS}/reader-bot"),
    "delete an owner": Call("DELETE", f"{SERVICE_USERS}/owner-bot"),
    "delete a foreign one": Call("DELETE", f"{SERVICE_USERS}/foreign-bot"),
    "generate a reader's key": Call("POST", f"{SERVICE_USERS}/reader-bot/api-keys", READ_ONLY_PROVISIONING),
    "generate an owner's key": Call("POST", f"{SERVICE_USERS}/owner-bot/api-keys", READ_ONLY_PROVISIONING),
    "generate a foreign one's": Call("POST", f"{SERVICE_USERS}/foreign-bot/api-keys", READ_ONLY_PROVISIONING),
    "revoke a reader's key": Call("DELETE", f"{SERVICE_USERS}/reader-bot/api-keys", MONITORING),
    "revoke by query": Call("DELETE", f"{SERVICE_USERS}/reader-bot/api-keys?keyType=MONITORING"),
    "revoke an owner's key": Call("DELETE", f"{SERVICE_USERS}/owner-bot/api-keys?keyType=MONITORING"),
    "revoke a foreign one's": Call("DELETE", f"{SERVICE_USERS}/foreign-bot/api-keys", MONITORING),
    "restrict a reader's key": Call("PATCH", f"{SERVICE_USERS}/reader-bot/api-keys", RESTRICTED),
    "restrict an owner's key": Call("PATCH", f"{SERVICE_USERS}/owner-bot/api-keys", RESTRICTED),
    "restrict a foreign one's": Call("PATCH", f"{SERVICE_USERS}/foreign-bot/api-keys", RESTRICTED),
    "revoke a reader's by path": Call("DELETE", f"{SERVICE_USERS}/reader-bot/api-keys/MONITORING"),
    "revoke an owner's by path": Call("DELETE", f"{SERVICE_USERS}/owner-bot/api-keys/MONITORING"),
    "revoke a foreign by path": Call("DELETE", f"{SERVICE_USERS}/foreign-bot/api-keys/MONITORING"),
    "restrict a reader by path": Call("PATCH", f"{SERVICE_USERS}/reader-bot/api-keys/MONITORING", NETWORKS),
    "restrict an owner by path": Call("PATCH", f"{SERVICE_USERS}/owner-bot/api-keys/MONITORING", NETWORKS),
    "restrict a foreign by path": Call("PATCH", f"{SERVICE_USERS}/foreign-bot/api-keys/MONITORING", NETWORKS),
    "rotate a reader's key": Call("POST", f"{SERVICE_USERS}/reader-bot/api-keys/rotate", MONITORING),
    "rotate an owner's key": Call("POST", f"{SERVICE_USERS}/owner-bot/api-keys/rotate", MONITORING),
    "rotate a foreign one's": Call("POST", f"{SERVICE_USERS}/foreign-bot/api-keys/rotate", MONITORING),
    "rotate the key of the call": Call("POST", "/v1/api-keys/rotate"),
    "whoami": Call("GET", "/v1/whoami"),
    "invite a READ_ONLY User": Call("POST", USERS, {**NEW_USER, "role": "READ_ONLY"}),
    "invite an OWNER": Call("POST", USERS, {**NEW_USER, "role": "OWNER"}),
    "list Users": Call("GET", USERS),
    "read a User": Call("GET", f"{USERS}/pat"),
    "read a foreign User": Call("GET", f"{USERS}/foreign-pat"),
    "read no User": Call("GET", f"{USERS}/reader-bot"),
    "rename a User": Call("PUT", f"{USERS}/pat", NAME),
    "raise a User to OWNER": Call("PUT", f"{USERS}/pat", {"role": "OWNER"}),
    "lower a User": Call("PUT", f"{USERS}/pat", {"role": "READ_ONLY"}),
    "change one's own role": Call("PUT", USERS + "/{me}", {"role": "READ_ONLY"}),
    "rename a foreign User": Call("PUT", f"{USERS}/foreign-pat", NAME),
    "rename no User": Call("PUT", f"{USERS}/reader-bot", NAME),
    "revoke a User": Call("DELETE", f"{USERS}/pat"),
    "revoke a foreign User": Call("DELETE", f"{USERS}/foreign-pat"),
    "revoke no User": Call("DELETE", f"{USERS}/reader-bot"),
    "suspend a User": Call("POST", f"{USERS}/pat/suspend"),
    "suspend a foreign User": Call("POST", f"{USERS}/foreign-pat/suspend"),
    "suspend no User": Call("POST", f"{USERS}/reader-bot/suspend"),
    "suspend one's own access": Call("POST", USERS + "/{me}/suspend"),
    "resume a User": Call("POST", f"{USERS}/pat/resume"),
    "resume a foreign User": Call("POST", f"{USERS}/foreign-pat/resume"),
    "list shown keys": Call("GET", f"{USERS}/pat/shown-keys"),
    "end shown keys": Call("DELETE", f"{USERS}/pat/shown-keys"),
    "revoke and end shown keys": Call("DELETE", f"{USERS}/pat/shown-keys?revokeUser=true"),
    "invite again": Call("POST", f"{USERS}/pat/invitation"),
    "invite a foreign one again": Call("POST", f"{USERS}/foreign-pat/invitation"),
    "activate": Call("POST", f"{USERS}/activate", {"username": "invited", "token": "{good token}"}),
    "activate with a used token": Call(
        "POST", f"{USERS}/activate", {"username": "pat", "token": "{used token}"}
    ),
    "list one's keys": Call("GET", USERS + "/{me}/api-keys"),
    "list another's keys": Call("GET", f"{USERS}/pat/api-keys"),
    "generate one's key": Call("POST", USERS + "/{me}/api-keys", MONITORING),
    "generate another's key": Call("POST", f"{USERS}/pat/api-keys", MONITORING),
    "revoke one's key": Call(
        "DELETE", USERS + "/{me}/api-keys", {**USER_MANAGEMENT, "evenIfLockedOut": True}
    ),
    "revoke another's key": Call("DELETE", f"{USERS}/pat/api-keys", USER_MANAGEMENT),
    "restrict one's key": Call(
        "PATCH",
        USERS + "/{me}/api-keys",
        {**USER_MANAGEMENT, "allowedNetworks": ["203.0.113.0/24"], "evenIfLockedOut": True},
    ),
    "restrict another's key": Call(
        "PATCH", f"{USERS}/pat/api-keys", {**USER_MANAGEMENT, "allowedNetworks": []}
    ),
    "rotate one's key": Call("POST", USERS + "/{me}/api-keys/rotate", USER_MANAGEMENT),
    "rotate another's key": Call("POST", f"{USERS}/pat/api-keys/rotate", USER_MANAGEMENT),
    "read one's key": Call("GET", USERS + "/{me}/api-keys/USER_MANAGEMENT"),
    "read another's key": Call("GET", f"{USERS}/pat/api-keys/USER_MANAGEMENT"),
    "restrict one's by path": Call(
        "PATCH", USERS + "/{me}/api-keys/USER_MANAGEMENT", {**NETWORKS, "evenIfLockedOut": True}
    ),
    "restrict another's by path": Call("PATCH", f"{USERS}/pat/api-keys/USER_MANAGEMENT", NETWORKS),
    "revoke one's by path": Call("DELETE", USERS + "/{me}/api-keys/USER_MANAGEMENT?evenIfLockedOut=true"),
    "revoke another's by path": Call("DELETE", f"{USERS}/pat/api-keys/USER_MANAGEMENT"),
    "read the account": Call("GET", "/v1/account"),
    "rename the account": Call("PUT", "/v1/account", {"name": "Another name"}),
    "find a reader's key": Call("POST", "/v1/api-keys/find", {"last5": "zzzzz"}),
    "list events": Call("GET", "/v1/events"),
    "report a leaked key": Call("POST", "/v1/leaked-keys", [{"token": "suk_" + "0" * 43 + "2ZLkuB"}]),
    "health": Call("GET", "/health"),
    "openapi": Call("GET", "/openapi.json"),
    "docs": Call("GET", "/docs"),
    "docs asset": Call("GET", "/docs/page.js"),
}


def read_table(text: str) -> dict[str, dict[str, int]]:
    """Return the status of each call (first) by each caller."""
    heading, *lines = text.strip("\n").splitlines()
    callers = heading.split()
    width = re.search(r"\S", heading).start()
    table = {}
    for line in lines:
        cells = [int(cell) for cell in line[width:].split()]
        table[line[:width].strip()] = dict(zip(callers, cells, strict=True))
    return table


TABLE = read_table(STATUSES)
OTHER_KEYS_TABLE = read_table(STATUSES_WITH_OTHER_KEYS)
CALLERS = [line.split()[0] for line in CALLERS_BY_CODE.strip().splitlines()]
