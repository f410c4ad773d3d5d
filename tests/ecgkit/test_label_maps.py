"""Label maps: against the Challenge's own files, SPH's metadata, and PTB-XL's statements."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgkit.datasets import code_systems


def challenge_map(folder: Path, year: int) -> pd.DataFrame:
    """The published map of a year: code, abbreviation, scored, and the counts per source."""
    parts = []
    for kind in ("scored", "unscored"):
        table = pd.read_csv(folder / f"challenge{year}_dx_mapping_{kind}.csv")
        table = table.rename(columns={"SNOMED CT Code": "code", "SNOMEDCTCode": "code"})
        parts.append(table.assign(code=table["code"].astype(str), scored=kind == "scored"))
    return pd.concat(parts, ignore_index=True)


def test_snomed_table_is_consistent() -> None:
    codes = code_systems.snomed_codes()
    assert len(codes) == 133
    assert len({entry.abbreviation for entry in codes.values()}) == 133
    for entry in codes.values():
        assert code_systems.code_of(entry.abbreviation) == entry.code
        for year, code in entry.scored_as.items():
            assert codes[code].scored_as[year] == code  # the one that stands for both stands for itself
    with pytest.raises(KeyError, match="XYZ"):
        code_systems.code_of("XYZ")


def test_scored_codes_merge_what_the_challenge_merges() -> None:
    assert code_systems.scored_codes(["17338001", "63593006", "164909002"], 2020) == (
        "427172004",
        "284470004",
        "164909002",
    )
    assert code_systems.scored_codes(["164909002", "733534002"], 2021) == ("733534002",)
    assert code_systems.scored_codes(["164884008", "no such code"]) == ()
    with pytest.raises(ValueError, match="2019"):
        code_systems.scored_classes(2019)


def test_aha_statements() -> None:
    assert len([c for c in code_systems.aha_codes().values() if c.category]) == 44
    assert len([c for c in code_systems.aha_codes().values() if not c.category]) == 15
    assert {c.category for c in code_systems.aha_codes().values()} == {*code_systems.CATEGORIES, None}
    parsed = code_systems.parse_statements("30+310+340;1")
    assert parsed == (code_systems.AhaStatement("30", ("310", "340")), code_systems.AhaStatement("1"))
    assert code_systems.parse_statements("") == () and len(code_systems.parse_statements("22; ;1;")) == 2
    assert code_systems.describe(parsed[0]) == "Atrial premature complex(es), frequent, couplets"
    assert code_systems.describe(code_systems.AhaStatement("999")) == "code 999"


@pytest.mark.parametrize("text", ["60+", "+60", "310", "22+60", "AF", "\u00b2", "22;x"])
def test_bad_aha_statements_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no list of AHA statements"):
        code_systems.parse_statements(text)


def test_code_maps_go_both_ways() -> None:
    forward, back = code_systems.scp_to_snomed(), code_systems.snomed_to_scp()
    assert len(forward) == 71
    assert {scp: code for code, group in back.items() for scp in group} == dict(forward)
    assert set(forward.values()) <= set(code_systems.snomed_codes())
    assert len(back["164865005"]) == 13  # what the docstring says is lost
    assert 71 - len(code_systems.scp_to_aha()) == 34
    assert len(set(code_systems.scp_to_aha().values())) == len(code_systems.scp_to_aha())
    assert code_systems.challenge_codes(["SR"], "MID") == {"426783006"}
    with pytest.raises(KeyError):
        code_systems.challenge_codes(["NOT A STATEMENT"])


@pytest.mark.real_data
@pytest.mark.parametrize("year", [2020, 2021])
def test_snomed_table_equals_the_published_map(real_data: Path, year: int) -> None:
    published = challenge_map(real_data / "labels", year)
    codes = code_systems.snomed_codes()
    for code, abbreviation, name, scored in zip(
        published["code"], published["Abbreviation"], published["Dx"], published["scored"], strict=True
    ):
        assert codes[code].abbreviation == abbreviation
        assert codes[code].name == " ".join(name.replace("countercol", "countercl").split())
        assert (year in codes[code].scored_as) == scored
    scored_there = set(published.loc[published["scored"], "code"])
    assert {c.code for c in codes.values() if year in c.scored_as} == scored_there
    merged = published["Notes"].dropna().str.findall(r"\d{6,}")
    for first, second in merged:
        assert codes[first].scored_as[year] == codes[second].scored_as[year]


@pytest.mark.real_data
def test_ptbxl_codes_become_exactly_those_of_the_challenge(real_data: Path) -> None:
    """Two independent files: PTB-XL 1.0.1's statements, and the Dx of the Challenge's 21,837 headers."""
    table = pd.read_csv(real_data / "labels" / "challenge2020_demographics_dx.csv", keep_default_na=False)
    table = table[table["tranche_name"] == "PTB-XL"]
    statements = pd.read_csv(real_data / "ptbxl" / "ptbxl_database_v1.0.1.csv", index_col="ecg_id")
    assert len(table) == len(statements) == 21_837
    codes = {entry.abbreviation: entry.code for entry in code_systems.snomed_codes().values()}
    for record, diagnosis in zip(table["record"], table["diagnosis"], strict=True):
        row = statements.loc[int(record[2:])]
        ours = code_systems.challenge_codes(ast.literal_eval(row["scp_codes"]), row["heart_axis"])
        assert ours == {codes[name] for name in diagnosis.split(";")}, record


@pytest.mark.real_data
def test_aha_codes_equal_the_statement_tables(real_data: Path) -> None:
    published = pd.read_csv(real_data / "sph" / "codes.csv", dtype=str)
    for category, code, name in published.itertuples(index=False):
        entry = code_systems.aha_codes()[code]
        assert (entry.category or "Modifier", entry.name) == (category, name)
    scp = pd.read_csv(real_data / "ptbxl" / "scp_statements.csv", index_col=0)["AHA code"].dropna()
    assert {k: str(int(v)) for k, v in scp.items()} == dict(code_systems.scp_to_aha())
    metadata = pd.read_csv(real_data / "sph" / "metadata.csv", dtype=str)
    parsed = [code_systems.parse_statements(text) for text in metadata["AHA_Code"]]
    assert len(parsed) == 25_770
    assert {s.primary for record in parsed for s in record} == {
        c.code for c in code_systems.aha_codes().values() if c.category
    }
    # Published: 46.04 % of the records contain abnormalities, 14.45 % have several statements.
    normal = np.mean([[s.primary for s in record] == ["1"] for record in parsed])
    assert 100 * (1 - normal) == pytest.approx(46.04, abs=0.01)  # 46.0497: the paper cuts, or rounds wrongly
    assert round(100 * np.mean([len(record) > 1 for record in parsed]), 2) == 14.45


@pytest.mark.real_data
def test_melep_labels_against_the_counts(real_data: Path) -> None:
    """Georgia: its ten labels are the ten most frequent scored ones. CSN: the twenty above 1,000 records."""
    counts = challenge_map(real_data / "labels", 2021).set_index("code")
    georgia = counts.loc[counts["scored"], "Georgia"].nlargest(10)
    assert set(georgia.index) == set(code_systems.MELEP_LABELS["georgia"].values())
    csn = counts["Chapman_Shaoxing"] + counts["Ningbo"]
    assert set(csn.index[csn > 1000]) == set(code_systems.MELEP_LABELS["csn"].values())
    assert (int(csn["164873001"]), int(csn["55827005"])) == (647, 5401)  # the two readings of "LVH"
