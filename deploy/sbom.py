"""The package's bill of materials in CycloneDX's JSON: every distribution in it, by version and hash.

The same package makes the same bytes: there is no time in it, and its serial number follows from its content.
"""

import uuid
from collections.abc import Iterable
from importlib.metadata import version

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from chalicelib.version import VERSION
from deploy.wheels import Wheel

_NAME = "service-users"
_SERIAL = uuid.UUID("6f0f1d5c-8f0e-4a37-9d05-2d3f5a1f7c11")


def bill_of_materials(wheels: Iterable[Wheel], architecture: str, runtime: str) -> str:
    """Return the JSON for a package made of ``wheels``.

    Chalice copies its own runtime into the package from where it is installed: it has no hash here, but one
    in the lock of the development requirements.
    """
    made = list(wheels)
    root = Component(name=_NAME, version=VERSION, type=ComponentType.APPLICATION, bom_ref=_NAME)
    chalice = _component("chalice", version("chalice"))
    components = [chalice, *(_component(one.name, one.version, one.sha256) for one in made)]
    seed = "\n".join([VERSION, architecture, runtime, *(f"{one.purl} {one.hashes}" for one in components)])
    bom = Bom(components=components, serial_number=uuid.uuid5(_SERIAL, seed))
    bom.metadata.component = root
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.register_dependency(root, components)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    return f"{text}\n"


def _component(name: str, its_version: str, sha256: str = "") -> Component:
    url = PackageURL("pypi", name=name, version=its_version)
    return Component(
        name=name,
        version=its_version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=str(url),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
    )
