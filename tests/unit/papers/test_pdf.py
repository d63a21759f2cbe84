"""PDFs as their reader sees them: every page within its margins, numbered, nothing cut, the same bytes again."""

from __future__ import annotations

import json
import re

import pypdfium2
import pytest
import typst
from hypothesis import given
from hypothesis import strategies as st

from serinus.papers import pdf as setting
from serinus.papers.document import Column, Document, Section, Table, Text
from serinus.papers.make import PAPERS, PaperKind
from serinus.papers.pdf import to_pdf, widths
from tests.unit.papers.conftest import Made

KINDS: list[PaperKind] = ["validation", "card", "fairness"]


def pages(pdf: bytes) -> list[str]:
    return [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(pdf)]


def plain(text: str) -> str:
    """Without blanks and marks of where a word may be broken, as extracting breaks lines where the page did."""
    return re.sub(r"[\s\u200b\ufffe\u00ad\x02-]", "", text)


def outside(pdf: bytes) -> list[str]:
    """Characters that leave the page's margins (15 mm at the sides)."""
    found: list[str] = []
    for number, page in enumerate(pypdfium2.PdfDocument(pdf), start=1):
        width, height = page.get_size()
        text = page.get_textpage()
        for i in range(text.count_chars()):
            left, bottom, right, top = text.get_charbox(i)
            if right > left and (left < 42 or right > width - 42 or bottom < 20 or top > height - 20):
                found.append(f"page {number}: {text.get_text_range(i, 1)!r} at {left:.0f} to {right:.0f}")
    return found


@pytest.fixture(scope="module", params=KINDS)
def paper(request: pytest.FixtureRequest, made: Made) -> tuple[Document, bytes]:
    document = PAPERS[request.param](made.outside)
    return document, to_pdf(document)


def test_the_same_version_gives_the_same_bytes(paper: tuple[Document, bytes]) -> None:
    assert to_pdf(paper[0]) == paper[1]


def test_every_page_is_numbered_and_says_what_it_is_of(paper: tuple[Document, bytes]) -> None:
    document, pdf = paper
    found = pages(pdf)
    assert len(found) >= (8 if document.kind == "validation" else 2 if document.kind == "card" else 1)
    for i, text in enumerate(found, start=1):
        assert f"{i} / {len(found)}" in text
        assert plain(document.foot) in plain(text)
    for text in found[1:]:
        assert document.title in text
        assert document.subject in text


def test_nothing_is_cut_at_the_margins(paper: tuple[Document, bytes]) -> None:
    assert outside(paper[1]) == []


def test_every_heading_and_every_cell_can_be_read(paper: tuple[Document, bytes]) -> None:
    document, pdf = paper
    whole = plain("".join(pages(pdf)))
    for section in document.sections:
        assert plain(section.title) in whole
        for block in section.blocks:
            if isinstance(block, Table):
                for row in block.rows:
                    for cell, column in zip(row, block.columns, strict=True):
                        if isinstance(cell, str) and column.kind != "verdict":
                            # A cell over two pages is broken by head and foot; none is that long.
                            assert plain(cell)[:40] in whole, cell


def test_no_heading_is_left_alone_at_the_end_of_a_page(paper: tuple[Document, bytes]) -> None:
    document, pdf = paper
    titles = {f"{s.number}. {s.title}" if s.number else s.title for s in document.sections if s.title}
    titles |= {b.title for s in document.sections for b in s.blocks if isinstance(b, Table) and b.title}
    foot = {document.foot, ""}
    for text in pages(pdf):
        lines = [line.strip() for line in text.splitlines()]
        # The foot comes last: digest and page number.
        body = [
            line for line in lines if line not in foot and not re.fullmatch(r"(sha256:\w+ ?)?\d+ / \d+", line)
        ]
        last = body[-1] if body else ""
        assert last not in titles, last


def test_drawings_have_words_for_those_who_cannot_see_them_and_pages_a_structure(
    paper: tuple[Document, bytes],
) -> None:
    # Typst refuses to write PDF/UA-1 without; these are the marks of it in the file.
    assert b"pdfuaid" in paper[1]
    assert b"/StructTreeRoot" in paper[1] or b"StructTreeRoot" in paper[1]


