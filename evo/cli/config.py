"""evo config."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.dry import DryRun, rehearsed
from evo.cli.options import leaf
from evo.config import config_keys, get_key
from evo.domain.upkeep_views import SettingsView
from evo.domain.views import KeyValueView, Reply
from evo.ops import settings as ops
from evo.session import open_config
from evo.validation import plain

app = leaf("evo config set max-attempts 1\n\nShow and change the settings of evo.yaml.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="A key such as max-attempts or gate.alpha.")]


@app.command()
def show() -> Reply:
    """evo config show

    Every setting with the value that is in force.
    """
    config = open_config().config
    return Reply(SettingsView({key: plain(get_key(config, key)) for key in config_keys()}))


@app.command()
def get(key: Key) -> Reply:
    """evo config get gate.alpha

    One setting.
    """
    return Reply(KeyValueView(key, plain(get_key(open_config().config, key))))


@app.command(context_settings={"ignore_unknown_options": True})
def set(key: Key, value: Annotated[str, typer.Argument(metavar="VALUE")], dry_run: DryRun = False) -> Reply:
    """evo config set max-attempts 1

    Change one setting in evo.yaml; comments stay.
    """
    if dry_run:
        return rehearsed(f"evo config set {key} {value}", [ops.rehearse(key, value)])
    return Reply(ops.set_value(key, value))


@app.command()
def unset(key: Key, dry_run: DryRun = False) -> Reply:
    """evo config unset gate.alpha

    Take a setting out of evo.yaml: the default holds again.
    """
    if dry_run:
        return rehearsed(f"evo config unset {key}", [ops.rehearse(key, None)])
    return Reply(ops.unset_value(key))
