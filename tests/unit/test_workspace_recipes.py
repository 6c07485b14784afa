from __future__ import annotations

from pathlib import Path

import pytest

from evo import assets
from evo.errors import FileFormatError, NotFound, Refused, UsageError
from evo.workspace.layout import Layout
from evo.workspace.recipe_check import check, misplacements
from evo.workspace.recipes import copy, find_recipe, load_recipe, names, refresh

GOOD = """\
name: tiny
technique: sft
params:
  learning_rate: {type: float, default: 5e-5, above: 0, max: 1, alias: lr}
  argv: {type: str, default: null}
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "ws")
    layout.create()
    return layout


def write_recipe(folder: Path, text: str = GOOD, page: str = "print(1)\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(text)
    if page:
        (folder / "train.py").write_text(page)
    return folder


def test_a_recipe_is_found_by_name_and_by_path(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(layout.recipes / "tiny")
    elsewhere = write_recipe(tmp_path / "elsewhere" / "mine")
    assert find_recipe(layout, "tiny").folder == layout.recipes / "tiny"
    assert find_recipe(layout, str(elsewhere)).name == "mine"
    monkeypatch.chdir(elsewhere.parent)
    assert find_recipe(layout, "./mine").folder == elsewhere
    assert find_recipe(layout, "tiny").config.params["learning_rate"].default == 5e-5


def test_the_workspaces_own_shadows_the_shipped_one(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = write_recipe(tmp_path / "shipped" / "tiny").parent
    write_recipe(shipped / "other")
    monkeypatch.setattr(assets, "folder", {"recipes": shipped}.__getitem__)
    assert find_recipe(layout, "tiny").is_shipped is True
    own = copy(layout, "tiny")
    found = find_recipe(layout, "tiny")
    assert (found.folder, found.is_shipped) == (own, False)
    assert names(layout) == {"other": shipped / "other", "tiny": own}
    with pytest.raises(Refused, match="exists already"):
        copy(layout, "tiny")
    with pytest.raises(UsageError):
        copy(layout, "tiny", to="../out")


def test_an_unknown_name_gets_the_nearest(layout: Layout) -> None:
    write_recipe(layout.recipes / "tiny")
    with pytest.raises(NotFound) as caught:
        find_recipe(layout, "tny")
    assert "'tiny'" in caught.value.hint
    with pytest.raises(NotFound, match=r"recipe\.yaml"):
        find_recipe(layout, "./nowhere")


def test_the_hash_covers_every_file_but_no_cache(layout: Layout) -> None:
    folder = write_recipe(layout.recipes / "tiny")
    before = load_recipe(layout, folder).sha256
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("x")
    assert load_recipe(layout, folder).sha256 == before
    (folder / "train.py").write_text("print(2)\n")
    assert load_recipe(layout, folder).sha256 != before


def test_a_copy_kept_by_hash_serves_until_the_text_changes(layout: Layout) -> None:
    folder = write_recipe(layout.recipes / "tiny")
    fresh = load_recipe(layout, folder).config
    assert not (layout.cache / "recipes").exists()  # reading wrote nothing
    refresh(layout)
    assert load_recipe(layout, folder).config == fresh
    (folder / "recipe.yaml").write_text(GOOD.replace("5e-5", "1e-5"))
    assert load_recipe(layout, folder).config.params["learning_rate"].default == 1e-5


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("technique: sft", "techniqe: sft", 2, "technique"),
        ("type: float", "type: flaot", 4, "params.learning_rate.type"),
        ("default: 5e-5", "default: 5", 4, "params.learning_rate.default: 5.0 must be at most 1"),
        ("default: 5e-5", "default: 5e-5, search: [1, 2]", 4, "params.learning_rate.search: 2.0 must be at most 1"),
        (
            "default: 5e-5",
            "default: 5e-5, search: [1]",
            4,
            "params.learning_rate.search: must be two numbers that rise",
        ),
        ("default: 5e-5", "default: 5e-5, search: [1, 0]", 4, "params.learning_rate.search: must be two numbers that"),
        ("default: 5e-5", "default: fast", 4, "'fast' is not a number"),
        ("name: tiny\n", "name: tiny\nname: tiny\n", 2, "duplicate"),
    ],
)
def test_a_bad_recipe_yaml_names_line_and_field(layout: Layout, old: str, new: str, line: int, words: str) -> None:
    folder = write_recipe(layout.recipes / "tiny", GOOD.replace(old, new))
    with pytest.raises(FileFormatError) as caught:
        find_recipe(layout, "tiny")
    assert caught.value.line == line
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert [fault.line for fault in check(folder)] == [line]


def test_check_tells_everything_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("name: tiny", "nam: tiny")
    page = 'x = load("m", device_map="auto")\n'
    folder = write_recipe(tmp_path / "bad", text, page)
    (folder / "helper.py").write_text("def f(:\n")
    found = [(Path(fault.path).name, fault.line) for fault in check(folder)]
    assert found == [("recipe.yaml", 1), ("helper.py", 1), ("train.py", 1)]
    assert "did you mean 'name'?" in str(check(folder)[0])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('load("m", device_map="auto")', "device_map='auto' spreads"),
        ('SFTConfig(model_init_kwargs={"device_map": "balanced"})', "device_map='balanced' spreads"),
        ("load(offload_folder=folder)", "offload_folder=folder moves weights"),
        ("load(max_memory={0: '1GB'})", "max_memory={0: '1GB'} moves weights"),
        ("BitsAndBytesConfig(load_in_8bit=True)", "load_in_8bit=True trains on weights that the evaluation never sees"),
        ('load(**{"load_in_4bit": True})', "method=qlora"),
        ("AutoModel.from_pretrained(m, use_cache=True)", "use_cache=True keeps a cache"),
        ("model.config.use_cache = True", "use_cache=True keeps a cache"),
    ],
)
def test_a_page_does_not_place_its_model_by_itself(tmp_path: Path, line: str, says: str) -> None:
    """A31: no device_map="auto", offload, quantisation or cache of evaluation's kind in training."""
    folder = write_recipe(tmp_path / "bad", page=f"import x\n{line}\n")
    assert [(fault.line, says in fault.problem) for fault in check(folder)] == [(2, True)]
    assert misplacements(folder) == check(folder)


