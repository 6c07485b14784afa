"""Brief `failure_analysis`: what went wrong, gathered by kind, each with the fix and the way round.

A failure's kind is its class, refined by the end of its log, from which numbers, addresses and paths are taken out. A
run that ended well and learnt the wrong thing is a failure too: its readings say which.
Invariant: a fix starts from the settings that failed; the larger a group and the newer, the sooner it is answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from evo.domain.experiment import ROOT
from evo.domain.idea import Idea
from evo.ideas.briefs.literature import SHAPES, feeds
from evo.ideas.drafting import RATE, Draft, idea_of, moved, settings_for, start_of
from evo.ideas.facts import Facts, Node
from evo.ideas.knowledge import Claim, KnowledgeBase
from evo.ideas.recommend import contradicted
from evo.ideas.remedies import BY_FAILURE, BY_READING, FORMAT, LOG, OTHERWISE, SCALED, Remedy
from evo.ideas.situations import failed, newest_ended, scored, situations
from evo.ideas.symptoms import is_lora, is_loss, symptoms, value_of

_NOISE = re.compile(r"0x[0-9a-f]+|/[\w./-]+|\d+(\.\d+)?([eE][+-]?\d+)?")
_SIGNS = (
    ("out_of_memory", re.compile(r"out of memory|outofmemory|memoryerror|bad_alloc", re.IGNORECASE)),
    ("nan", re.compile(r"\bnan\b|\binf\b|not (a )?finite|non-finite", re.IGNORECASE)),
    ("template", re.compile(r"chat.?template|jinja|no (user|assistant) (turn|message)", re.IGNORECASE)),
)
_REFINED = ("nonzero_exit", "signal", "training", "evaluation", "dtype", "")
"""Classes that say too little; the log may say more."""
_SITUATION = {"out_of_memory": "out-of-memory", "nan": "instability", "template": "format-errors"}


class Cluster(NamedTuple):
    """Failed experiments of one kind, newest first. `signature`: the last line of their logs, without numbers."""

    kind: str
    signature: str
    nodes: list[Node]


def clusters(facts: Facts) -> list[Cluster]:
    """The largest first, the newest among equals."""
    found: dict[tuple[str, str], list[Node]] = {}
    for node in failed(facts):
        kind = kind_of(node)
        key = (kind, signature(node.log_tail) if kind in (*_REFINED, "eval_failed", "bad_result") else "")
        found.setdefault(key, []).append(node)
    groups = [Cluster(kind, words, nodes) for (kind, words), nodes in found.items()]
    return sorted(groups, key=lambda group: -len(group.nodes))


def kind_of(node: Node) -> str:
    if node.failure in _REFINED:
        return next((kind for kind, sign in _SIGNS if sign.search(node.log_tail)), node.failure or "nonzero_exit")
    return node.failure


def signature(log: str) -> str:
    """The last line that says something, with what changes from run to run taken out."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return _NOISE.sub("#", lines[-1])[:120] if lines else ""


def propose(facts: Facts, base: KnowledgeBase) -> list[Idea]:
    """Failed runs first, then what the readings of finished ones call for; failures that others have followed last."""
    groups = clusters(facts)
    newest = {node.id for node in newest_ended(facts)}
    live = [group for group in groups if newest & {node.id for node in group.nodes}]
    over = [group for group in groups if group not in live]
    drafts = [*_of_failures(facts, base, live), *_of_readings(facts, base), *_of_failures(facts, base, over)]
    return [idea_of(facts, base, "failure_analysis", draft) for draft in drafts]


def _of_failures(facts: Facts, base: KnowledgeBase, groups: Iterable[Cluster]) -> Iterator[Draft]:
    for group in groups:
        newest = _gentlest(facts, group)
        what = f"{len(group.nodes)} × {group.kind}" if len(group.nodes) > 1 else f"{newest.id}: {group.kind}"
        claims = _claims(base, _SITUATION.get(group.kind, ""))
        for remedy in BY_FAILURE.get(group.kind, OTHERWISE):
            draft = _draft(facts, newest, remedy, what=what, answers=_SITUATION.get(group.kind, group.kind))
            if draft is not None:
                based_on = [node.id for node in group.nodes[:5]]
                yield _with_claim(facts, draft, newest, claims)._replace(based_on=based_on)
        if group.kind not in BY_FAILURE and (way := _way_round(facts, newest)):
            yield way


def _gentlest(facts: Facts, group: Cluster) -> Node:
    """Of those by the newest one's recipe, what asked for least of what the first remedy lowers: less was not tried."""
    remedies = BY_FAILURE.get(group.kind, ())
    moves = remedies[0].moves if remedies else {}
    lowered = [name for name, move in moves.items() if isinstance(move, tuple) and move[0] in SCALED and move[1] < 1]
    alike = [node for node in group.nodes if node.recipe == group.nodes[0].recipe]

    def asked(node: Node) -> list[float]:
        known = (value_of(facts, node, name) for name in lowered)
        return [float(value) for value in known if isinstance(value, (int, float))]

    return min(alike, key=asked)


def _way_round(facts: Facts, node: Node) -> Draft | None:
    """Another recipe for the same reward shape, from the same parent."""
    known = facts.recipes.get(node.recipe)
    other = next(
        (
            name
            for name, recipe in facts.recipes.items()
            if known and name != node.recipe and recipe.reward_shape == known.reward_shape
        ),
        None,
    )
    if other is None or known is None:
        return None
    why = f"{node.recipe} does not run here; {other} learns from the same {known.reward_shape}"
    return Draft(
        f"{other} instead of {node.recipe}", why, facts.recipes[other].technique, other,
        settings_for(facts, other, {}), node.parent or ROOT, answers=node.failure, based_on=[node.id],
    )  # fmt: skip


