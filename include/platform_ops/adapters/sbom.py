"""The software bill of materials of an image: CycloneDX 1.6 as JSON, the same bytes for the same image.

Imported where a bill is written only: the library takes half a second, and parsing DAGs does not need it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from .image_contents import Installed

_LICENCES = LicenseFactory()


def bill_of_materials(
    name: str, digest: str, labels: Mapping[str, str], created: datetime, installed: Iterable[Installed]
) -> bytes:
    """`created` is the commit's time: a bill of the same image is the same document whenever it is made."""
    image = Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=digest,
        bom_ref=f"{name}@{digest}",
        purl=PackageURL("oci", None, name.rpartition("/")[2], digest),
        properties=[Property(name=key, value=value) for key, value in sorted(labels.items())],
    )
    bill = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"oci:{name}@{digest}"),
        metadata=BomMetaData(timestamp=created, component=image),
        components=[_component(one) for one in installed],
    )
    bill.register_dependency(image, bill.components)
    return JsonV1Dot6(bill).output_as_string().encode()


def _component(one: Installed) -> Component:
    qualifiers = {"arch": one.architecture, "distro": one.distribution}
    namespace = (one.distribution.partition("-")[0] or "debian") if one.kind == "deb" else None
    purl = PackageURL(one.kind, namespace, one.name, one.version, {k: v for k, v in qualifiers.items() if v})
    return Component(
        type=ComponentType.LIBRARY,
        name=one.name,
        version=one.version,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=_licences(one.licences),
    )


def _licences(stated: tuple[str, ...]) -> Iterator[License]:
    """An SPDX expression stands alone; of several statements each is a licence by id or name."""
    if len(stated) == 1:
        yield _LICENCES.make_from_string(stated[0])
        return
    for text in stated:
        try:
            yield _LICENCES.make_with_id(text)
        except InvalidSpdxLicenseException:
            yield DisjunctiveLicense(name=text)
