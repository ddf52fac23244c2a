"""The JSON Schema that ships with the package, for readers that are no Python."""

from __future__ import annotations

import json
from pathlib import Path

from gelu_patch.reporting.schema.report import SCHEMA_VERSION, Report

PUBLISHED = Path(__file__).with_name("report.schema.json")


def json_schema_text() -> str:
    """Return the JSON Schema of ``report.json`` (draft 2020-12) as it is shipped."""
    schema = Report.model_json_schema(by_alias=True, mode="validation")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"gelu-patch report, schema version {SCHEMA_VERSION}; unknown fields are allowed",
    }
    return json.dumps(head | schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
