"""A table reads the same however many rows it has."""

from __future__ import annotations

import pytest
from rich.table import Table

from serinus.cli import options
from serinus.cli.options import print_table


@pytest.mark.parametrize(
    "rows",
    [
        [("fraud", "1", "[bold]x[/]"), ("credit-of-cards", "12", "")],
        [("日本", "é", ":smile:"), ("a", "b" * 300, "c")],
    ],
)
def test_many_rows_read_as_few_do(
    rows: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(many: int) -> list[str]:
        monkeypatch.setattr(options, "_MANY", many)
        table = Table("model", "version", "what", box=None)
        for row in rows:
            table.add_row(*row)
        print_table(table)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    assert printed(0) == printed(100)
