"""Fine-tuning end to end with the model in the package: a layout it has never seen, before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import cli

NANO = "qwen2-vl-nano"


def bench(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def draw(out: Path, layouts: str, count: int, seed: int) -> None:
    settings = ("--kind", "slip", "--lang", "en", "--layout", layouts, "--scan", "clean")
    bench("data", "synth", out, *settings, "-n", count, "--seed", seed)


# Its work is bounded by its steps. A slow processor, or a busy one, may take as long as it needs.
@pytest.mark.timeout(1800)
def test_a_layout_never_seen_is_learnt_and_the_paired_test_says_so(tmp_path: Path) -> None:
    draw(tmp_path / "cards", "card", 300, seed=21)
    draw(tmp_path / "known", "lines,columns,ends,grid,stacked", 10, seed=22)
    bench("data", "split", tmp_path / "cards", "--train", 0.75, "--validation", 0.03)
    adapter = tmp_path / "adapters" / "tuned"
    settings = ("--rank", 32, "--learning-rate", 2e-3, "--batch-tokens", 512)
    # Not even once over the documents: a model this small learns few of them by heart instead.
    plan = ("--max-steps", 190, "--validate-every", 190)
    bench("tune", "-m", NANO, "-t", tmp_path / "cards", "--out", adapter, *settings, *plan)
    # The package may lie elsewhere on another machine, so an adapter names its base as the catalog does.
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == NANO

    tasks = f"{tmp_path / 'cards-test'},{tmp_path / 'known'}"
    bench("run", "-m", f"{NANO},{adapter}", "-t", tasks, "--latency-samples", 0, "--no-report")
    (found,) = json.loads(bench("compare", NANO, "tuned", "--json"))
    rows: dict[str, Any] = {row["name"]: row for row in found["rows"]}
    cards, known = rows["cards-test"], rows["known"]
    assert cards["second"] > cards["first"]
    assert cards["difference"]["low"] > 0
    assert cards["difference"]["p"] < 0.05
    assert cards["gained"] > cards["lost"]
    assert (cards["trained"], known["trained"]) == ("test", "none")
    # What was learnt before is not gone, although nothing of it was trained on.
    assert known["second"] > 0.5 * known["first"]
    assert any(name.startswith("cards-test · field=") for name in rows)

    text = bench("compare", NANO, "tuned")
    assert (
        "cards-test: it is the test part of the training task, and B has not seen its documents"
        in text
    )
    assert "known: B was not trained on it, so a loss here means that B forgot something" in text
    assert "answers gained:" in text
