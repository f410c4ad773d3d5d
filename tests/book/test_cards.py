"""Cards: one per data set, rendered into the book, and true as far as data and label files can tell."""

import ast
import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from ecgbook.page.dataset_cards import to_markdown, write_cards
from ecgkit import datasets
from ecgkit.datasets.cards import CARDS, Card
from ecgkit.datasets.code_systems import scp_to_snomed, snomed_codes
from ecgkit.datasets.labels_challenge import published_counts, read_labels
from ecgkit.datasets.sph import read_metadata
from ecgkit.signals.read import read_header

PAGES = Path(__file__).parents[2] / "book" / "cards"


def problems(name: str) -> str:
    return "\n".join(CARDS[name].problems)


def test_every_data_set_has_a_card_and_every_card_a_data_set() -> None:
    assert set(CARDS) == set(datasets.names())


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_cards_are_complete(card: Card) -> None:
    source = datasets.SOURCES[card.name]
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        assert value or field.name == "patients" or (field.name, card.name) == ("page", "synthetic"), (
            field.name
        )
    assert set(card.sampling_rates_hz) <= set(source.sampling_rates_hz)
    assert card.coding in ("SCP-ECG", "SNOMED CT", "AHA")
    for reference in card.references:
        assert not reference.doi or re.fullmatch(r"10\.\d{4,9}/\S+", reference.doi)
    if card.name != "synthetic":
        assert any(reference.doi for reference in card.references)
        assert f"{card.records:,} records" in source.title
    text = str(card)
    assert card.name in text and max(map(len, text.splitlines())) <= 110
    assert all(problem.split()[0] in text for problem in card.problems)


def test_pages_of_the_book_are_up_to_date(tmp_path: Path) -> None:
    written = write_cards(tmp_path)
    assert {path.name for path in written} == {path.name for path in PAGES.glob("*.md")}
    for path in written:
        assert path.read_text(encoding="utf-8") == (PAGES / path.name).read_text(encoding="utf-8"), (
            f"run `python -m ecgbook.page.dataset_cards book/cards` ({path.name} differs)"
        )


def test_pages_link_their_sources() -> None:
    page = to_markdown(CARDS["sph"])
    assert "[doi:10.1038/s41597-022-01403-5](https://doi.org/10.1038/s41597-022-01403-5)" in page
    assert "| Records | 25,770 |" in page and "| Patients | 24,666 |" in page


@pytest.mark.parametrize("name", ["cpsc2018", "cpsc2018_extra", "georgia", "csn", "ptb"])
def test_label_counts_of_the_challenge_sets(name: str) -> None:
    assert CARDS[name].labels == int((published_counts()[name] > 0).sum())


def test_numbers_quoted_from_the_label_maps() -> None:
    counts = published_counts()
    of = {entry.abbreviation: entry.code for entry in snomed_codes().values()}
    extra = counts["cpsc2018_extra"]
    assert (extra[of["OldMI"]], extra[of["CMI"]]) == (1168, 161)
    assert "(1,168 records)" in problems("cpsc2018_extra") and "(161)" in problems("cpsc2018_extra")
    assert counts["ptb"][of["MI"]] == 368 and "368 of 516" in problems("ptb")
    assert counts["csn"][of["LVH"]] == 647 and counts["csn"][of["LVHV"]] == 5401
    georgia = counts["georgia"]
    assert georgia[of["NSSTTA"]] == 1883 and "1,883" in problems("georgia")
    ten = ("NSR", "AF", "IAVB", "PAC", "SB", "LAD", "STach", "TAb", "TInv", "LQT")
    assert sum(georgia[of[name]] < 1883 for name in ten) == 9 and "nine of the ten" in problems("georgia")
    from_statements, coded = set(scp_to_snomed().values()), counts["ptbxl"].index[counts["ptbxl"] > 0]
    assert len(from_statements) == 47 and "71 became 47 codes" in problems("ptbxl")
    assert len(set(coded) - from_statements) == 3 and "Three more codes" in problems("ptbxl")


