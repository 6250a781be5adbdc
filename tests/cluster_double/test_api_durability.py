"""kill -9 and start again: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from api_lab import ADMIN, Api, Clock, ServerProcess

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_no_acknowledged_write_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    acknowledged: dict[str, str] = {}

    async with aiohttp.ClientSession() as session:
        api = Api(await server.start(), session, Clock(), token=ADMIN)

        async def write_until_killed(writer: int) -> None:
            number = 0
            while True:
                name = f"w{writer}-{number}"
                try:
                    created = await api.create(MAPS, {"metadata": {"name": name}})
                except aiohttp.ClientError:
                    return
                acknowledged[name] = created["metadata"]["resourceVersion"]
                number += 1

        writers = [asyncio.create_task(write_until_killed(writer)) for writer in range(4)]
        while len(acknowledged) < 100:
            await asyncio.sleep(0)
        await server.stop()
        await asyncio.gather(*writers)

        restarted = ServerProcess(tmp_path)
        try:
            again = Api(await restarted.start(), session, Clock(), token=ADMIN)
            listed = (await again.get(MAPS)).json
            kept = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in listed["items"]}
            assert {name: kept.get(name) for name in acknowledged} == acknowledged
            newer = await again.create(MAPS, {"metadata": {"name": "after"}})
            assert int(newer["metadata"]["resourceVersion"]) > max(map(int, acknowledged.values()))
        finally:
            await restarted.stop()
