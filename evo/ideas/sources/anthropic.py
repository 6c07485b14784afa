"""A language model that reads what was published and proposes: a research call with web search, then a second call
that may only choose among the references found (citations and structured output exclude each other in one call).

Invariant: every call is reserved before and charged after: with nothing where no request left this machine or a page
answered in the service's place, at its most where nobody measured it. Nothing is retried that may have been billed.
Whatever goes wrong is a warning and no ideas, and the key is in none of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from evo.clock import parse_duration
from evo.domain.idea import Brief, Idea
from evo.errors import MissingExtra
from evo.ideas import prices
from evo.ideas.facts import Facts
from evo.ideas.sources import briefing
from evo.ideas.sources.briefing import Candidate
from evo.ideas.sources.means import Means, Purse, Room
from evo.ideas.web import wait_s

try:
    import anthropic
    from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
except ImportError:
    raise MissingExtra("anthropic", "ideas") from None

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
PROPOSALS = 5
LEAST_TOKENS = 1024
"""An answer shorter than this holds no proposal."""
TRIES = 3
MOST_WAIT_S = 30.0
"""A service that asks for a longer pause is not waited for."""
MOST_PAUSES = 3
SEARCH = "web_search_20260318"
_PASSING = (409, 429, 500, 502, 503, 529)
"""Refusals that may pass, and that nothing is billed for."""
_DONE = ("end_turn", "stop_sequence", "tool_use")
_CUT = ("max_tokens", "model_context_window_exceeded")
_LATE = "no answer within ideas.timeout"
_WAY_ON = {
    "max_tokens": "; ideas.max-tokens sets its length",
    "model_context_window_exceeded": "; shorter pages (mission.md, BACKGROUND.md, PLAN.md) leave it more room",
}


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SettingShape(_Shape):
    name: str
    value: str


class CitedShape(_Shape):
    index: int
    finding: str


class ProposalShape(_Shape):
    title: str
    hypothesis: str
    recipe: str
    settings: list[SettingShape]
    parent: str
    gain: float | None
    low: float | None
    high: float | None
    risks: str
    refuted_by: str
    rationale: str
    references: list[CitedShape]


class AnswerShape(_Shape):
    proposals: list[ProposalShape]


class _Failed(Exception):
    """A call that came to nothing, in words for the user."""


class _Elsewhere(_Failed):
    """A page answered, as a login does: the request never reached the service."""


class _Wire:
    """Tells the purse when a request leaves this machine, for until then it costs nothing, and hangs up when its time
    is over: an answer that comes drop by drop is within any limit on a read."""

    def __init__(self, purse: Purse) -> None:
        self.is_asked = self.is_late = False
        self._purse, self._entry = purse, 0
        self._timeout_s: float | None = None
        self._timer: threading.Timer | None = None
        self._socket: socket.socket | None = None

    def client(self, timeout_s: float | None) -> anthropic.Anthropic:
        """Whose requests are followed."""
        self._timeout_s = timeout_s
        http = anthropic.DefaultHttpxClient(event_hooks={"request": [self._follow]})
        return anthropic.Anthropic(max_retries=0, timeout=timeout_s, http_client=http)

    @contextlib.contextmanager
    def call(self, entry: int) -> Iterator[None]:
        self.is_asked, self.is_late, self._entry = False, False, entry
        try:
            yield
        finally:
            self._stop()

    def forget(self, _: RetryCallState) -> None:
        """What was asked was refused, and is asked again after a pause."""
        self._stop()
        self._tell(is_asked=False)

    def _follow(self, request: Any) -> None:
        self._stop()
        request.extensions["trace"] = self._seen
        if self._timeout_s is not None:
            self._timer = threading.Timer(self._timeout_s, self._hang_up)
            self._timer.daemon = True
            self._timer.start()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self) -> None:
        self.is_late = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _seen(self, event: str, info: dict[str, Any]) -> None:
        """https://www.encode.io/httpcore/extensions/#trace"""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
        elif event.endswith(".send_request_body.started"):
            self._tell(is_asked=True)

    def _tell(self, *, is_asked: bool) -> None:
        if is_asked != self.is_asked:
            self._purse.ask(self._entry, is_asked=is_asked)
            self.is_asked = is_asked


