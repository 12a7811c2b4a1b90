"""The workspace's object storage: any that speaks S3, named by the environment as in the compose stack."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

#: Variable → what `--help` says about it.
VARIABLES = {
    "S3_ENDPOINT": "host and port of an object storage, for files that are uploaded as forms (default: none)",
    "S3_BUCKET": "the bucket, which is there (default: documents)",
    "S3_REGION": "(default: us-east-1)",
    "S3_TLS": "yes or no (default: no)",
    "S3_ACCESS_KEY": "required with S3_ENDPOINT",
    "S3_SECRET_KEY": "required with S3_ENDPOINT",  # pragma: allowlist secret
}


class StorageError(Exception):
    """The object storage cannot be used as it is set."""


class StorageUnavailable(Exception):
    """The object storage did not do what it was asked. The text names no key."""


class ObjectMissing(Exception):
    """There is no such object."""


class ObjectStorage:
    """One bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ObjectStorage | None":
        """None without S3_ENDPOINT. Raises StorageError."""
        endpoint = environment.get("S3_ENDPOINT")
        if not endpoint:
            return None
        if missing := [name for name in ("S3_ACCESS_KEY", "S3_SECRET_KEY") if not environment.get(name)]:
            raise StorageError(f"S3_ENDPOINT is set, and {' and '.join(missing)} not")
        # Most engines have no storage, and this takes longer than all else that they import.
        import boto3
        from botocore.config import Config

        scheme = "https" if environment.get("S3_TLS") == "yes" else "http"
        try:
            client = boto3.client(
                "s3",
                endpoint_url=f"{scheme}://{endpoint}",
                region_name=environment.get("S3_REGION") or "us-east-1",
                aws_access_key_id=environment["S3_ACCESS_KEY"],
                aws_secret_access_key=environment["S3_SECRET_KEY"],
                config=Config(
                    connect_timeout=5,
                    read_timeout=30,
                    retries={"total_max_attempts": 2},
                    proxies={},
                    s3={"addressing_style": "path"},
                ),
            )
        except ValueError as error:
            raise StorageError(f"S3_ENDPOINT: {error}") from None
        return cls(client, environment.get("S3_BUCKET") or "documents")

    def keep(self, data: bytes, content_type: str, filename: str) -> str:
        """Store a file under a key of its own, which is returned, as Windmill does. Raises StorageUnavailable."""
        ending = filename.rpartition(".")[2]
        key = f"windmill_uploads/upload_{uuid4().hex}" + (f".{ending}" if ending.isalnum() else "")
        self._do("put_object", Key=key, Body=data, ContentType=content_type)
        return key

    def about(self, key: str) -> dict[str, Any]:
        """Raises ObjectMissing, StorageUnavailable."""
        found = self._do("head_object", Key=key)
        modified = found["LastModified"].isoformat()
        return {"mime_type": found["ContentType"], "size_in_bytes": found["ContentLength"], "last_modified": modified}

    def read(self, key: str) -> bytes:
        """Raises ObjectMissing, StorageUnavailable."""
        return bytes(self._do("get_object", Key=key)["Body"].read())

    def delete(self, key: str) -> None:
        """Also when there is none. Raises StorageUnavailable."""
        self._do("delete_object", Key=key)

    def _do(self, action: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return dict(getattr(self._client, action)(Bucket=self._bucket, **arguments))
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in ("404", "NoSuchKey"):
                raise ObjectMissing from None
            raise StorageUnavailable(f"the object storage refuses {action}: {code}") from None
        except BotoCoreError as error:
            raise StorageUnavailable(f"the object storage does not answer {action}: {type(error).__name__}") from None
