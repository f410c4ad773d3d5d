"""Model cards: one per registered network, in step with the code, and pages whose numbers can be checked."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml

from ecgbook import papers
from ecgbook.experiments.method import train_config
from ecgbook.page.model_cards import CARDS, COMMON_LIMIT, INTENDED_USE, ModelCard, build, outline, sizes
from ecgbook.page.model_pages import recorded, to_markdown, write_pages
from ecgbook.runs.check import check_pages
from ecgbook.runs.grids import read_sweep
from ecgbook.runs.one_run import plan
from ecgbook.runs.records import write_record
from ecgbook.runs.run import Run
from ecgkit import models
from ecgkit.models.light_resnet18 import DESIGNS
from ecgkit.training.lightweight import LightweightConfig
from ecgkit.training.selection import SelectionConfig
from ecgkit.transfer import networks

ROOT = Path(__file__).parents[2]
EVERY_CARD = pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)


def test_every_registered_model_has_one_card_and_every_card_is_of_registered_models() -> None:
    carded = [model for card in CARDS.values() for model in card.models]
    assert sorted(carded) == sorted([*models.names(), *(set(networks.__all__) - {"create"})])


def builders(card: ModelCard) -> Iterator[object]:
    for model in card.models:
        yield getattr(networks, model) if card.of_transfer else models._MODELS[model]


@EVERY_CARD
def test_a_card_is_complete_and_names_every_option(card: ModelCard) -> None:
    for field in fields(card):
        may_be_empty = field.name in ("options", "variants")
        assert getattr(card, field.name) or may_be_empty, field.name
    assert set(card.drawn) <= set(card.models) >= {variant["model"] for variant in card.variants}
    known = {name for make in builders(card) for name in inspect.signature(make).parameters}  # type: ignore[arg-type]
    assert set(card.options) == known - {"leads", "classes"}
    assert "medical device" in INTENDED_USE


@EVERY_CARD
def test_what_a_card_refers_to_is_there(card: ModelCard) -> None:
    for title, page in card.chapters:
        source = (ROOT / "notebooks" / f"{page}.md").read_text(encoding="utf-8")
        assert f"\n# {title}\n" in source
    text = " ".join([card.about, card.source, card.trained, *card.limits, *card.options.values()])
    works = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    cited = re.findall(r"\{cite:t\}`(\w+)`", text)
    assert cited and all(f"{{{key}," in works for key in cited)
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    for term in re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", text):
        assert re.search(rf"^{re.escape(term)}$", glossary, flags=re.MULTILINE), term


def test_protocols_are_those_of_the_code() -> None:
    for name, card in CARDS.items():
        if "The benchmark's protocol" in card.trained:
            run = Run("x", "ptbxl", "1.0.3", "all", card.models[0], "supervised", "paper", seed=0)
            config = train_config(run)
            for said in (
                f"{config.epochs} epochs",
                f"batches of {config.batch_size}",
                f"{config.window_s} s",
                f"up to {config.max_lr}",
                f"decay {config.weight_decay}",
            ):
                assert said in " ".join(card.trained.split()), name
            assert (f"a length of {config.clip_norm}" in card.trained) == (config.clip_norm is not None)
    light, light_text = LightweightConfig(), " ".join(CARDS["light_resnet18"].trained.split())
    assert f"rate of {light.lr}" in light_text and f"batches of {light.batch_size}" in light_text
    assert f"weight decay {light.weight_decay:.5f}" in light_text
    less, less_text = SelectionConfig(), " ".join(CARDS["image_backbones"].trained.split())
    assert f"AdamW at {less.lr}, times {less.lr_decay}" in less_text
    assert f"batches of {less.batch_size}" in less_text and f"{less.epochs} epochs" in less_text


# Layers and sizes ---------------------------------------------------------------------------------------


@EVERY_CARD
def test_the_parts_of_an_outline_make_the_network(card: ModelCard) -> None:
    for model in card.drawn:
        network = build(card, model)
        rows = outline(network, card.samples)
        assert sum(count for _, _, count in rows) == sum(p.numel() for p in network.parameters())
        assert rows[-1][:2] == ("head", str(card.classes))
        features = network.body(torch.zeros(1, 12, card.samples))
        assert rows[-2][1] == " × ".join(str(n) for n in features.shape[1:])


def test_an_outline_by_hand() -> None:
    """resnet1d_wang: 250 samples, halved twice; a block has kernels of 5 and 3, and 1 where it halves."""
    rows = outline(build(CARDS["resnet1d_wang"], "resnet1d_wang"), 250)
    block = 128 * 128 * (5 + 3) + 4 * 128
    assert rows[:-1] == [
        ("convolution, kernel 7", "128 × 250", 12 * 128 * 7 + 2 * 128),
        ("residual block", "128 × 250", block),
        ("residual block", "128 × 125", block + 128 * 128 + 2 * 128),
        ("residual block", "128 × 63", block + 128 * 128 + 2 * 128),
    ]


def test_the_receptive_field_on_the_card_of_fcn_wang() -> None:
    body = build(CARDS["fcn_wang"], "fcn_wang").body.eval()
    x = torch.randn(1, 12, 100, generator=torch.Generator().manual_seed(0), requires_grad=True)
    body[:-1](x)[0, :, 50].square().sum().backward()  # before the last ReLU, which may be closed
    reached = int((x.grad.abs().sum(dim=(0, 1)) > 0).sum())
    assert f"is {reached} samples, {reached / 100} s" in CARDS["fcn_wang"].limits[0]


def test_sizes_are_the_published_ones() -> None:
    benchmark = {"fcn_wang": 318_279, "resnet1d_wang": 481_863, "inception1d": 516_167}
    for name, parameters in benchmark.items():
        assert sizes(CARDS[name])["parameters"].tolist() == [parameters]
    assert sizes(CARDS["xresnet1d"])["parameters"].tolist() == [962_503, 1_880_775]
    assert sizes(CARDS["lstm"])["parameters"].tolist() == [912_199, 2_339_143]
    thesis = papers.tables("light_resnet18", "Table 4.1")
    printed = thesis[thesis["column"] == "Model Size (MB)"].set_index("row")["value"]
    ours = sizes(CARDS["light_resnet18"]).set_index("model")["mib"]
    assert len(ours) == 18
    for name, mib in ours.items():
        assert mib == pytest.approx(printed[name.split("/")[1]], abs=0.1)


# Pages --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All pages, made from the sweeps and the results of this checkout."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "index.md").write_text((ROOT / "book/cards/models/index.md").read_text(encoding="utf-8"))
    paths = write_pages(folder, ROOT / "sweeps", ROOT / "results")
    assert {path.stem for path in paths} == set(CARDS)
    assert check_pages(ROOT / "results", [folder]) == []
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}


def test_pages_are_narrow_and_name_every_network(pages: dict[str, str]) -> None:
    for name, card in CARDS.items():
        assert f"]({name}.md)" in pages["index"]
        assert all(f"`{model.split('/')[-1]}`" in pages[name] for model in card.models)
        assert INTENDED_USE in pages[name] and COMMON_LIMIT in pages[name]
        assert "nan" not in pages[name].lower().replace("inance", "")
    for text in pages.values():
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert rows and max(line.count("|") for line in rows) <= 5  # four columns
    changes = pages["light_resnet18"].split("changes in E1:")[1].split("##")[0]
    listed = re.findall(r"^\| `(E\d+)` \| (.+) \|$", changes, flags=re.MULTILINE)
    assert [name for name, _ in listed] == list(DESIGNS) and len({words for _, words in listed}) == 18


def test_the_contents_lead_to_the_pages() -> None:
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    (chapter,) = [c for p in parts for c in p["chapters"] if c.get("file") == "book/cards/models/index"]
    assert chapter["sections"] == [{"glob": "book/cards/models/*"}]


def store(results: Path, auc: float, method: str = "supervised", seed: int = 0, **params: object) -> Run:
    run = Run("demo", "ptbxl", "1.0.3", "rhythm", "fcn_wang", method, "reduced", seed=seed, params={**params})
    record = {
        "status": "finished",
        "run": run.to_dict(),
        "metrics": {"macro_auc": {"point": auc, "low": auc - 0.01, "high": auc + 0.01}},
        "intervals": "percentile",
        "per_class": [],
        "config": {},
        "curve": [],
        "samples_backprop": 1,
        "effective_epochs": 1.0,
        "peak_memory_mib": None,
        "threads": 1,
        "versions": {},
        "commit": "made up",
        "seconds": {"train": 1.0},
        "data": {"records": {"train": 5, "validation": 1, "test": 1}},
        "predictions": "x.npz",
        "device": "made up",
        "date": "2026-01-01T00:00:00+00:00",
    }
    write_record(results, record)
    return run


def test_results_come_from_the_records(tmp_path: Path) -> None:
    """A row per setting: a t interval over seeds, else the run's own; other methods are counted."""
    card = CARDS["fcn_wang"]
    empty = to_markdown(card, tmp_path, {})
    assert "No run that trains it" in empty and "data-runs" not in empty
    runs = [store(tmp_path, 0.9, epochs=3), store(tmp_path, 0.81, epochs=7)]
    runs += [store(tmp_path, 0.83, seed=1, epochs=7), store(tmp_path, 0.7, method="dbpd", epochs=7)]
    ((heading, table),), others = recorded(card, tmp_path)
    assert heading == "**demo**: ptbxl, rhythm, 100 Hz"
    assert table.frame.to_dict("records") == [
        {"setting": "3 epochs", "macro AUC": "0.900", "95 % interval": "0.890 to 0.910", "seeds": 1},
        # mean 0.82, standard error 0.01, t of one degree of freedom 12.706
        {"setting": "7 epochs", "macro AUC": "0.820", "95 % interval": "0.693 to 0.947", "seeds": 2},
    ]
    assert others["method"].tolist() == ["dbpd"]
    text = to_markdown(card, tmp_path, {})
    assert "dbpd (1)" in text and "3 runs" in text
    shown = re.search(r'data-runs="([^"]*)"', text)
    assert shown is not None
    assert {reference.split(":")[0] for reference in shown[1].split()} == {f"demo/{r.hash}" for r in runs[:3]}
    (tmp_path / "page.md").write_text(text)
    assert check_pages(tmp_path, [tmp_path / "page.md"]) == []
    store(tmp_path, 0.91, epochs=3)
    (problem,) = check_pages(tmp_path, [tmp_path / "page.md"])
    assert "older record" in problem


def test_sweeps_are_counted(tmp_path: Path) -> None:
    runs = read_sweep(ROOT / "sweeps" / "quick.yaml")
    own = [run for run in runs if run.model == "fcn_wang"]
    text = to_markdown(CARDS["fcn_wang"], tmp_path, {"quick.yaml": plan(runs, tmp_path)})
    assert f"| `quick.yaml` | {len(own)} | 0 |" in text
    assert "quick.yaml" not in to_markdown(CARDS["bilstm"], tmp_path, {"quick.yaml": plan(runs, tmp_path)})
