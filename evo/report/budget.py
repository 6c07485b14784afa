"""`evo budget`: what was spent, what is left, and how many more runs that is.

Invariant: read-only; the numbers are those that a claim is decided by.
"""

from __future__ import annotations

from evo.domain.agent_views import BudgetView, CapView, ForecastView
from evo.domain.views import Hint, Reply
from evo.session import Session, open_session
from evo.store import forecasts, ledger


def budget_reply(recipe: str | None) -> Reply:
    with open_session(readonly=True) as session:
        view = budget_view(session, [recipe] if recipe else forecasts.recipes(session.db))
    uncapped = all(cap.cap is None for cap in view.caps)
    hint = Hint("evo config set budget.attempts 20", "nothing is capped; a cap is held whatever runs")
    return Reply(view, (hint,) if uncapped else (Hint("evo next", "what to spend it on"),))


def caps_of(session: Session) -> list[CapView]:
    """Every kind of spending, capped or not."""
    caps, balance = session.caps or ledger.Caps(), ledger.balance(session.db)
    left = balance.left(caps)
    return [
        CapView(
            name,
            round(getattr(balance.spent, name), 3),
            round(getattr(balance.reserved, name), 3),
            getattr(caps, name),
            round(left[name], 3) if name in left else None,
        )
        for name in ledger.Caps._fields
    ]


def budget_view(session: Session, recipes: list[str]) -> BudgetView:
    caps = caps_of(session)
    left = {cap.name: cap.left for cap in caps if cap.left is not None}
    found = (forecasts.of_recipe(session.db, recipe) for recipe in recipes)
    return BudgetView(caps, [_forecast(known, left) for known in found if known is not None])


def _forecast(known: forecasts.Forecast, left: dict[str, float]) -> ForecastView:
    needs = {"attempts": 1.0, "wall_seconds": known.wall_seconds, "gpu_seconds": known.gpu_seconds}
    runs = [int(left[name] / need) for name, need in needs.items() if need > 0 and name in left]
    said = (known.recipe, known.n, round(known.wall_seconds, 3), round(known.gpu_seconds, 3))
    return ForecastView(*said, fits=not runs or min(runs) >= 1, runs_left=min(runs) if runs else None)


def short_of(session: Session, recipe: str) -> str:
    """A warning before a run: earlier ones of this recipe took longer than what is left. Empty where it fits."""
    if session.caps is None:
        return ""
    view = budget_view(session, [recipe])
    if not view.forecasts or view.forecasts[0].fits:
        return ""
    forecast = view.forecasts[0]
    took = f"{forecast.wall_seconds:g} s" + (f", {forecast.gpu_seconds:g} GPU-seconds" if forecast.gpu_seconds else "")
    return f"runs of {recipe} took {took} so far (median of {forecast.n}), which is more than the budget leaves"
