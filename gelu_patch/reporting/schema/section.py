"""What every part of a report is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]


class Section(BaseModel):
    """Base of every section: fields that this version does not know survive a round trip."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
