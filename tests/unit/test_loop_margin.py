"""Pages that a loop and a person write together."""

from __future__ import annotations

from pathlib import Path

from evo.ops.loop.margin import KEPT, LINE, write


def page(tmp_path: Path, text: str) -> str:
    write(tmp_path / "PAGE.md", text, memory=tmp_path / "memory", title="# Page")
    return (tmp_path / "PAGE.md").read_text(encoding="utf-8")


def test_what_the_loop_wrote_goes_and_what_a_person_wrote_stays(tmp_path: Path) -> None:
    assert page(tmp_path, "one\n") == f"# Page\n\n{LINE}\n\none\n"
    path = tmp_path / "PAGE.md"
    path.write_text(path.read_text().replace("# Page\n", "# Page\n\nmine above\n") + "\nmine below\n")
    assert page(tmp_path, "two\n") == f"# Page\n\nmine above\n\n{KEPT}\n\nmine below\n\n{LINE}\n\ntwo\n"
    path.write_text(path.read_text() + "also mine\n")
    told = page(tmp_path, "three\n")
    assert told.startswith(f"# Page\n\nmine above\n\n{KEPT}\n\nmine below\n\nalso mine\n\n{LINE}")
    assert told.endswith(f"{LINE}\n\nthree\n")
    assert page(tmp_path, "three\n") == told, "writing it again changes nothing"


def test_a_page_that_was_there_is_the_persons(tmp_path: Path) -> None:
    (tmp_path / "PAGE.md").write_text("her own page")
    assert page(tmp_path, "one\n") == f"her own page\n\n{LINE}\n\none\n"


def test_a_kill_between_memory_and_page_makes_no_line_hers(tmp_path: Path) -> None:
    """The page as it was, the memory as it is: what a kill before the page's own write leaves, twice in a row."""
    old = page(tmp_path, "one\nround 1\n")
    for text in ("two\nround 2\n", "three\nround 3\n"):
        page(tmp_path, text)
        (tmp_path / "PAGE.md").write_text(old)
    assert page(tmp_path, "four\n") == f"# Page\n\n{LINE}\n\nfour\n"


def test_a_line_that_was_taken_out_comes_back_and_hers_stay(tmp_path: Path) -> None:
    page(tmp_path, "one\n")
    path = tmp_path / "PAGE.md"
    path.write_text(path.read_text().replace(LINE, "hers"))
    told = page(tmp_path, "two\n")
    assert told.count(LINE) == 1
    assert "hers" in told.partition(LINE)[0]
    assert "one" not in told


def test_her_bytes_and_her_line_ends_stay(tmp_path: Path) -> None:
    """Latin-1 and CRLF, above the line and below it; a character that only Unicode takes for a line end, too."""
    path, above = tmp_path / "PAGE.md", b"# Plan\r\ncaf\xe9 first\r\n"
    path.write_bytes(above)
    for text, below in (("one\n", b"below \xe9\r\n"), ("two\n", "x\u2028y\n".encode()), ("three\n", b"")):
        write(path, text, memory=tmp_path / "memory")
        path.write_bytes(path.read_bytes() + below)
    told, _, ours = path.read_bytes().partition(LINE.encode())
    assert told.startswith(above + b"\n" + KEPT.encode())
    assert told.count(b"\nbelow \xe9\r\n") == told.count("\nx\u2028y\n".encode()) == 1
    assert ours == b"\n\nthree\n"
