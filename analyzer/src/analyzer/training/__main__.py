"""`python -m analyzer.training DATA`: writes the model and its card."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analyzer.engine.classifier import read_classifier
from analyzer.training.report import card, train
from analyzer.training.rows import BadRows, read_rows
from analyzer.training.write import model_document

SEEDS = (20261122, 1, 2, 3, 4)
_PACKAGE = Path(__file__).parents[1]


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 when both files are written, 2 when the data cannot be trained on; nothing is half written."""
    parser = argparse.ArgumentParser(prog="python -m analyzer.training", description="Trains the classifier.")
    parser.add_argument("data", type=Path, help="labelled lines: JSON lines, gzipped or not")
    parser.add_argument("--model", type=Path, default=_PACKAGE / "engine" / "model.json")
    parser.add_argument("--card", type=Path, default=_PACKAGE.parents[1] / "MODEL_CARD.md")
    chosen = parser.parse_args(arguments)
    try:
        rows = read_rows(chosen.data)
        model, outcomes, prepared = train(rows, SEEDS)
    except (BadRows, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    document = model_document(model)
    text = card(chosen.data, read_classifier(document), outcomes, prepared, len(document))
    for path, content in ((chosen.model, document), (chosen.card, text.encode())):
        unfinished = path.with_name(path.name + ".unfinished")
        unfinished.write_bytes(content)
        unfinished.replace(path)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
