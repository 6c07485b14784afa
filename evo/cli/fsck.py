"""evo fsck."""

from __future__ import annotations

from evo.cli.options import leaf
from evo.domain.upkeep_views import FindingsView, FindingView
from evo.domain.views import Reply
from evo.errors import StoreError
from evo.ops import upkeep
from evo.session import open_session

app = leaf()


@app.command()
def fsck() -> Reply:
    """evo fsck

    Check the database, the attempts on disk, scores against their items, and certificates. Changes nothing.
    """
    with open_session(readonly=True) as session:
        found = upkeep.check(session)
    view = FindingsView([FindingView(f.severity, f.what, f.fix) for f in found])
    broken = [f for f in found if f.severity == "error"]
    failure = StoreError(f"{len(broken)} errors in the tree", hint=broken[0].fix) if broken else None
    return Reply(view, failure=failure)
