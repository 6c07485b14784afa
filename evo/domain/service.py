"""A warm service that is kept beside the runs of a workspace: its folder, as keeper and users share it.

    service.json   user -> keeper: how to start the service
    state.json     keeper -> users: which start of it answers where, or that it sleeps
    down.json      keeper -> everyone: it is not to be had, and why, until this is removed or the machine restarts
    leases/        ops -> keeper: attempts that may want it soon; one holds while its attempt's heartbeat does
    keeper.lock    held by the keeper while it lives
    start.lock     held while somebody starts a keeper
    use.lock       shared by all users; the service runs while one is there, and `idle_s` longer
    weights.lock   shared by users of the weights in `weights.json`, held alone by who changes them
    weights.json   user -> users: {"run", "weights"}; where it names another start, the service has those it began with
    fixed          user -> users: the service does not take other weights while it runs, in its own words
    <run>.sock     where one start of the service listens
    service.log    what it says

Invariant: locks are flocks, so none outlives its holder, however it died; a socket's name belongs to one start, so
nobody talks to a restarted service without noticing.
"""

from __future__ import annotations

from pathlib import Path

from evo.lightdata import dataclass

LEASE_S = 60.0
"""A heartbeat older than this keeps no service."""


@dataclass(frozen=True)
class Service:
    """How to start a service. `{socket}` in `argv` becomes the socket's name in `cwd`, which is the folder."""

    argv: list[str]
    env: dict[str, str]
    idle_s: float
    start_s: float
    """It is to answer /health within this time."""
    health: str = "/health"
    schema: str = "evo-service/1"


@dataclass(frozen=True)
class ServiceState:
    """`run` names one start of the service; empty while none was."""

    state: str
    """asleep, starting, ready or down."""
    run: str = ""
    keeper: int = 0
    """Process ids are for people and tests; what lives is told by locks."""
    session: int = 0
    """Session of every process of the service."""
    session_start: int = 0
    """Start time of its leader, field 22 of /proc/PID/stat."""
    boot_id: str = ""

    @property
    def socket(self) -> str:
        return f"{self.run}.sock"


class ServiceFolder:
    """Named paths of one service; nothing else builds them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.service = root / "service.json"
        self.state = root / "state.json"
        self.down = root / "down.json"
        self.leases = root / "leases"
        self.keeper_lock = root / "keeper.lock"
        self.start_lock = root / "start.lock"
        self.use_lock = root / "use.lock"
        self.weights_lock = root / "weights.lock"
        self.weights = root / "weights.json"
        self.fixed = root / "fixed"
        self.log = root / "service.log"
        self.keeper_log = root / "keeper.log"