def test_what_a_page_may_say_about_placement_is_left_alone(tmp_path: Path) -> None:
    page = (
        'load("m", device_map={"": 0}, max_memory=None, load_in_4bit=False, device_map_of="auto")\n'
        "model.generate(ids, use_cache=True)\nmodel.config.use_cache = False\nauto = 'auto'\n"
    )
    assert check(write_recipe(tmp_path / "good", page=page)) == []
    (tmp_path / "good" / "train.py").write_text("def f(:")
    assert misplacements(tmp_path / "good") == [], "what is no Python fails by itself"


def test_a_missing_page_is_a_fault_unless_argv_stands_in(tmp_path: Path) -> None:
    assert check(write_recipe(tmp_path / "a", page="")) == []
    without = GOOD.replace("  argv: {type: str, default: null}\n", "")
    assert "train.py" in str(check(write_recipe(tmp_path / "b", without, page=""))[0])
    assert "two parameters" in str(check(write_recipe(tmp_path / "c", GOOD.replace("alias: lr", "alias: argv")))[0])
    (tmp_path / "d").mkdir()
    assert "recipe.yaml does not exist" in str(check(tmp_path / "d")[0])


def test_every_shipped_recipe_is_good() -> None:
    folders = [folder for folder in assets.folder("recipes").iterdir() if (folder / "recipe.yaml").is_file()]
    assert {folder.name: [str(fault) for fault in check(folder)] for folder in folders} == {
        folder.name: [] for folder in folders
    }
