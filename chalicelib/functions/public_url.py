"""The address that the operator gave the stack, in the form in which browsers send it."""

_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


def as_browsers_send(url: str) -> str:
    """Return a URL with its host in lower case, without the port that its scheme implies and a last slash.

    Browsers send hosts like that (WHATWG URL, 4.4), and what they send is compared with ``PUBLIC_URL``: the
    console leads whoever comes to another host to it, and checks the ``Origin`` of forms and passkeys.
    """
    scheme, separator, rest = url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    host = host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ""))
    return f"{scheme}{separator}{host}{slash}{path}"
