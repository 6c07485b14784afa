"""What a language model costs, by the list prices that its vendor published, and the most that a call can come to.

Invariant: a model that is not in the table has no price, rather than a guessed one. The SDK knows none.
"""

from __future__ import annotations

from typing import NamedTuple

AS_OF = "2026-11-21"
"""When the table was compared with the vendor's list."""
SEARCH_USD = 0.01
"""Of one web search: 10 dollars a thousand."""
ADDED = 2048
"""Tokens that the service may add to a prompt: its tools, the shape of the answer."""
CONTEXT = 1_000_000
"""Tokens that any of these models takes at the most."""


class Price(NamedTuple):
    """Dollars for a million tokens."""

    input: float
    output: float


PRICES = {
    "claude-fable-5-1": Price(10, 50),
    "claude-opus-5-5": Price(4, 20),
    "claude-opus-5": Price(5, 25),
    "claude-opus-4-8": Price(5, 25),
    "claude-sonnet-5-5": Price(2, 10),
    "claude-sonnet-5": Price(2, 10),
    "claude-sonnet-4-6": Price(3, 15),
    "claude-haiku-4-5": Price(1, 5),
    "claude-haiku-4-5-20251001": Price(1, 5),
}
"""Claude Haiku 5.5 is left out: its price depends on the length of a prompt."""


class Usage(NamedTuple):
    """Tokens as they are billed; nothing is written to a prompt cache."""

    input: int = 0
    output: int = 0
    searches: int = 0

    @property
    def tokens(self) -> int:
        return self.input + self.output

    def plus(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.output + other.output, self.searches + other.searches)


def usd(model: str, usage: Usage) -> float | None:
    """List price in dollars; None: the model has no price here."""
    price = PRICES.get(model)
    if price is None:
        return None
    return (usage.input * price.input + usage.output * price.output) / 1e6 + usage.searches * SEARCH_USD


def most(text_bytes: int, *, max_tokens: int, searches: int = 0) -> Usage:
    """The most that a call can be billed for: a token is a byte or more.

    With web search the model is called anew after every search, each time with up to a whole context: nothing else
    bounds what a page brings in.
    """
    if searches == 0:
        return Usage(text_bytes + ADDED, max_tokens)
    rounds = searches + 1
    return Usage(rounds * CONTEXT, rounds * max_tokens, searches)


def affordable(
    model: str, text_bytes: int, *, wanted: int, searches: int, tokens_left: float | None, usd_left: float | None
) -> int:
    """The longest answer, up to `wanted` tokens, that what is left pays for whatever happens; None left: no cap."""
    least, rounds = most(text_bytes, max_tokens=0, searches=searches), searches + 1
    found = float(wanted)
    if tokens_left is not None:
        found = min(found, (tokens_left - least.tokens) / rounds)
    if usd_left is not None:
        spent = usd(model, least)
        found = 0.0 if spent is None else min(found, (usd_left - spent) / (PRICES[model].output / 1e6 * rounds))
    return max(0, int(found))
