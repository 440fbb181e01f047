"""GET /v1/schemas/report: what a job's `report.json` holds."""

from fastapi import APIRouter

from api.auth import Reader
from pruning_core.report_schema import json_schema

router = APIRouter(prefix="/v1/schemas", tags=["jobs"])


@router.get("/report", summary="The JSON Schema of report.json")
def get_report_schema(_: Reader) -> dict[str, object]:
    """The schema of the reports that this version writes; `version` in a report tells which one it follows."""
    return json_schema()
