"""A document is plain values; every printer shows all of it, and escapes what people wrote."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.papers.document import Bullets, Column, Document, Facts, Kind, Section, Table, Text, printed
from serinus.papers.html import to_html
from serinus.papers.text import to_text

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("cell", "kind", "expected"),
    [
        (None, "number", "no data"),
        (0.12345, "number", "0.1235"),
        (0, "number", "0"),
        (1234567, "count", "1,234,567"),
        (9999.4, "number", "9,999"),
        (9999.6, "number", "10,000"),
        (54970.3, "number", "54,970"),
        (123456.7, "number", "123,457"),
        (0.000012, "number", "1.2e-5"),
        (0.5, "share", "50.0 %"),
        (0.0, "share", "0.0 %"),
        (0.0023, "share", "0.23 %"),
        (-0.00001, "share", "0.00 %"),
        (-0.0, "share", "0.0 %"),
        (-0.001, "share", "-0.10 %"),
        (0.01, "share", "1.0 %"),
        ((0.1, 0.2), "interval", "0.1 to 0.2"),
        ((0.1, 0.2), "share", "10.0 to 20.0 %"),
        ((0.0003, 0.0041), "share", "0.03 to 0.41 %"),
        ((None, None), "interval", "no data"),
        ("no_data", "verdict", "not measured"),
        ("no_champion", "verdict", "no champion"),
        ("pass", "verdict", "pass"),
    ],
)
def test_a_cell_is_printed(cell: object, kind: Kind, expected: str) -> None:
    assert printed(cell, kind) == expected  # type: ignore[arg-type]


def test_an_empty_table_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="has no rows"):
        Table("Nothing", (Column("A"),), ())


def test_a_row_of_another_width_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="cells"):
        Table("Crooked", (Column("A"), Column("B")), (("a",),))


def document(*texts: str) -> Document:
    blocks = (
        Text(texts[0]),
        Bullets((texts[1],)),
        Facts((("word", texts[2]),)),
        Table("Table", (Column("A"),), ((texts[3],),)),
    )
    return Document(
        kind="card", title="Title", subject="s", sections=(Section(title="One", why=texts[4], blocks=blocks),)
    )


@given(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS))
def test_html_shows_every_text_and_takes_none_for_markup(texts: tuple[str, ...]) -> None:
    from html import unescape
    from html.parser import HTMLParser

    seen: list[str] = []
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            seen.append(data)

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "wbr":  # where a name may be broken: as many as it has underscores
                tags.append(tag)

    page = to_html(document(*texts))
    reader = Reader(convert_charrefs=True)
    reader.feed(page)
    whole = "".join(seen)
    assert all(text in whole or text in unescape(page) for text in texts)
    plain = Reader()
    mark = len(tags)
    plain.feed(to_html(document("a", "b", "c", "d", "e")))
    assert tags[:mark] == tags[mark:], "a text has become a tag"


@given(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS))
def test_plain_text_shows_every_text(texts: tuple[str, ...]) -> None:
    shown = to_text(document(*texts)).replace("\n", "")
    assert all(text in shown for text in texts)


def test_a_document_is_json_and_comes_back_equal() -> None:
    before = document("a", "b", "c", "d", "e")
    assert msgspec.json.decode(msgspec.json.encode(before), type=Document) == before


def test_html_breaks_neither_numbers_nor_verdicts_nor_words() -> None:
    columns = (
        Column("Demand", "name"), Column("Limit"), Column("Value", "number"), Column("Verdict", "verdict"),
        Column("Digest", "code"), Column("Note"),
    )  # fmt: skip
    row = (
        "false_positive_rate_at_decline_of_the_group",
        "<= 10,000",
        0.25,
        "no_data",
        "a1" * 32,
        "a long note " * 5,
    )
    section = Section(title="One", blocks=(Table("", columns, (row,)),))
    page = to_html(Document(kind="card", title="Card", subject="m v1", sections=(section,)))
    for cell in (
        "<td>false_<wbr>positive_<wbr>rate_<wbr>at_<wbr>decline_<wbr>of_<wbr>the_<wbr>group</td>",
        '<td class="k">&lt;= 10,000</td>',
        '<td class="n">0.25</td>',
        '<td class="k no_data">not measured</td>',
        f'<td class="c"><code>{"a1" * 32}</code></td>',
        '<td class="t">a long note',
    ):
        assert cell in page, cell


@pytest.mark.parametrize(("kind", "named"), [("validation", True), ("notice", False), ("inventory", False)])
def test_a_paper_on_a_version_says_which(kind: str, named: bool) -> None:
    page = to_html(Document(kind=kind, title="Title", subject="m v1"))
    assert ('<h1>Title <span class="subject">m v1</span></h1>' in page) == named


def test_an_address_is_read_line_by_line() -> None:
    lines = Text("Bank & Sons\n1 Street\nTown")
    page = to_html(
        Document(kind="notice", title="T", subject="s", sections=(Section(title="", blocks=(lines,)),))
    )
    assert "<p>Bank &amp; Sons<br>1 Street<br>Town</p>" in page
