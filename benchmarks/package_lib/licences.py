"""What a distribution's metadata say of its licence."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

LONGEST = 70  # of a name of a licence; longer fields are its text
_GENERIC = {"OSI Approved", "Dual License", "UNKNOWN", ""}
_COPYLEFT = re.compile(r"GPL|MPL|Mozilla|GNU|EUPL|CDDL|EPL|CC-BY-SA", re.IGNORECASE)
_OTHER_CHOICE = re.compile(r"\bOR\b")
UNKNOWN = "not stated"


def licence(metadata: dict[str, Any]) -> str:
    """Return the expression, else the classifiers, else a short licence field, else the licence file's first line.

    ``metadata`` is what pip's report has of a distribution.
    """
    classifiers = [name.rpartition(" :: ")[2] for name in metadata.get("classifier", []) if name.startswith("License")]
    field = (metadata.get("license") or "").strip()
    candidates = (
        metadata.get("license_expression") or "",
        " or ".join(name for name in classifiers if name not in _GENERIC),
        field if "\n" not in field and len(field) <= LONGEST else "",
        _first_line(metadata["name"]),
    )
    return next((found for found in candidates if found not in _GENERIC), UNKNOWN)


def _first_line(name: str) -> str:
    """Return the first line of the licence file of a distribution that is installed here."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return ""
    for path in files:
        if re.match(r"LICEN[CS]E", path.name) and ".dist-info" in str(path):
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            return f"{lines[0]} (from its licence file)" if lines and len(lines[0]) <= LONGEST else ""
    return ""


def is_copyleft(licence: str) -> bool:
    """Tell whether the name is that of a copyleft licence, with no other to choose."""
    return bool(_COPYLEFT.search(licence)) and not _OTHER_CHOICE.search(licence)