class AnthropicSource:
    name = "anthropic"

    def __init__(self, means: Means) -> None:
        self.warnings: list[str] = []
        self._means = means
        self._config = means.config
        self._wire = _Wire(means.purse)

    def propose(self, facts: Facts, brief: Brief) -> list[Idea]:
        """BudgetSpent where what is left pays for no answer."""
        if self._config.network == "off":
            return self._nothing("ideas.network is off")
        if not any(os.environ.get(name) for name in KEYS):
            return self._nothing(f"set {KEYS[0]}")
        try:
            with self._wire.client(parse_duration(self._config.timeout, name="ideas.timeout")) as client:
                return self._proposed(client, facts, brief)
        except _Failed as error:
            return self._nothing(str(error))

    def _nothing(self, why: str) -> list[Idea]:
        self._warn(f"no ideas from {self._config.model}, only from the knowledge base and the tree: {why}")
        return []

    def _warn(self, text: str) -> None:
        for name in KEYS:
            if key := os.environ.get(name):
                text = text.replace(key, "…")
        self.warnings.append(text)

    def _proposed(self, client: anthropic.Anthropic, facts: Facts, brief: Brief) -> list[Idea]:
        means = self._means
        task = briefing.task_of(facts, brief, PROPOSALS)
        found = means.library.search(briefing.subject_of(facts)) if brief == "literature" else []
        candidates = briefing.own_candidates(facts, means.base, found)
        notes, more = self._researched(client, task)
        candidates = briefing.once([*candidates, *more])
        answer = self._answered(client, f"{task}\n\n{briefing.listed(candidates)}\n\nNotes from research:\n{notes}")
        reading = briefing.ideas_of(answer.proposals, facts, candidates, brief, means.legal)
        for why in reading.dropped:
            self._warn(f"left out of what {self._config.model} proposed: {why}")
        return reading.ideas

    def _researched(self, client: anthropic.Anthropic, task: str) -> tuple[str, list[Candidate]]:
        """What it found on the web, in its words and as candidates. Without searches where they cannot be paid for."""
        notes, found = "", list[Candidate]()
        searches, room = self._config.max_searches, self._means.purse.room().half()
        messages: list[dict[str, Any]] = [{"role": "user", "content": f"{task}\n\nSearch the web; note what helps."}]
        for _ in range(MOST_PAUSES):
            request = {"messages": messages, "tools": [_search_tool(searches)]}
            if searches < 1:
                break
            tokens = self._affordable(request, room, searches=searches)
            if tokens < LEAST_TOKENS:
                self._warn("no web search: what it may come to is more than half of what the budget leaves")
                break
            reply = self._call(client, "research", request, max_tokens=tokens, searches=searches)
            notes, found = notes + _text(reply), [*found, *_pages(reply)]
            if reply.stop_reason != "pause_turn":
                if reply.stop_reason in _CUT:
                    self._warn(f"the research was cut short ({reply.stop_reason}); what it had found is used")
                break
            searches -= _used(reply).searches
            messages = [*messages, {"role": "assistant", "content": [block.to_dict() for block in reply.content]}]
        return notes, found

    def _answered(self, client: anthropic.Anthropic, prompt: str) -> AnswerShape:
        schema = anthropic.transform_schema(AnswerShape)
        request = {
            "messages": [{"role": "user", "content": prompt}],
            "output_config": {"format": {"type": "json_schema", "schema": schema}},
        }
        tokens = self._affordable(request, self._means.purse.room(), searches=0)
        reply = self._call(client, "proposals", request, max_tokens=max(tokens, LEAST_TOKENS), searches=0)
        if reply.stop_reason not in _DONE:
            raise _Failed(f"its answer was cut short ({reply.stop_reason}){_WAY_ON.get(reply.stop_reason or '', '')}")
        try:
            return AnswerShape.model_validate_json(_text(reply))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"])) or "its answer"
            raise _Failed(f"its answer has another shape than was asked for: {where}: {fault['msg']}") from None

    def _affordable(self, request: dict[str, Any], room: Room, *, searches: int) -> int:
        config = self._config
        return prices.affordable(
            config.model,
            _bytes(request),
            wanted=config.max_tokens,
            searches=searches,
            tokens_left=room.tokens,
            usd_left=room.usd,
        )

    def _call(
        self, client: anthropic.Anthropic, what: str, request: dict[str, Any], *, max_tokens: int, searches: int
    ) -> anthropic.types.Message:
        """One answer, paid for. A refusal is a failure."""
        model, purse = self._config.model, self._means.purse
        most = prices.most(_bytes(request), max_tokens=max_tokens, searches=searches)
        entry = purse.reserve(f"ideate: {what}", most, model=model)
        came_to: prices.Usage | None = None
        try:
            with self._wire.call(entry):
                reply = self._sent(
                    client, {**request, "model": model, "max_tokens": max_tokens, "system": briefing.SYSTEM}
                )
            came_to = _used(reply)
        except anthropic.APIError as error:
            came_to = prices.Usage() if _is_free(error) else None
            raise _Failed(_LATE if self._wire.is_late else _said(error)) from None
        except (anthropic.AnthropicError, _Elsewhere) as error:
            came_to = prices.Usage()
            raise _Failed(_named(error)) from None
        finally:
            unknown = most if self._wire.is_asked else prices.Usage()
            purse.charge(entry, unknown if came_to is None else came_to, model=model)
        if reply.stop_reason == "refusal":
            raise _Failed("it refused to answer")
        return reply

    def _sent(self, client: anthropic.Anthropic, request: dict[str, Any]) -> anthropic.types.Message:
        tries = Retrying(
            stop=stop_after_attempt(TRIES), retry=retry_if_exception(_may_pass), wait=_wait_s, reraise=True,
            before_sleep=self._wire.forget,
        )  # fmt: skip
        try:
            reply: Any = tries(client.messages.create, **request)
        except json.JSONDecodeError as error:
            raise _Failed(f"what answered is no JSON: {error.msg}") from None
        if isinstance(reply, str):
            raise _Elsewhere("what answered is a page and not the Messages API, so nothing is charged")
        if not isinstance(reply, anthropic.types.Message) or not _is_metered(reply):
            raise _Failed("what answered is not the Messages API")
        return reply


