"""Ideas and recommendations as views.

Invariant: what is shown of an idea is what was recorded of it.
"""

from __future__ import annotations

from evo.domain.idea import RecordedIdea
from evo.domain.idea_views import IdeaDetailView, PriorView, RecommendView, ReferenceView, TechniqueView
from evo.ideas.recommend import Recommendation


def idea_view(one: RecordedIdea) -> IdeaDetailView:
    idea = one.idea
    references = [ReferenceView(r.url, r.kind, r.title, r.finding, r.status, r.level) for r in idea.references]
    kept = {
        name: getattr(idea, name)
        for name in (
            *("title", "brief", "technique", "hypothesis", "parent", "recipe", "patch", "gain", "low", "high"),
            *("gpu_seconds", "risks", "refuted_by", "rationale", "novelty", "differs", "data_source", "based_on"),
            *("confidence", "commands", "source"),
        )
    }
    return IdeaDetailView(
        id=one.id,
        state=one.state,
        references=references,
        experiment=one.experiment,
        reason=one.reason,
        created=one.created_at,
        **kept,
    )


def recommend_view(found: Recommendation) -> RecommendView:
    return RecommendView(
        list(found.shapes),
        [TechniqueView(shape, each.name, each.recipe, each.why) for shape, each in found.order],
        [PriorView(prior.name, prior.why, prior.here) for prior in found.priors],
        found.notes,
    )