def _of_readings(facts: Facts, base: KnowledgeBase) -> Iterator[Draft]:
    now = situations(facts)
    for name, remedies in BY_READING.items():
        node = _who(facts, name) if name in now else None
        if node is None:
            continue
        claims = _claims(base, name)
        for remedy in remedies:
            draft = _draft(facts, node, remedy, what=f"{node.id}: {name}", answers=name)
            if draft is not None:
                yield _with_claim(facts, draft, node, claims)


def _who(facts: Facts, name: str) -> Node | None:
    """The experiment that shows it: the newest with that reading or that loss, else the newest that ended."""
    known = scored(facts)[::-1]
    shown = [node for node in known if name in symptoms(facts, node) or (name == "regression" and _fell(node))]
    return next(iter([*shown, *known]), None)


def _fell(node: Node) -> bool:
    return node.is_regressed or is_loss(node)


def _draft(facts: Facts, node: Node, remedy: Remedy, *, what: str, answers: str) -> Draft | None:
    """None where the remedy changes nothing that this recipe has."""
    title, recipe, settings = f"{what}: {remedy.name}", node.recipe, dict(node.params)
    if node.technique in remedy.unless:
        return None
    if remedy.commands:
        words = _words(facts, node, remedy.commands)
        draft = Draft(title, remedy.why, node.technique, answers=answers, commands=words, based_on=[node.id])
        return draft if words else None
    parent = node.parent or ROOT
    if remedy.recipes:
        tried = {known.technique for known in scored(facts)}
        tried |= contradicted(facts).keys()
        other = next((name for name in remedy.recipes if _can(facts, name) and name not in tried), None)
        if other is None:
            return None
        recipe, settings, start = other, settings_for(facts, other, remedy.moves), start_of(facts)
        parent = parent if start == node.id else start  # not from the very weights that show it
    elif recipe not in facts.recipes:
        return None
    else:
        settings = moved(facts, recipe, _cooled(facts, node, remedy), remedy.moves)
        if settings == dict(node.params):
            return None
    return Draft(
        title, f"{remedy.name}: {remedy.why}", facts.recipes[recipe].technique, recipe, settings, parent, answers,
        remedy.risks, based_on=[node.id],
    )  # fmt: skip


def _words(facts: Facts, node: Node, commands: Iterable[str]) -> list[str]:
    """As they are typed here: a trial left no attempt to read the log of, and a command cannot be shown examples."""
    known = [command for command in commands if command != FORMAT or facts.task.is_asked_here]
    log = "evo run {experiment} --smoke" if node.state == "pending" else LOG
    named = {"recipe": node.recipe, "experiment": node.id, "parent": node.parent or ROOT}
    return [command.replace(LOG, log).format_map(named) for command in known]


def _cooled(facts: Facts, node: Node, remedy: Remedy) -> dict[str, Any]:
    """Its settings; where a LoRA is to take the place of full weights whose rate was too high, at the usual rate."""
    default = facts.recipes[node.recipe].params.get(RATE)
    rate, usual = value_of(facts, node, RATE), default.default if default is not None else None
    is_hot = (bool(node.failure) and kind_of(node) == "nan") or _fell(node)
    if "method" not in remedy.moves or is_lora(node) or not is_hot:
        return node.params
    if not isinstance(rate, float) or not isinstance(usual, float):
        return node.params
    return {**node.params, RATE: min(rate, usual)}


def _can(facts: Facts, recipe: str) -> bool:
    return recipe in facts.recipes and feeds(facts, facts.recipes[recipe].reward_shape)


def _claims(base: KnowledgeBase, situation: str) -> list[Claim]:
    """What the knowledge base has on it, checked claims first."""
    if not situation:
        return []
    about = [claim for claim in base.claims.values() if situation in claim.applies_when]
    return sorted(about, key=lambda claim: (claim.level != "checked", claim.id))


def _with_claim(facts: Facts, draft: Draft, node: Node, claims: list[Claim]) -> Draft:
    """The claim that says the same: by the same recipe, and one of its settings moves the way that the draft moves; of
    what is no run, the warning that fits."""
    for claim in claims:
        is_step = bool(claim.recipe) and claim.recipe == draft.recipe
        if (is_step and _agree(facts, claim, draft, node)) or (not draft.recipe and _is_of(facts, claim)):
            return draft._replace(claims=[claim])
    return draft


def _is_of(facts: Facts, claim: Claim) -> bool:
    """What is to be looked at is what the claim warns of, in all that it presupposes."""
    return claim.technique == "control" and set(claim.applies_when) - SHAPES <= situations(facts)


def _agree(facts: Facts, claim: Claim, draft: Draft, node: Node) -> bool:
    if draft.recipe != node.recipe:  # to take this recipe is what is proposed
        return True
    before = {name: value_of(facts, node, name) for name in claim.patch}
    return any(_same_way(before[name], draft.settings.get(name), claim.patch[name]) for name in claim.patch)


def _same_way(before: Any, ours: Any, theirs: Any) -> bool:
    if ours is None or before in (ours, theirs):
        return False
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (before, ours, theirs)):
        return bool((ours > before) == (theirs > before))
    return bool(ours == theirs)
