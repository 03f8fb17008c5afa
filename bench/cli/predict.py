"""``bench predict``: one question about some page images, to see a model at work."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import json_option
