"""Write the JSON Schema of ``report.json`` beside this file: ``python -m gelu_patch.reporting.schema``."""

from gelu_patch.reporting.schema.published import PUBLISHED, json_schema_text

if __name__ == "__main__":
    PUBLISHED.write_text(json_schema_text(), encoding="utf-8")
    print(PUBLISHED)