@pytest.mark.real_data
def test_numbers_of_the_challenge_sets(real_data: Path) -> None:
    path = real_data / "labels" / "challenge2020_demographics_dx.csv"
    table, raw = read_labels(path), pd.read_csv(path)
    for name in ("cpsc2018", "cpsc2018_extra", "georgia", "ptb"):
        assert CARDS[name].records == int((table["source"] == name).sum())
    unknown = table["age"].isna().groupby(table["source"]).sum()
    assert unknown[["cpsc2018", "georgia", "ptb"]].tolist() == [9, 77, 9]
    cpsc = raw[raw["tranche_name"] == "CPSC"]
    assert int((cpsc["age"] == -1).sum()) == 4
    classes = cpsc["diagnosis"].str.count(";") + 1
    assert (int((classes > 1).sum()), int((classes == 3).sum())) == (476, 6)
    names = raw.set_index("tranche_name")["diagnosis"].str.split(";")
    repeated = names.map(lambda each: {name for name in each if each.count(name) > 1})
    assert int(repeated["Georgia"].map(bool).sum()) == 628
    assert int(repeated["Georgia"].map(lambda each: "PAC" in each).sum()) == 596
    assert int(repeated["CPSC-Extra"].map(bool).sum()) == 3


@pytest.mark.real_data
def test_faults_of_the_headers(real_data: Path) -> None:
    georgia = [path.read_text() for path in (real_data / "georgia").glob("*.hea")]
    assert any(text.split()[0].endswith(".mat") for text in georgia)
    assert any("4880/mV" in text for text in georgia)
    cpsc = read_labels(real_data / "cpsc2018").set_index("record_id")
    assert len(cpsc) == 64
    assert any("Normal" in path.read_text() for path in (real_data / "cpsc2018").glob("*.hea"))
    ptb = read_labels(real_data / "ptb").set_index("record_id")["codes"].map(set)
    table = read_labels(real_data / "labels" / "challenge2020_demographics_dx.csv").set_index("record_id")
    differ = [name for name in ptb.index if ptb[name] != set(table["codes"][name])]
    assert differ == ["S0001", "S0002", "S0005"]
    header = read_header(real_data / "ptb" / "S0001.hea")
    assert {line.units for line in header.signals} == {"mv"}
    shortest = min(
        header.samples / header.sampling_rate_hz
        for header in map(read_header, (real_data / "cpsc2018_extra").glob("*.hea"))
    )
    assert shortest == 10


@pytest.mark.real_data
def test_numbers_of_ptbxl(real_data: Path) -> None:
    table = pd.read_csv(real_data / "ptbxl" / "ptbxl_database.csv")
    card = CARDS["ptbxl"]
    assert (card.records, card.patients) == (len(table), table["patient_id"].nunique())
    assert card.labels == len(set().union(*map(ast.literal_eval, table["scp_codes"])))
    assert (int((table["age"] == 300).sum()), int(table["age"].isna().sum())) == (204, 89)
    assert len(pd.read_csv(real_data / "ptbxl" / "ptbxl_database_v1.0.1.csv")) == 21_837


@pytest.mark.real_data
def test_numbers_of_csn_and_sph(real_data: Path) -> None:
    maps = [
        pd.read_csv(real_data / "labels" / f"challenge2021_dx_mapping_{k}.csv")
        for k in ("scored", "unscored")
    ]
    by_name = pd.concat(maps).set_index("Abbreviation")[["Chapman_Shaoxing", "Ningbo"]]
    assert by_name.loc["AF"].tolist() == [1780, 0] and by_name.loc["AFL"].tolist() == [445, 7615]
    acronyms = pd.read_csv(real_data / "labels" / "csn_acronyms_third_party.csv")
    assert len(acronyms) == 45_153 == CARDS["csn"].records + 1 and acronyms["RecordID"].max() == "JS45551"
    sph = read_metadata(real_data / "sph")
    card = CARDS["sph"]
    assert (card.records, card.patients) == (len(sph), sph["patient"].nunique())
    statements = sph["codes"].str.split(";")
    assert int((statements.map(len) > statements.map(lambda each: len(set(each)))).sum()) == 8
    assert set(sph.loc[sph["codes"] == "1;1", "record_id"]) == {"A02322", "A05000"}
    primary = statements.map(lambda each: {text.split("+")[0] for text in each}).explode().value_counts()
    assert len(primary) == card.labels and int((primary < 30).sum()) == 16
    assert round(100 * (sph["codes"].isin(["1", "1;1"])).mean()) == 54


def test_numbers_of_the_synthetic_set() -> None:
    """Counts without making the records: patients come from the plan."""
    from ecgkit.datasets.synthetic import GENERATOR_VERSION
    from ecgkit.datasets.synthetic.records import recordings

    card = CARDS["synthetic"]
    assert card.version == GENERATOR_VERSION
    patients = {patient.number for _, patient in recordings(0, "ptbxl", card.records)}
    assert card.patients == len(patients)