def _search_tool(searches: int) -> dict[str, Any]:
    """Called by the model itself, not by code that it writes: what it reads is then bounded by its context."""
    return {"type": SEARCH, "name": "web_search", "max_uses": searches, "allowed_callers": ["direct"]}


def _bytes(request: dict[str, Any]) -> int:
    return len(json.dumps([request, briefing.SYSTEM]).encode())


def _named(error: Exception) -> str:
    return str(error) if isinstance(error, _Failed) else f"{type(error).__name__}: {str(error)[:200]}"


def _is_metered(reply: Any) -> bool:
    """Whether it says something and what it cost; the client does not check what it is sent."""
    if not isinstance(reply.content, list):
        return False
    counts = (getattr(reply.usage, name, None) for name in ("input_tokens", "output_tokens"))
    return all(isinstance(count, int) for count in counts)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, anthropic.APIStatusError):
        return error.status_code in _PASSING and _asked_wait_s(error) <= MOST_WAIT_S
    return isinstance(error, anthropic.APIConnectionError) and _is_free(error)


def _is_free(error: anthropic.APIError) -> bool:
    """Whether nothing can have been billed: it was refused, or never reached the service."""
    if isinstance(error, anthropic.APIStatusError):
        return error.status_code not in (408, 504)
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")


def _asked_wait_s(error: anthropic.APIStatusError) -> float:
    """Seconds that the service asks for, none where it does not."""
    return wait_s(error.response.headers.get("retry-after", "")) or 0.0


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_for = _asked_wait_s(error) if isinstance(error, anthropic.APIStatusError) else 0.0
    return asked_for or min(MOST_WAIT_S, 0.5 * 2.0**state.attempt_number)


def _said(error: anthropic.APIError) -> str:
    if isinstance(error, anthropic.APITimeoutError):
        return _LATE
    if isinstance(error, anthropic.APIStatusError):
        pause = f"; it asks for a pause of {asked:,.0f} s" if (asked := _asked_wait_s(error)) >= 1 else ""
        return f"HTTP {error.status_code}: {(error.api_message or error.message)[:200]}{pause}"
    return f"{type(error).__name__}: {(str(error.__cause__) or error.message)[:200]}"


def _used(reply: anthropic.types.Message) -> prices.Usage:
    usage = reply.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    searches = (usage.server_tool_use.web_search_requests or 0) if usage.server_tool_use else 0
    return prices.Usage(usage.input_tokens + cached, usage.output_tokens, searches)


def _text(reply: anthropic.types.Message) -> str:
    return "".join(block.text for block in reply.content if block.type == "text")


def _pages(reply: anthropic.types.Message) -> list[Candidate]:
    """Pages that its searches gave; an error of a search is none."""
    found: list[Candidate] = []
    for block in reply.content:
        if block.type == "web_search_tool_result" and isinstance(block.content, list):
            found.extend(Candidate(page.url, page.title, "found on the web") for page in block.content)
    return found
