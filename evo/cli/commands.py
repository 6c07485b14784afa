"""The table of commands: name, module, group, one line of help.

Invariant: listing costs no import; only the command that was asked for is loaded and built.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """`plain`: a function that answers without the parser, where the name is followed by `words` bare words; where
    `words` is None it is given whatever follows, and may decline."""

    name: str
    module: str
    group: str
    help: str
    plain: str = ""
    words: int | None = 0


COMMANDS = (
    Command("init", "init", "set up", "Make a workspace: sealed splits, pinned model, baseline."),
    Command("demo", "demo", "set up", "Grow a real tree on a tiny model, offline, in a few minutes."),
    Command("doctor", "doctor", "set up", "Check the environment; each failing row names its fix."),
    Command("config", "config", "set up", "Show, get, set or unset a setting of evo.yaml."),
    Command("recipe", "recipe", "set up", "List, show, copy or check recipes."),
    Command("completion", "completion", "set up", "Print the completion script for bash, zsh or fish."),
    Command("data", "data", "set up", "Seal gold items into splits; show and check them."),
    Command(
        "new",
        "new",
        "tree",
        "Branch a new experiment from a parent.",
        plain="evo.cli.branching:new_plainly",
        words=None,
    ),
    Command(
        "run",
        "run",
        "tree",
        "Train and evaluate an experiment; ask the gate when the evidence asks for it.",
        plain="evo.cli.run_plainly:run_plainly",
        words=1,
    ),
    Command("adopt", "adopt", "tree", "Make a checkpoint that was trained elsewhere an experiment."),
    Command("sync", "sync", "tree", "Take in whatever has finished."),
    Command("wait", "wait", "tree", "Wait until experiments have ended."),
    Command("stop", "stop", "tree", "End a training now, keep its best checkpoint and evaluate it."),
    Command("abort", "abort", "tree", "End a running attempt and keep nothing of it."),
    Command("discard", "discard", "tree", "Give an experiment up, with a reason."),
    Command("restore", "restore", "tree", "Take a discard back."),
    Command("certify", "certify", "tree", "Ask the held-out question now."),
    Command("release", "release", "tree", "Open the vault, once: the final number."),
    Command("rescore", "rescore", "tree", "Bring an experiment into the present epoch."),
    Command("verify", "verify", "tree", "Measure again and recompute: does what is stored hold?"),
    Command("gate", "gate", "tree", "What the gate can show here, and how often it is wrong."),
    Command("recover", "recover", "tree", "Put right what a crash has left."),
    Command("fsck", "fsck", "tree", "Check that the tree is right."),
    Command("backup", "backup", "tree", "Copy the database, safely while others write."),
    Command("gc", "gc", "tree", "Delete weights that nothing needs any more."),
    Command("status", "status", "read", "How the tree stands.", plain="evo.report.status:status_reply"),
    Command("tree", "tree", "read", "The tree of experiments."),
    Command("show", "show", "read", "One experiment, whole.", plain="evo.report.show:show_reply", words=1),
    Command("watch", "watch", "read", "Follow every running experiment: the live screen, or lines in a pipe."),
    Command("compare", "compare", "read", "Two experiments: paired difference, flipped items, diffs."),
    Command("frontier", "frontier", "read", "The nodes worth branching from."),
    Command("next", "next", "read", "What to do next, and why."),
    Command("diff", "diff", "read", "What an experiment changed against its parent."),
    Command("log", "log", "read", "The training or evaluation log of an experiment, or the event log."),
    Command("failures", "failures", "read", "Dev items that an experiment gets wrong."),
    Command("path", "path", "read", "The line of experiments from the root."),
    Command("diagnose", "diagnose", "read", "What the tree says of the search; training beside evaluation."),
    Command("discards", "discards", "read", "What was given up, and why."),
    Command("note", "note", "read", "Write a note or an insight on an experiment."),
    Command("notes", "notes", "read", "Read notes."),
    Command(
        "brief",
        "brief",
        "read",
        "All that a driver must know, on one bounded page.",
        plain="evo.report.brief:brief_reply",
    ),
    Command("budget", "budget", "read", "What was spent, what is left, and how many runs that is."),
    Command("eval", "eval", "read", "Evaluate without touching the tree; never a score."),
    Command("recommend", "recommend", "ideas", "What to try for what there is to learn from."),
    Command("ideate", "ideate", "ideas", "Ranked ideas for the next experiments, with references."),
    Command("ideas", "ideas", "ideas", "List, show, take, drop or check ideas; how they came out."),
    Command("lessons", "lessons", "ideas", "What was learnt, here and in earlier workspaces."),
    Command("wandb", "wandb", "out", "The mirror of the tree in wandb, trackio or MLflow: sync, status."),
    Command("export", "export", "out", "Write an experiment's weights as a folder that anybody can load."),
    Command("push", "push", "out", "Put weights and model card on the Hugging Face hub."),
    Command("card", "card", "out", "The model card: lineage, data, score, certificate."),
    Command("loop", "loop", "ideas", "Search by itself until a stop policy says so; resumes after any kill."),
    Command("direct", "direct", "agents", "Say something to whoever drives the tree."),
    Command("ack", "ack", "agents", "Acknowledge what the person said."),
    Command("schema", "schema", "agents", "A command's options, and the JSON schema of its data."),
    Command("plugin", "plugin", "agents", "Install the plugin for coding agents; arm its loop."),
    Command(
        "hook",
        "hook",
        "agents",
        "Answer a hook of a coding agent; its plugin calls this.",
        plain="evo.agent.hooks:hook_reply",
        words=1,
    ),
    Command("mcp", "mcp", "agents", "The tree as tools for a coding agent, over MCP."),
    Command("search", "search", "agents", "serve: the policies and the gate over JSON lines."),
)

BY_NAME = {command.name: command for command in COMMANDS}
