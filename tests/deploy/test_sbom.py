"""The package's bill of materials: valid by CycloneDX's own schema, and the same for the same package."""

import json
from pathlib import Path
from typing import Any

import cyclonedx.schema
import jsonschema_rs
import pytest

from deploy.sbom import bill_of_materials
from deploy.wheels import Wheel

SCHEMAS = Path(cyclonedx.schema.__file__).parent / "_res"
WHEELS = (
    Wheel("msgspec", "0.22.0", "msgspec-0.22.0-cp313-cp313-manylinux_2_28_x86_64.whl", "ab" * 32),
    Wheel("six", "1.17.0", "six-1.17.0-py2.py3-none-any.whl", "cd" * 32),
)


@pytest.fixture(scope="module")
def validator() -> Any:
    files = [SCHEMAS / f"{name}.SNAPSHOT.schema.json" for name in ("bom-1.6", "spdx", "jsf-0.82")]
    schemas = {
        f"http://cyclonedx.org/schema/{file.name}": json.loads(file.read_text(encoding="utf-8"))
        for file in files
    }
    return jsonschema_rs.validator_for(
        next(iter(schemas.values())), registry=jsonschema_rs.Registry(list(schemas.items()))
    )


def made(wheels: tuple[Wheel, ...] = WHEELS, architecture: str = "x86_64") -> str:
    return bill_of_materials(wheels, architecture, "python3.13")


def test_it_is_valid_and_the_schema_can_say_no(validator: Any) -> None:
    bill = json.loads(made())
    assert [error.message for error in validator.iter_errors(bill)] == []
    bill["components"][0]["hashes"] = [{"alg": "SHA-256", "content": "no hash"}]
    assert not validator.is_valid(bill)


def test_each_distribution_is_there_by_version_and_hash() -> None:
    bill = json.loads(made())
    found = {one["purl"]: one.get("hashes") for one in bill["components"]}
    assert found.pop("pkg:pypi/chalice@1.34.0") is None
    assert found == {
        f"pkg:pypi/{one.name}@{one.version}": [{"alg": "SHA-256", "content": one.sha256}] for one in WHEELS
    }
    root = bill["metadata"]["component"]["bom-ref"]
    [needs] = [one["dependsOn"] for one in bill["dependencies"] if one["ref"] == root]
    assert len(needs) == 3


def test_the_same_package_has_the_same_bill_and_another_has_another_number() -> None:
    assert made() == made()
    numbers = {
        json.loads(text)["serialNumber"] for text in (made(), made(WHEELS[:1]), made(architecture="arm64"))
    }
    assert len(numbers) == 3
    assert "timestamp" not in made()
