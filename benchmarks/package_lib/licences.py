"""What a distribution's metadata say of its licence."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

LONGEST = 70  # of a name of a licence; longer fields are its text
UNKNOWN = "not stated"
_GENERIC = {"OSI Approved", "Dual License", "UNKNOWN", ""}
_COPYLEFT = re.compile(r"GPL|MPL|Mozilla|GNU|EUPL|CDDL|EPL|CC-BY-SA", re.IGNORECASE)
_OTHER_CHOICE = re.compile(r"\bOR\b")
# What only the text of that licence says.
_TEXTS = {"MIT": "Permission is hereby granted, free of charge", "BSD-3-Clause": "Neither the name of"}


def licence(metadata: dict[str, Any]) -> str:
    """Return the expression, else the classifiers, else a short licence field, else what the licence's text is.

    ``metadata`` is what pip's report has of a distribution; the text is in it, or in the installed files.
    """
    classifiers = [name.rpartition(" :: ")[2] for name in metadata.get("classifier", []) if name.startswith("License")]
    field = (metadata.get("license") or "").strip()
    candidates = (
        metadata.get("license_expression") or "",
        " or ".join(name for name in classifiers if name not in _GENERIC),
        field if "\n" not in field and len(field) <= LONGEST else "",
        _of_text(field),
        _of_text(_file(metadata["name"])),
    )
    return next((found for found in candidates if found not in _GENERIC), UNKNOWN)


def _of_text(text: str) -> str:
    plain = " ".join(text.split())
    return next((f"{name} (from its text)" for name, words in _TEXTS.items() if words in plain), "")


def _file(name: str) -> str:
    """Return the licence file of a distribution that is installed here, or nothing."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return ""
    found = [path for path in files if re.match(r"LICEN[CS]E", path.name) and ".dist-info" in str(path)]
    return found[0].read_text(encoding="utf-8") if found else ""


def is_copyleft(licence: str) -> bool:
    """Tell whether the name is that of a copyleft licence, with no other to choose."""
    return bool(_COPYLEFT.search(licence)) and not _OTHER_CHOICE.search(licence)
