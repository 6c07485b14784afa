"""What a run is shown, and the rules that hold it to that: on real folders, in real processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from evo.runner.sandbox import ladder, landlock, view
from evo.runner.sandbox.opened import Openings
from evo.runner.sandbox.view import View
from evo.runner.stage import Order, launch


def ended(order: Order) -> int:
    _, status = os.waitpid(launch(order, set()), 0)
    return os.waitstatus_to_exitcode(status)


def mounts(argv: list[str], path: Path) -> list[str]:
    """The options that mention `path` as a place in the sandbox."""
    text = str(path)
    return [argv[place - (2 if argv[place - 1] != "--tmpfs" else 1)] for place, word in enumerate(argv)
            if word == text and argv[place - 1] != "--chdir" and argv[place + 1].startswith("--")]  # fmt: skip


def test_what_is_hidden_is_covered_and_what_is_named_within_it_is_shown(tmp_path: Path) -> None:
    for name in ("root/.evo/sealed", "root/.evo/work", "root/data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/gold").touch()
    root = tmp_path / "root"
    shown = View((str(root),), (str(root / ".evo/work"),), (str(root / ".evo/sealed"), str(root / "gold")))
    argv = view.bwrap_argv("bwrap", shown, cwd="/", network=True)
    assert mounts(argv, root) == ["--ro-bind-try"]
    assert mounts(argv, root / ".evo/work") == ["--bind-try"]
    assert mounts(argv, root / ".evo/sealed") == ["--tmpfs"]
    assert argv[argv.index(str(root / "gold")) - 1] == "/dev/null"
    assert "--unshare-net" not in argv
    assert argv.index(str(root)) < argv.index(str(root / ".evo/work"))
    rules = view.landlock_rules(shown)
    assert str(root / "data") in rules["read"]
    assert not {str(root), str(root / ".evo"), str(root / ".evo/sealed"), str(root / "gold")} & {*rules["read"]}


def test_what_the_folder_around_shows_alike_is_mounted_once(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    argv = view.bwrap_argv("bwrap", View((str(tmp_path / "a"), str(tmp_path / "a/b")), (), ()), cwd="/", network=False)
    assert mounts(argv, tmp_path / "a/b") == []
    assert "--unshare-net" in argv


def test_no_folder_around_home_or_the_workspace_is_shown_for_being_searched(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "bin").mkdir()
    env = {"PATH": f"{tmp_path}:{tmp_path}/bin:.:/nonexistent", "HF_HUB_CACHE": str(tmp_path / "hub")}
    found = view.of_environment(env, root=str(tmp_path / "ws"))
    assert str(tmp_path / "bin") in found.read
    assert not {str(tmp_path), ".", "/nonexistent"} & {*found.read}
    assert {sys.prefix, sys.base_prefix} <= {*found.read}
    assert found.write == (str(tmp_path / "hub"),)
    offline = view.of_environment({**env, "HF_HUB_OFFLINE": "1"}, root=str(tmp_path / "ws"))
    assert (offline.write, str(tmp_path / "hub") in offline.read) == ((), True)


def test_a_model_in_the_hub_s_cache_brings_its_blobs(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--x/snapshots/rev"
    snapshot.mkdir(parents=True)
    assert view.with_links(str(snapshot)) == [str(snapshot), str(tmp_path / "models--x")]
    (tmp_path / "elsewhere").touch()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/weights").symlink_to(tmp_path / "elsewhere")
    assert view.with_links(str(tmp_path / "plain")) == [str(tmp_path / "plain"), str(tmp_path / "elsewhere")]


@pytest.mark.parametrize(("version", "bits"), [(0, 0), (1, 13), (2, 14), (3, 15), (4, 15), (5, 16), (9, 16)])
def test_landlock_asks_for_no_right_that_a_kernel_does_not_know(version: int, bits: int) -> None:
    assert landlock.rights(version) == (1 << bits) - 1


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_landlock_rules_hold_for_what_a_process_starts(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    rules = {
        "read": ["/usr", "/bin", "/lib", "/lib64", "/etc", "/nonexistent"],
        "write": [str(tmp_path / "in"), "/dev/null"],
    }
    line = f"sh -c 'echo x > {tmp_path}/in/x'; sh -c 'echo x > {tmp_path}/out/x' 2>/dev/null || exit 7"
    order = Order(["/bin/sh", "-c", line], "/", {"PATH": os.defpath}, str(tmp_path / "log"), rules=rules)
    assert ended(order) == 7, (tmp_path / "log").read_text()
    assert ((tmp_path / "in/x").exists(), (tmp_path / "out/x").exists()) == (True, False)


def test_a_rung_that_cannot_start_is_not_taken(tmp_path: Path) -> None:
    """bubblewrap is there and does not work: the next rung, and the reason."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'no namespaces for you' >&2\nexit 1\n")
    broken.chmod(0o755)
    (tmp_path / "hidden").mkdir()
    rung = ladder.climb(tmp_path / "hidden", program=str(broken), wished="auto", env=os.environ)
    assert rung.level == ("landlock" if landlock.abi() else "none")
    assert "bwrap: no namespaces for you" in rung.why
    assert list((tmp_path / "hidden").iterdir()) == []


def test_the_rung_is_tried_once_and_again_when_the_program_changes(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    for folder in (tools, tmp_path / "hidden"):
        folder.mkdir()
    (tools / "bwrap").write_text(f"#!/bin/sh\necho x >> {tmp_path}/tried\nexit 1\n")
    (tools / "bwrap").chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}"}
    ask = lambda: ladder.present(tmp_path / "hidden", tmp_path / "record.json", wished="bwrap", env=env)  # noqa: E731
    first = ask()
    tries = (tmp_path / "tried").read_text()
    assert (ask(), (tmp_path / "tried").read_text()) == (first, tries)
    os.utime(tools / "bwrap", (1, 1))
    ask()
    assert (tmp_path / "tried").read_text() == 2 * tries


def test_opened_files_are_named_also_in_folders_made_later(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/rows.jsonl").write_text("{}")
    (tmp_path / "single.csv").write_text("x")
    (tmp_path / "a/page.py").write_text("pass")
    openings = Openings([str(tmp_path / "a"), str(tmp_path / "single.csv")])
    for name in ("a/rows.jsonl", "single.csv", "a/page.py"):
        (tmp_path / name).read_text()
    (tmp_path / "a/late").mkdir()
    openings.look()
    (tmp_path / "a/late/more.txt").write_text("y")
    seen = openings.seen()
    openings.close()
    assert seen.files == [str(tmp_path / name) for name in ("a/late/more.txt", "a/rows.jsonl", "single.csv")]
    assert seen.complete
    assert not Openings([str(tmp_path / "missing"), *["/proc/self/none"] * 2]).seen().files
