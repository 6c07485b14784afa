"""`evo fsck` looks at the seal too."""

from __future__ import annotations

from pathlib import Path

from workspaces import evo, make_command_workspace


def test_a_broken_seal_is_an_error(tmp_path: Path) -> None:
    """DESIGN §12: a file that is missing or changed is named; nothing of an item is."""
    workspace = make_command_workspace(tmp_path / "ws", n=60)
    assert evo("fsck", cwd=workspace).data["findings"] == []
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    sealed = workspace / ".evo" / "sealed"
    (sealed / "heldout.jsonl").chmod(0o644)
    (workspace / "data" / "dev.jsonl").unlink()
    broken = evo("fsck", cwd=workspace)
    assert broken.code == 4
    what = [finding["what"] for finding in broken.document["data"]["findings"]]
    assert [words in line for words, line in zip(("dev.jsonl is gone", "mode 0644"), what, strict=True)] == [True, True]
    (sealed / "manifest.json").unlink()
    assert "manifest.json is gone" in evo("fsck", cwd=workspace).out
