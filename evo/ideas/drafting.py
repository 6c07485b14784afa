"""From a thought to an idea: settings that go on from what worked, expected effect, cost, and what would refute it.

Invariant: a patch names parameters of its recipe only, in their ranges; what is known of the tree is in it, so that a
claim about one parameter does not throw away the learning rate that was found for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evo.config import ParamSpec
from evo.domain.experiment import ROOT
from evo.domain.idea import Brief, Idea, Reference
from evo.ideas.effects import bar, cost_of, expected
from evo.ideas.facts import Facts, Node, RecipeFacts
from evo.ideas.knowledge import Claim, KnowledgeBase
from evo.ideas.novelty import novelty
from evo.ideas.situations import candidates
from evo.ideas.symptoms import is_loss
from evo.lightdata import replace

CHECKED, REMEMBERED = "checked claim", "remembered claim"
CODE, REPLICATED, SPECIFIC = "has code", "replicated", "specific"
ANSWERS = "answers "
"""Before the pressing situation that an idea answers."""
NO_REFERENCE = "a rule of evo: no paper is named for it"
RATE = "learning_rate"
CARRIED = ("method", "lora_rank", "lora_alpha", "max_length", "max_new_tokens")
"""Settings that another recipe takes over where it has them: they are about memory and form, not about technique."""
TINY, EAGER = 50_000_000, 10.0
"""Weights below which a model may want larger steps throughout: it does where its best had so many times the usual."""
LORA_FACTOR = 10.0
"""A LoRA wants about ten times the rate of full weights (Schulman and Thinking Machines Lab 2025, "LoRA Without
Regret")."""


class Draft(NamedTuple):
    """What a rule says. `answers` is the pressing situation, where it is one; `settings` complete the recipe."""

    title: str
    why: str
    technique: str = ""
    recipe: str = ""
    settings: dict[str, Any] = {}  # noqa: RUF012
    parent: str = ""
    answers: str = ""
    risks: str = ""
    commands: Sequence[str] = ()
    claims: Sequence[Claim] = ()
    based_on: Sequence[str] = ()
    data_source: str = ""


def idea_of(facts: Facts, base: KnowledgeBase, brief: Brief, draft: Draft) -> Idea:
    """The idea whole. One that is no training run has no predicted gain."""
    idea = Idea(
        title=draft.title,
        brief=brief,
        technique=draft.technique,
        hypothesis=draft.why,
        parent=draft.parent,
        recipe=draft.recipe,
        patch=dict(draft.settings),
        risks=draft.risks,
        data_source=draft.data_source,
        references=[reference_of(base, claim) for claim in draft.claims],
        based_on=list(draft.based_on),
        confidence=_confidence(base, draft),
        commands=list(draft.commands),
        source="kb" if draft.claims else "rules",
    )
    reason = "" if draft.claims else f"{NO_REFERENCE}; "
    if not idea.recipe:
        return replace(idea, rationale=reason + "it costs no training run", refuted_by="what the command shows")
    near, parent = novelty(facts, idea), idea.parent or "its parent"
    idea = replace(idea, gpu_seconds=cost_of(facts, idea.recipe), novelty=near.distance, differs=near.differs)
    effect = expected(facts, idea)
    if effect is None:
        rationale = f"{reason}{parent} has nothing left to gain on dev"
        return replace(idea, rationale=rationale, refuted_by="harder items on which it gains nothing")
    return replace(
        idea,
        gain=effect.gain,
        low=effect.low,
        high=effect.high,
        refuted_by=f"a paired dev difference to {parent} whose 95 % interval ends below {bar(effect.low):+.3f}",
        rationale=f"{reason}expected from {effect.words}",
    )


def reference_of(base: KnowledgeBase, claim: Claim) -> Reference:
    """`verified` only where the knowledge base says that id and title were resolved and match."""
    paper = base.papers[claim.paper]
    kind = "arxiv" if paper.id.startswith("arxiv:") else ("github" if "github.com" in paper.id else "blog")
    status = "verified" if paper.is_verified else "unresolved"
    return Reference(paper.url, kind, paper.title, claim.claim, status, claim.level)  # type: ignore[arg-type]


def _confidence(base: KnowledgeBase, draft: Draft) -> list[str]:
    links = [link for claim in draft.claims[:1] for link in base.linked(claim.id)]
    told = {
        f"{ANSWERS}{draft.answers}": bool(draft.answers),
        CHECKED: any(claim.level == "checked" for claim in draft.claims[:1]),
        REMEMBERED: any(claim.level == "memory" for claim in draft.claims[:1]),
        CODE: bool(draft.recipe),
        REPLICATED: any(link.kind == "replicates" for link in links),
        "contradicted": any(link.kind == "contradicts" for link in links),
        SPECIFIC: bool(draft.settings),
    }
    return [words for words, holds in told.items() if holds]


def settings_for(facts: Facts, recipe: str, patch: Mapping[str, Any]) -> dict[str, Any]:
    """`patch` upon the settings that this recipe did best with here, or that any recipe has for memory and form.

    A rate that was found here comes before a paper's, which is of another model, and nothing that has gone further
    than a paper says is taken back to it.
    """
    known, start = facts.recipes[recipe], start_settings(facts, recipe)
    if best_of_recipe(facts, recipe) is None:
        start, patch = _eager_rate(facts, known), {**start, **patch}
    ahead = {
        name: value
        for name, value in patch.items()
        if name in known.params
        and not (name == RATE and name in start)
        and not _is_past(known.params[name].default, start.get(name), value)
    }
    return bounded(known, _with_rate(known, start, ahead))


def start_settings(facts: Facts, recipe: str) -> dict[str, Any]:
    """What a paper's step is set upon: the settings of this recipe's best, else what the best path's may be carried."""
    like, best = best_of_recipe(facts, recipe), facts.nodes.get(facts.best)
    carried = {name: value for name, value in (best.params if best else {}).items() if name in CARRIED}
    found = like.params if like is not None else carried
    return {name: value for name, value in found.items() if name in facts.recipes[recipe].params}


def _eager_rate(facts: Facts, recipe: RecipeFacts) -> dict[str, Any]:
    """The usual rate of full weights, and as many times as much as the best has of its recipe's, where that is tenfold:
    a tiny model wants steps that would break one of a billion weights. Else nothing is said of it."""
    best = facts.nodes.get(facts.best)
    known = facts.recipes.get(best.recipe) if best is not None else None
    is_tiny = 0 < facts.task.model_parameters < TINY
    if not is_tiny or best is None or known is None or (best.gain or 0.0) <= 0:
        return {}
    method = {"method": best.params["method"]} if "method" in best.params else {}
    usual, rate = _value(known, _with_rate(known, {}, method), RATE), best.params.get(RATE)
    ours = _value(recipe, {}, RATE)
    if not (_is_number(usual) and _is_number(rate) and _is_number(ours)) or rate < EAGER * usual:
        return {}
    return {RATE: ours * rate / usual}


def _is_past(default: Any, value: Any, target: Any) -> bool:
    """A setting that was moved off its default, to or beyond `target`."""
    if not (_is_number(default) and _is_number(value) and _is_number(target)) or value == default:
        return False
    return bool(min(default, value) <= target <= max(default, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _with_rate(recipe: RecipeFacts, found: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Where a patch turns full weights into a LoRA and says nothing of the rate, the rate goes up with it."""
    was = str(_value(recipe, found, "method"))
    now = str(patch.get("method", was))
    settings = {**found, **patch}
    rate = _value(recipe, found, RATE)
    if now != was and "full" in (was, now) and isinstance(rate, float) and RATE not in patch:
        settings[RATE] = rate * (LORA_FACTOR if was == "full" else 1 / LORA_FACTOR)
    return settings


def best_of_recipe(facts: Facts, recipe: str) -> Node | None:
    """The best scored experiment by this recipe, the best path's first; none that lost: its settings are no start."""
    line = {node.id for node in facts.path(facts.best)} if facts.best in facts.nodes else set()
    fitting = [node for node in candidates(facts) if node.recipe == recipe and not is_loss(node)]
    return next((node for node in fitting if node.id in line), fitting[0] if fitting else None)


def bounded(recipe: RecipeFacts, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Known parameters, numbers within their ranges and of their type, groups whole; what is at its default, or of an
    adapter where there is none, is left out."""
    found = {}
    is_full = _value(recipe, settings, "method") == "full"
    for name, value in _in_whole_groups(recipe, settings).items():
        spec = recipe.params.get(name)
        if spec is None or (is_full and name.startswith("lora_")):
            continue
        kept = within(spec, value)
        if kept is not None and kept != spec.default:
            found[name] = kept
    return found


def _in_whole_groups(recipe: RecipeFacts, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A step that would cut a group of answers apart is refused by its page: more passes complete it."""
    names = ("group_size", "batch_size", "gradient_accumulation")
    group, batch, passes = (_value(recipe, settings, name) for name in names)
    if not all(name in recipe.params for name in names) or not all(map(_is_number, (group, batch, passes))):
        return dict(settings)
    whole = math.lcm(round(group), round(batch)) // round(batch) if group >= 1 and batch >= 1 else 1
    return {**settings, names[2]: math.ceil(round(passes) / whole) * whole} if round(passes) % whole else dict(settings)


def within(spec: ParamSpec, value: Any) -> Any:
    """`value` as the parameter may have it; None where it is no value of this parameter."""
    if spec.choices:
        return value if value in spec.choices else None
    if spec.type not in ("float", "int") or isinstance(value, (bool, str)) or value is None:
        return value
    low = spec.min if spec.min is not None else spec.above
    high = spec.max if spec.max is not None else spec.below
    number = min(
        max(float(value), low if low is not None else float(value)), high if high is not None else float(value)
    )
    if number in (spec.above, spec.below) and number not in (spec.min, spec.max):
        return None
    return round(number) if spec.type == "int" else float(f"{number:.4g}")


def moved(facts: Facts, recipe: str, patch: Mapping[str, Any], moves: Mapping[str, Any]) -> dict[str, Any]:
    """`patch` with parameters moved as `evo.ideas.remedies` says, or set; those that the recipe lacks are left out."""
    known = facts.recipes[recipe]
    changed = {}
    for name, move in moves.items():
        if name not in known.params:
            continue
        if not isinstance(move, tuple):
            changed[name] = move
            continue
        value = _move(facts, known, patch, name, move)
        if value is not None:
            changed[name] = value
    if facts.task.answer_tokens and "max_new_tokens" in changed:  # longer ones would never be measured
        changed["max_new_tokens"] = min(changed["max_new_tokens"], facts.task.answer_tokens)
    return bounded(known, _with_rate(known, patch, changed)) if changed else dict(patch)


def _move(facts: Facts, recipe: RecipeFacts, patch: Mapping[str, Any], name: str, move: tuple[str, Any]) -> Any:
    """None where it leads nowhere from here."""
    way, by = move
    value: Any = _value(recipe, patch, name)
    default: Any = recipe.params[name].default
    if way == "instead":
        other = by.get(value)
        return other if other != "qlora" or facts.task.has_cuda else None
    if not _is_number(value) or not value:
        return None
    if way == "raised":
        return by if value < by else None
    if way == "as halved":
        before = _value(recipe, patch, by)
        after = within(recipe.params[by], before / 2) if by in recipe.params and _is_number(before) else None
        return value * before / after if after and after < before else None
    if way == "tamed" and _is_number(default) and 0 < default < value:
        return min(value * by, math.sqrt(value * default))
    return value * by


def _value(recipe: RecipeFacts, settings: Mapping[str, Any], name: str) -> Any:
    spec = recipe.params.get(name)
    return settings.get(name, spec.default if spec else None)


def start_of(facts: Facts) -> str:
    """Where a step that improves begins: the best, or the root while nothing is better."""
    best = facts.nodes.get(facts.best)
    return facts.best if best is not None and (best.id == ROOT or (best.gain or 0.0) > 0) else ROOT
