# /// script
# requires-python = "==3.11.*"
# dependencies = []
# ///
"""Ids that are derived, so that repeating a request finds the first one.

Windmill refuses a job id it has seen, also long after that job is done. Whatever must
run once therefore gets its id from what makes it unique.
"""

from uuid import UUID, uuid5

#: Namespace of every derived id of this repository. Changing it would process old retries anew.
NAMESPACE = UUID("6f0b7c1e-54d6-4f5e-9d0c-2f3c8a1b7e44")


def message_job_id(phone_number_id: str, wamid: str) -> UUID:
    """The run of one inbound message: Meta's retries of it derive the same id."""
    return uuid5(NAMESPACE, f"{phone_number_id}:{wamid}")


def events_job_id(kind: str, body_sha256: str) -> UUID:
    """The run that stores a delivery's statuses (`kind` "statuses") or its other updates ("events")."""
    return uuid5(NAMESPACE, f"{kind}:{body_sha256}")


def continuation_job_id(conversation_id: UUID | str, fence: int) -> UUID:
    """The run that takes up what arrived while the holder of lease number `fence` was at work."""
    return uuid5(NAMESPACE, f"{conversation_id}:{fence}")


def rerun_job_id(original: UUID | str, attempt: int) -> UUID:
    """The `attempt`th run in place of one that failed before its message was stored."""
    return uuid5(NAMESPACE, f"{original}:{attempt}")


def tool_execution_id(turn_id: UUID | str, integration_id: UUID | str, tool_name: str, arguments: str) -> UUID:
    """The call of a tool in a turn: a repeated step, whose model gives calls new ids, derives the same one.

    `arguments` is canonical JSON.
    """
    return uuid5(NAMESPACE, f"tool:{turn_id}:{integration_id}:{tool_name}:{arguments}")