def test_without_a_date_it_has_none() -> None:
    pdf = to_pdf(
        Document(kind="card", title="T", subject="s", sections=(Section(title="A", blocks=(Text("b"),)),))
    )
    assert pypdfium2.PdfDocument(pdf).get_metadata_dict().get("CreationDate", "") == ""
    assert len(pages(pdf)) == 1


@pytest.mark.parametrize(
    "word",
    [
        "x" * 300,
        "sha256:" + "0a" * 32,
        "a_very_long_name_of_a_feature_" * 5,
        "#[evil](#panic()) $x$ *a* `b` @c <d>",
    ],
)
def test_a_word_of_any_length_stays_within_the_page_and_is_never_markup(word: str) -> None:
    columns = (
        Column("Name", "name"),
        Column("Long heading of a column of figures", "number"),
        Column("Text"),
    )
    table = Table("Table", columns, ((word, 1.25, word), ("short", 2.5, "short")))
    pdf = to_pdf(
        Document(
            kind="card", title="T", subject="s", sections=(Section(title="A", blocks=(Text(word), table)),)
        )
    )
    assert outside(pdf) == []
    assert plain(word) in plain("".join(pages(pdf)))


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(
            st.lists(st.sampled_from(["text", "name", "number", "verdict", "code"]), min_size=n, max_size=n),
            st.lists(
                st.lists(st.text("ab_ .", min_size=0, max_size=80), min_size=n, max_size=n),
                min_size=1,
                max_size=5,
            ),
        )
    )
)
def test_columns_always_share_the_whole_page(made_of: tuple[list[str], list[list[str]]]) -> None:
    kinds, rows = made_of
    columns = tuple(Column(f"c{i}", kind) for i, kind in enumerate(kinds))  # type: ignore[arg-type]
    table = Table("T", columns, tuple(tuple(row) for row in rows))
    found = widths(table, rows)
    assert len(found) == len(kinds)
    assert all(width > 0 for width in found)
    assert sum(found) == pytest.approx(1)


@pytest.mark.parametrize(("weight", "face"), [("regular", setting.PLAIN), ("bold", setting.BOLD)])
def test_widths_of_letters_are_those_of_the_templates_face(weight: str, face: tuple[int, ...]) -> None:
    source = f"""#set text(font: "Libertinus Serif", size: 1000pt, weight: "{weight}")
    #context [#metadata(range(33, 127).map(i => measure(str.from-unicode(i)).width.pt())) <found>]
    #context [#metadata(measure("a b").width.pt() - measure("ab").width.pt()) <blank>]"""
    found, blank = (
        json.loads(typst.query(source.encode(), name, field="value", one=True, ignore_system_fonts=True))
        for name in ("<found>", "<blank>")
    )
    assert [blank, *found] == pytest.approx(face, abs=1)


def test_numbers_are_whole_and_a_note_is_read_in_a_few_lines(made: Made) -> None:
    document = PAPERS["card"](made.outside)
    (demands,) = [
        block
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table) and block.title == "What was demanded"
    ]
    rows = [
        [setting.printed(cell, column.kind) for cell, column in zip(row, demands.columns, strict=True)]
        for row in demands.rows
    ]
    found = dict(zip((column.title for column in demands.columns), widths(demands, rows), strict=True))
    assert found["Note"] > 0.2, found
    for pdf in (to_pdf(document),):
        text = "\n".join(pages(pdf))
        for row in rows:
            assert row[2] in text, "an interval was broken over two lines"


def test_a_heading_takes_two_lines_before_it_widens_a_column_of_figures() -> None:
    table = Table("T", (Column("Decisions that changed", "number"), Column("Text")), ((1.25, "word " * 200),))
    share = widths(table, [["1.25", "word " * 200]])[0]
    assert share < widths(Table("T", (Column("Decisionsthatchanged", "number"), Column("Text")), table.rows),
                          [["1.25", "word " * 200]])[0]  # fmt: skip


def test_what_explains_a_short_table_stays_on_its_page() -> None:
    rows = tuple((f"row {i}", 1.0) for i in range(8))
    tables = tuple(
        Table(f"Table {k}", (Column("Name"), Column("Value", "number")), rows, f"What explains table {k}.")
        for k in range(12)
    )
    pdf = to_pdf(Document(kind="card", title="T", subject="s", sections=(Section(title="A", blocks=tables),)))
    for text in pages(pdf):
        for k in range(12):
            assert (f"Table {k}\r" in text or f"Table {k}\n" in text) == (f"explains table {k}." in text), k
