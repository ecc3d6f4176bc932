"""The figures that the README quotes are those of the committed results."""

import pytest
from support import ROOT

from autorec.experiments.protocol import markdown, summarise
from autorec.experiments.tables import TABLES, TRIED

RESULTS = ROOT / "benchmarks/results/reproduction"
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("table", ["ml-1m", "ml-100k"])
def test_the_readmes_table_is_made_from_the_committed_results(table):
    lines = markdown(summarise(RESULTS, {table: TABLES[table]})).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(TABLES[table])
    assert "\n".join(rows) in README


def test_the_committed_tables_are_made_from_the_committed_results():
    assert (RESULTS / "tables.md").read_text() == markdown(summarise(RESULTS, TABLES), TRIED)


def test_the_readmes_benchmark_is_the_committed_one():
    table = (ROOT / "benchmarks/results/section.md").read_text()
    quoted = README.partition("`make bench`):")[2].partition("Beside PyTorch")[0].splitlines()
    figures = [line for line in quoted if line.startswith("| ") and line.count("|") == 6][1:]
    assert len(figures) == 4
    for line in figures:
        assert line.rstrip("|").rstrip() in table


def test_the_readmes_ratios_beside_pytorch_are_the_committed_ones():
    table = (ROOT / "benchmarks/results/epochs.md").read_text()
    quoted = README.partition("Beside PyTorch")[2].partition("## ")[0].splitlines()
    ratios = [line for line in quoted if line.startswith("| ") and " / " in line]
    assert len(ratios) == 6
    for line in ratios:
        assert line in table
