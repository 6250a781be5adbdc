"""Files that pods fetch by a link that expires: any store that speaks S3."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from platform_ops.core.errors import OpsError, Refused, Unavailable


class S3ObjectStore:
    """The `ObjectStore` port. `url` is the endpoint; the bucket exists already."""

    def __init__(
        self, url: str, bucket: str, access_key: str, secret_key: str, region: str = "us-east-1"
    ) -> None:
        self._bucket = bucket
        self._url = url
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                # Stores other than Amazon's refuse the trailing checksums that boto3 sends by default.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=5,
                read_timeout=60,
                retries={"max_attempts": 2},
            ),
        )

    async def put(self, key: str, path: Path) -> None:
        try:
            await asyncio.to_thread(self._s3.upload_file, str(path), self._bucket, key)
        except (ClientError, BotoCoreError, boto3.exceptions.Boto3Error) as failed:
            raise self._error(f"put {key}", failed) from failed

    async def presigned_get(self, key: str, expires: timedelta) -> str:
        link = self._s3.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": key},
            ExpiresIn=int(expires.total_seconds()),
        )
        return str(link)

    def _error(self, what: str, failed: Exception) -> OpsError:
        while not isinstance(failed, ClientError) and isinstance(failed.__context__, Exception):
            failed = failed.__context__
        text = f"object store {self._url}, bucket {self._bucket}: {what}: {failed}"
        status = 0
        if isinstance(failed, ClientError):
            status = failed.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status in (400, 401, 403, 404):
            return Refused(f"{text}; check PLATFORM_OPS_S3_*")
        return Unavailable(text)
