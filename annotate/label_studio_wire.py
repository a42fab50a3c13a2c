"""How Label Studio is asked, and what comes back: one error, filters, times, and answers as plain dicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from data.errors import GenbaError

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio as Sdk

Answer = TypeVar("Answer")
SHOWN_CHARACTERS = 300  # of an error's body, which can be a page of 170 KB
ANNOTATION_FIELDS = "annotations,result,completed_by,lead_time,was_cancelled,created_at,updated_by"
TASK_FIELDS = f"id,data,updated_at,{ANNOTATION_FIELDS}"


class LabelStudioError(GenbaError):
    """Label Studio did not do what was asked. `status` is the HTTP status, None when no answer came."""

    def __init__(self, what: str, status: int | None = None, next: str | None = None) -> None:
        super().__init__(what, next=next)
        self.status = status


@dataclass(frozen=True)
class Connection:
    """The SDK's client behind one door: what is not there is None, all other trouble is a LabelStudioError."""

    url: str
    sdk: Sdk

    def _get(self, function: Callable[..., Any], number: int | str) -> dict[str, Any] | None:
        try:
            return plain(self._ask(function, id=number))
        except LabelStudioError as error:
            if error.status == 404:
                return None
            raise

    def _ask(self, function: Callable[..., Answer], **arguments: Any) -> Answer:
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            return function(**arguments)
        except httpx.HTTPError as error:
            raise LabelStudioError(
                f"Label Studio at {self.url} does not answer ({type(error).__name__}).", next="genba up SITE"
            ) from None
        except ApiError as error:
            if error.status_code == 401:
                raise LabelStudioError(
                    f"Label Studio at {self.url} refuses the token.", 401, next="genba doctor SITE"
                ) from None
            body = json.dumps(error.body, ensure_ascii=False, default=str)[:SHOWN_CHARACTERS]
            raise LabelStudioError(
                f"Label Studio at {self.url} answered {error.status_code}: {body}", error.status_code
            ) from None


def filter_of(column: str, operator: str, kind: str, value: Any, **more: Any) -> str:
    """The query of a list of tasks: those whose column compares so with the value."""
    item = {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
    return json.dumps({"filters": {"conjunction": "and", "items": [item]}, **more})


def stamp(moment: str) -> str:
    """The one form of a time that the filter accepts: always with microseconds."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(answer: Any) -> dict[str, Any]:
    """The SDK's models are not validated and differ by endpoint: all become dicts, once, here."""
    return answer if isinstance(answer, dict) else json.loads(answer.json())


def task_of(task: dict[str, Any]) -> dict[str, Any]:
    """id, pair_id, data, updated_at, annotations."""
    data = task.get("data") or {}
    return {
        "id": int(task["id"]),
        "pair_id": str(data.get("pair_id", "")),
        "data": data,
        "updated_at": str(task["updated_at"]),
        "annotations": [annotation_of(annotation) for annotation in task.get("annotations") or []],
    }


def annotation_of(annotation: dict[str, Any]) -> dict[str, Any]:
    """id, result, person (who answered), editor (who saved it last), seconds, skipped, updated_at."""
    person = annotation.get("completed_by")
    return {
        "id": int(annotation["id"]),
        "result": annotation.get("result") or [],
        "person": person.get("id") if isinstance(person, dict) else person,
        "editor": annotation.get("updated_by"),
        "seconds": float(annotation.get("lead_time") or 0.0),
        "skipped": bool(annotation.get("was_cancelled")),
        "updated_at": str(annotation.get("updated_at") or annotation.get("created_at") or ""),
    }
