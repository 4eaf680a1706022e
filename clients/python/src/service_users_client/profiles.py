"""Profiles: the address of a service, a username, and where its key is kept.

Addresses and usernames are in ``profiles.json`` in the folder ``~/.config/service-users`` (or
``SERVICE_USERS_HOME``, or ``$XDG_CONFIG_HOME/service-users``). Keys are in the system's keyring if the
package ``keyring`` finds one, else in ``keys.json`` beside it. Both files have the mode 0600.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from service_users_client.errors import KEY, ProfileError
from service_users_client.files import locked, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYRING_SERVICE = "service-users"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Profile(NamedTuple):
    """One way to sign in. ``storage`` is "keyring", "file", or "environment" (which cannot be written)."""

    name: str
    url: str
    username: str
    storage: str

    @property
    def address(self) -> str:
        """What its key is kept under: a key is never sent to another address than it was stored for."""
        return f"{self.username} at {self.url}"


def checked_url(url: str) -> str:
    """Return the address, no slash at its end. Raises ProfileError unless it is https or this machine's."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.username or parts.query or parts.fragment:
        raise ProfileError(
            f"'{KEY.sub('suk_…', url)}' is not the address of an API, such as https://api.example.com."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ProfileError(f"'{url}' is not an https address. A key is never sent unencrypted.")
    return url.rstrip("/")


def checked_key(text: str) -> str:
    """Return a key, without white space around it. Raises ProfileError for anything else."""
    key = text.strip()
    if not KEY.fullmatch(key):
        raise ProfileError(
            "That is not an API key. A key begins with 'suk_' and has letters and digits after it."
        )
    return key


class Profiles:
    """The profiles of the user who runs this."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self.folder = _folder(environment)
        self._file = self.folder / "profiles.json"
        self.keys_file = self.folder / "keys.json"

    def names(self) -> list[str]:
        """Return the names of the stored profiles."""
        return sorted(self._read()["profiles"])

    def default(self) -> str | None:
        """Return the name of the profile that is used if none is named."""
        default: str | None = self._environment.get("SERVICE_USERS_PROFILE") or self._read()["default"]
        return default

    def get(self, name: str | None = None) -> Profile:
        """Return a profile: the one named, that of the environment, or the default. Raises ProfileError."""
        if name is None and (url := self._environment.get("SERVICE_USERS_URL")):
            username = self._environment.get("SERVICE_USERS_USERNAME", "")
            return Profile("environment", checked_url(url), username, "environment")
        name = name or self.default()
        stored = self._read()["profiles"].get(name) if name else None
        if name is None or stored is None:
            what = f"There is no profile '{name}'" if name else "There is no profile"
            raise ProfileError(
                f"{what}. Make one with 'service-users profile add', or set SERVICE_USERS_URL, "
                "SERVICE_USERS_USERNAME and SERVICE_USERS_API_KEY."
            )
        return Profile(name, checked_url(stored["url"]), stored["username"], stored["storage"])

    def add(self, name: str, url: str, username: str, key: str, *, use_keyring: bool = True) -> Profile:
        """Store a profile and its key; the first one becomes the default. Raises ProfileError."""
        storage = "keyring" if use_keyring and has_keyring() else "file"
        profile = Profile(name, checked_url(url), username, storage)
        self.store_key(profile, key)
        with locked(self.folder / ".lock"):
            stored = self._read()
            stored["profiles"][name] = {
                "url": profile.url,
                "username": username,
                "storage": storage,
            }
            stored["default"] = stored["default"] or name
            self._write(self._file, stored)
        return profile

    def use(self, name: str) -> None:
        """Make a profile the default. Raises ProfileError if there is none of that name."""
        self.get(name)
        with locked(self.folder / ".lock"):
            self._write(self._file, {**self._read(), "default": name})

    def remove(self, name: str) -> None:
        """Forget a profile and its key. The key itself goes on working. Raises ProfileError."""
        profile = self.get(name)
        with locked(self.folder / ".lock"):
            stored = self._read()
            del stored["profiles"][name]
            if stored["default"] == name:
                stored["default"] = None
            others = [it for it in stored["profiles"].values() if it["url"] == profile.url]
            shared = any(
                it["username"] == profile.username and it["storage"] == profile.storage for it in others
            )
            self._write(self._file, stored)
        if not shared:
            self._forget_key(profile)

    def key(self, profile: Profile) -> str:
        """Return the key of a profile. Raises ProfileError if there is none."""
        key: str | None
        if profile.storage == "environment":
            key = self._environment.get("SERVICE_USERS_API_KEY")
            if not key:
                raise ProfileError("SERVICE_USERS_URL is set, and SERVICE_USERS_API_KEY is not.")
        elif profile.storage == "keyring":
            key = _keyring_call("get_password", KEYRING_SERVICE, profile.address)
        else:
            key = self._read_keys().get(profile.address)
        if not key:
            raise ProfileError(
                f"The key of profile '{profile.name}' is not in the {profile.storage}. "
                "Store it again with 'service-users profile add'."
            )
        return checked_key(key)

    def store_key(self, profile: Profile, key: str) -> None:
        """Replace the key of a profile. Raises ProfileError if it cannot be stored."""
        key = checked_key(key)
        if profile.storage == "environment":
            raise ProfileError("The key comes from SERVICE_USERS_API_KEY, where it cannot be replaced.")
        if profile.storage == "keyring":
            _keyring_call("set_password", KEYRING_SERVICE, profile.address, key)
            if _keyring_call("get_password", KEYRING_SERVICE, profile.address) != key:
                raise ProfileError("The keyring did not keep the key.")
            return
        with locked(self.folder / ".lock"):
            self._write(self.keys_file, {**self._read_keys(), profile.address: key})

    def check_writable(self, profile: Profile) -> None:
        """Raise ProfileError if the key of a profile cannot be replaced: stores the present one again."""
        self.store_key(profile, self.key(profile))

    def _forget_key(self, profile: Profile) -> None:
        if profile.storage == "keyring":
            _keyring_call("delete_password", KEYRING_SERVICE, profile.address)
            return
        with locked(self.folder / ".lock"):
            keys = self._read_keys()
            keys.pop(profile.address, None)
            self._write(self.keys_file, keys)

    def _read(self) -> dict[str, Any]:
        stored = _read_json(self._file)
        return {"default": stored.get("default"), "profiles": dict(stored.get("profiles") or {})}

    def _read_keys(self) -> dict[str, str]:
        return _read_json(self.keys_file)

    def _write(self, path: Path, value: dict[str, Any]) -> None:
        try:
            write_private(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
        except OSError as error:
            raise ProfileError(f"{path}: {error.strerror}.") from None


def has_keyring() -> bool:
    """Return whether the system has a keyring that can keep a key."""
    try:
        import keyring
    except ImportError:
        return False
    try:
        return float(keyring.get_keyring().priority) > 0
    except Exception:  # noqa: BLE001, RUF100 - backends raise what they like, and a file does as well
        return False


def is_private(path: Path) -> bool:
    """Return whether nobody but its owner may read a file, or it does not exist."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    return os.name == "nt" or not mode & (stat.S_IRWXG | stat.S_IRWXO)


def _folder(environment: Mapping[str, str]) -> Path:
    if home := environment.get("SERVICE_USERS_HOME"):
        return Path(home)
    if config := environment.get("XDG_CONFIG_HOME"):
        return Path(config) / "service-users"
    return Path.home() / ".config" / "service-users"


def _read_json(path: Path) -> dict[str, Any]:
    if not is_private(path):
        raise ProfileError(f"{path} can be read by others. Run: chmod 600 {path}")
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}.") from None
    except ValueError:
        raise ProfileError(f"{path} is not valid JSON. Correct or remove it.") from None
    if not isinstance(value, dict):
        raise ProfileError(f"{path} is not valid. Correct or remove it.")
    return value


def _keyring_call(name: str, *arguments: str) -> Any:
    try:
        import keyring
    except ImportError:
        raise ProfileError(
            "This profile's key is in the system's keyring, and the package 'keyring' is not installed."
        ) from None
    try:
        return getattr(keyring, name)(*arguments)
    except Exception as error:  # noqa: BLE001, RUF100 - backends raise what they like
        raise ProfileError(
            f"The system's keyring cannot be used ({type(error).__name__}). Unlock it, or store the key in "
            "a file: service-users profile add --no-keyring."
        ) from None
