"""The model cards as pages of the book: their words, and what is computed or read from the records."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecgbook.page.model_cards import (
    CARDS,
    COMMON_LIMIT,
    INTENDED_USE,
    LEADS,
    ModelCard,
    build,
    outline,
    sizes,
)
from ecgbook.page.tables import Table
from ecgbook.runs.grids import read_sweep
from ecgbook.runs.one_run import Planned, plan
from ecgbook.runs.results import aggregate, experiments, load
from ecgkit.files import atomic_write
from ecgkit.models.light_resnet18 import DESIGNS, Design

__all__ = ["recorded", "to_markdown", "write_pages"]

PLAIN = ("supervised", "thesis", "full_data")  # methods that train a network on all of its records
METRIC = "macro_auc"


def _design(model: str) -> str:
    """What a light design changes in the baseline, in words."""
    words = {
        "se": "attention",
        "bn1": "1st normalisation",
        "bn2": "2nd normalisation",
        "conv2": "2nd convolution",
    }
    own, base = DESIGNS[model.split("/")[1]], Design()
    said = [f"no {text}" for field, text in words.items() if not getattr(own, field)]
    said += ["separable convolutions"] if own.separable else []
    if own.widths != base.widths:
        said.append(f"{own.widths[0]} to {own.widths[-1]} channels")
    if own.blocks != base.blocks:
        said.append("blocks " + ", ".join(map(str, own.blocks)))
    said += [f"stem kernel {own.stem_kernel}"] if own.stem_kernel != base.stem_kernel else []
    said += [f"{own.metadata_units} metadata units"] if own.metadata_units != base.metadata_units else []
    return ", ".join(said) or "the baseline"


# Records ----------------------------------------------------------------------------------------------


def recorded(card: ModelCard, results: Path) -> tuple[list[tuple[str, Table]], pd.DataFrame]:
    """The recorded runs of a card's networks: tables of plain training, and the rows of all other runs.

    Returns:
        For each experiment a heading, with the settings that all its rows share, and a table of macro AUC;
        and the runs that are in no table: those that choose their samples, compare scores, or explain.
    """
    tables: list[tuple[str, Table]] = []
    others: list[pd.DataFrame] = []
    for experiment in experiments(results):
        runs = load(experiment, results)
        runs = runs[runs["model"].isin(card.models)]
        plain = runs["method"].isin(PLAIN) & (runs[METRIC].notna() if METRIC in runs else False)
        if plain.any():
            shared, frame = _scores(runs[plain], card)
            tables.append((f"**{experiment}**: {shared}", Table(frame, runs[plain])))
        others.append(runs[~plain])
    kept = [frame for frame in others if len(frame)]
    return tables, pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=["method"])


def _settings(row: Mapping[Hashable, Any]) -> list[str]:
    """What was set for a run, in words: data, task, rate, parameters."""
    said = [str(row["dataset"]), str(row["task"]), f"{row['sampling_rate_hz']} Hz"]
    for name, value in row.items():
        if str(name).startswith("params.") and not pd.isna(value) and value is not False:
            key = str(name).removeprefix("params.")
            number = f"{value:g}" if isinstance(value, float) else value
            said.append(
                key if value is True else f"{number} epochs" if key == "epochs" else f"{key} {number}"
            )
    return said


def _scores(runs: pd.DataFrame, card: ModelCard) -> tuple[str, pd.DataFrame]:
    """The settings that all rows share, and one row per network and setting: macro AUC, interval, seeds."""
    rows = aggregate(runs).to_dict("records")
    settings = [_settings(row) for row in rows]
    shared = [text for text in settings[0] if all(text in said for said in settings)]
    frame = pd.DataFrame(
        {
            "network": [row["model"].split("/")[-1] for row in rows],
            "setting": [", ".join(t for t in said if t not in shared) or "–" for said in settings],
            "macro AUC": [f"{row[METRIC]:.3f}" for row in rows],
            "95 % interval": [f"{row[f'{METRIC}_low']:.3f} to {row[f'{METRIC}_high']:.3f}" for row in rows],
            "seeds": [row["seeds"] for row in rows],
        }
    )
    order = [name.split("/")[-1] for name in card.models]
    frame = frame.sort_values("network", key=lambda names: names.map(order.index), kind="stable")
    idle = [name for name in ("network", "setting") if frame[name].nunique() == 1]
    return ", ".join(shared), frame.drop(columns=idle if len(card.models) == 1 else set(idle) - {"network"})


# Pages ------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows])


def _numbers(card: ModelCard) -> list[str]:
    frame = sizes(card)
    rows = [
        (
            f"`{row['model'].split('/')[-1]}`" + (f" {row['options']}" if row["options"] else ""),
            f"{row['parameters']:,}",
            f"{row['mib']:.2f}",
            f"{row['multiply_adds'] / 1e6:.1f}",
        )
        for row in frame.to_dict("records")
    ]
    text = (
        f"For {LEADS} leads, {card.classes} classes and a window of {card.samples} samples ({card.window})."
    )
    parts = [text, _table(("network", "parameters", "MiB", "multiply-adds, millions"), rows)]
    if card.name == "light_resnet18":
        changes = [(f"`{name.split('/')[1]}`", _design(name)) for name in card.models]
        parts += ["What each design changes in E1:", _table(("network", "change"), changes)]
    return parts


def _results(card: ModelCard, results: Path, sweeps: Mapping[str, list[Planned]]) -> list[str]:
    tables, others = recorded(card, results)
    parts = []
    for heading, table in tables:
        parts += [heading, table._repr_html_()]
    if not tables:
        parts.append("No run that trains it on all records of a task is recorded yet.")
    if len(others):
        count = others.groupby("method").size()
        listed = ", ".join(f"{method} ({n})" for method, n in count.items())
        parts.append(
            f"Other recorded runs with it, by method: {listed}. They answer other questions, in the chapters."
        )
    rows = []
    for name, planned in sweeps.items():
        own = [p for p in planned if p.run.model in card.models]
        if own:
            rows.append((f"`{name}`", len(own), sum(p.state == "finished" for p in own)))
    if rows:
        parts += ["Sweep files with runs of it:", _table(("file in `sweeps/`", "runs", "recorded"), rows)]
    return parts


def to_markdown(card: ModelCard, results: Path, sweeps: Mapping[str, list[Planned]]) -> str:
    """A card as a page of the book.

    Args:
        card: The card.
        results: The results folder.
        sweeps: For each sweep file its runs and how they stand.
    """
    module = "transfer.networks" if card.of_transfer else "models"
    outlines = []
    for model in card.drawn:
        rows = [(what, size, f"{count:,}") for what, size, count in outline(build(card, model), card.samples)]
        first = ("input", f"{LEADS} × {card.samples}", "")
        if len(card.models) > 1:
            outlines.append(f"`{model}`:")
        outlines.append(_table(("part", "output", "parameters"), [first, *rows]))
    length = f"exactly {card.samples} here" if "samples" in card.options else "free"
    takes = [
        ("input", f"(B, leads, T), {{term}}`standardised <standardise>`; T is {length}"),
        ("output", "(B, classes) {term}`logits <logit>`, one per class"),
        *(
            [("side input", "(B, 3), optional: age and sex, as `metadata_features` makes them")]
            if card.name == "light_resnet18"
            else []
        ),
        *((f"`{name}`", text) for name, text in card.options.items()),
    ]
    chapters = [f"- [{title}](../../../notebooks/{page})" for title, page in card.chapters]
    parts = [
        f"# {card.title}",
        f'`{module}.create("{card.drawn[0]}", leads={LEADS}, classes={card.classes})`',
        card.about.strip(),
        f"**From:** {card.source.strip()}",
        f"**Intended use:** {INTENDED_USE}",
        "## What goes in and out",
        _table(("what", "shape or meaning"), takes),
        "## Layers",
        "Channels × time; in two dimensions channels × leads × time.",
        *outlines,
        "## Size",
        *_numbers(card),
        "## Training in this book",
        card.trained.strip(),
        "## Recorded results",
        *_results(card, results, sweeps),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*card.limits, COMMON_LIMIT)),
        "## Chapters",
        "\n".join(chapters),
    ]
    return "\n\n".join(parts) + "\n"


def _overview() -> str:
    """One table of all networks, with links to their pages."""
    rows = [
        (
            f"[{card.title}]({name}.md)",
            ", ".join(f"`{m.split('/')[-1]}`" for m in card.models[:3])
            + (f" … `{card.models[-1].split('/')[-1]}`" if len(card.models) > 3 else ""),
        )
        for name, card in CARDS.items()
    ]
    return _table(("card", "networks"), rows) + "\n"


def write_pages(folder: Path, sweeps: Path, results: Path) -> list[Path]:
    """Write every card as ``<folder>/<name>.md``, and add a table of them to ``<folder>/index.md``.

    Args:
        folder: Where the pages go; its ``index.md`` is there already.
        sweeps: The folder of the sweep files.
        results: The results folder.
    """
    planned = {path.name: plan(read_sweep(path), results) for path in sorted(sweeps.glob("*.yaml"))}
    paths = []
    for name, card in CARDS.items():
        path = folder / f"{name}.md"
        with atomic_write(path) as file:
            file.write(to_markdown(card, results, planned))
        paths.append(path)
    with (folder / "index.md").open("a", encoding="utf-8") as index:
        index.write("\n" + _overview())
    return paths
