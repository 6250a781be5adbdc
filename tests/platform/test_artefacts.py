"""The bill of materials of the analyzer's real image: nothing of its lock and its base is left out."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from urllib.parse import unquote

import httpx
import pytest
from conftest import Ground
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from own_platform import OwnPlatform

from local_platform.images.debian import Apt
from local_platform.images.recipe import Recipe
from local_platform.layout import CHECKOUT
from local_platform.services.images import cache, references
from platform_ops.adapters.images import ImageName, RegistryImages
from platform_ops.adapters.registry import Credentials, Registry

pytestmark = pytest.mark.platform
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.M)


async def test_every_distribution_of_the_lock_and_every_debian_package_of_the_base_is_listed(
    ground: Ground, platform_state: OwnPlatform
) -> None:
    reference = references(platform_state.supervisor.platform)["analyzer"]
    repository, _, digest = reference.partition("@")
    host, _, path = repository.partition("/")
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        registry = Registry(client, host, Credentials(), plain_http=True)
        images = RegistryImages({host: registry}, {"analyzer": ImageName(host, path)})
        bill = json.loads(
            await images.bill_of_materials("analyzer", digest, datetime(2026, 1, 1, tzinfo=UTC))
        )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    found = {(one["name"], one["version"]) for one in bill["components"]}
    locked = PINNED.findall((CHECKOUT / "analyzer/requirements.txt").read_text())
    assert len(locked) > 20
    python = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in locked}
    assert python - found == set()
    recipe = Recipe.read(CHECKOUT / "analyzer")
    files = Apt(cache(platform_state.supervisor.platform) / "debian").resolve(
        recipe.packages, recipe.leave_out
    )
    debian = {tuple(unquote(name).split("_")[:2]) for name in files}
    assert len(debian) > 20
    assert debian - found == set()
    assert len(found) == len(python) + len(debian)
