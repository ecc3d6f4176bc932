"""The figures that the README quotes are those of the committed results."""

import re

from support import ROOT

from autorec.experiments.summary import differences, markdown, summarise
from autorec.experiments.tables import DIFFERENCES, TABLES, TRIED

RESULTS = ROOT / "benchmarks/results/reproduction"
README = (ROOT / "README.md").read_text()


#: What the README calls a row, in the committed tables.
ROWS = {
    "Biased matrix factorisation": "Biased MF",
    "Bayesian matrix factorisation": "Bayesian MF",
    "Bayesian SVD++": "Bayesian SVD++, flipped",
    "I-AutoRec, the section's setting": "I-AutoRec, the section's setting",
}


def test_the_readmes_table_quotes_the_committed_results():
    rows = [line for line in README.splitlines() if line.startswith("|") and " ± " in line]
    quoted = [line.split("|")[1:-1] for line in rows]
    assert 5 <= len(quoted) <= 9
    for name, *cells in quoted:
        name = name.strip().replace("`", "")
        for cell, table in zip(cells, ("ml-100k", "ml-1m")):
            if cell.strip():
                lines = markdown(summarise(RESULTS, {table: TABLES[table]}))
                assert f"| {ROWS.get(name, name)} | {cell.strip()} | 5 |" in lines
    tables = (RESULTS / "tables.md").read_text()
    for figure in re.findall(r"\d\.\d{4} ± \d\.\d{4}", README):
        assert f"| {figure} | 5 |" in tables


def test_the_committed_tables_are_made_from_the_committed_results():
    compared = differences(RESULTS, TABLES, DIFFERENCES)
    expected = markdown(summarise(RESULTS, TABLES), TRIED, compared)
    assert (RESULTS / "tables.md").read_text() == expected
