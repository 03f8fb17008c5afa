"""``bench predict``: one question about some page images, to see a model at work."""

from __future__ import annotations
