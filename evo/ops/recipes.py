"""`evo recipe`: list, show, copy, check. Works outside a workspace too, on the shipped recipes."""

from __future__ import annotations

from pathlib import Path

from evo.config import ParamSpec, RecipeConfig
from evo.domain.upkeep_views import ParamView, RecipeCheckView, RecipeDetailView, RecipeRowView, RecipesView
from evo.errors import FileFormatError, NotAWorkspace
from evo.ideas.space import space_of
from evo.ops.advice import advise
from evo.workspace import recipe_check, recipes
from evo.workspace.layout import Layout, find_root


def here() -> Layout | None:
    """The workspace around the working directory, if there is one."""
    try:
        return find_root(Path.cwd())
    except NotAWorkspace:
        return None


def listing() -> tuple[RecipesView, tuple[str, ...]]:
    """The recipes that can be read; the warnings say what is wrong with each of the others."""
    layout = here()
    rows, warnings = [], []
    for folder in recipes.names(layout).values():
        try:
            found = recipes.load_recipe(layout, folder)
        except FileFormatError as error:
            warnings.append(f"recipe {folder.name} is left out: {error.message}")
            continue
        config = found.config
        rows.append(
            RecipeRowView(
                found.name, config.technique, config.reward_shape, config.description, found.is_shipped, str(folder)
            )
        )
    return RecipesView(rows), tuple(warnings)


def show(name: str, *, model: str = "") -> RecipeDetailView:
    """`model`: whose learning rate is advised on, a folder or a hub id; empty: nobody's."""
    layout = here()
    found = recipes.load_recipe(layout, recipes.find_folder(layout, name))
    config = found.config
    return RecipeDetailView(
        name=found.name,
        technique=config.technique,
        reward_shape=config.reward_shape,
        description=config.description,
        init_from=config.init_from,
        launch=config.launch,
        folder=str(found.folder),
        data=[part.source for part in config.data.train],
        params=params_of(config),
        advice=advise(model) if model else None,
    )


def params_of(config: RecipeConfig) -> list[ParamView]:
    axes = {axis.name: axis for axis in space_of(config.params).axes}
    searched = {name: list(axis.choices or (axis.value(0.0), axis.value(1.0))) for name, axis in axes.items()}
    return [
        ParamView(name, spec.type, spec.default, span(spec), spec.doc, searched.get(name, []))
        for name, spec in config.params.items()
    ]


def span(spec: ParamSpec) -> str:
    """`(0, 1]`, `≥ 1`, `full | lora`, or nothing."""
    if spec.choices:
        return " | ".join(map(str, spec.choices))
    low = spec.above if spec.above is not None else spec.min
    high = spec.below if spec.below is not None else spec.max
    if low is None and high is None:
        return ""
    left = f"({low:g}" if spec.above is not None else f"[{low:g}" if low is not None else "(−∞"
    right = f"{high:g})" if spec.below is not None else f"{high:g}]" if high is not None else "∞)"
    return f"{left}, {right}"


def copy(name: str, to: str) -> Path:
    layout = find_root(Path.cwd())
    return recipes.copy(layout, name, to=to)


def check(name: str) -> RecipeCheckView:
    layout = here()
    folder = recipes.find_folder(layout, name)
    faults = recipe_check.check(folder, workspace=layout.root if layout else None)
    return RecipeCheckView(str(folder), [str(fault) for fault in faults])
