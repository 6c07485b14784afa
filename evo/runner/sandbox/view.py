"""What a training process sees of the machine: an allow-list of paths, and how each level of the ladder spells it.

Invariant: a path that is to stay hidden is in no listing that is made here, also where something around it is allowed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu")
_SYS, _SYS_OF_CARDS = ("devices", "fs/cgroup"), ("bus", "class", "dev", "module")
_ETC = (
    *(
        "alternatives",
        "group",
        "hosts",
        "ld.so.cache",
        "ld.so.preload",
        "localtime",
        "nsswitch.conf",
        "nvidia",
        "OpenCL",
    ),
    *("os-release", "passwd", "pki", "resolv.conf", "services", "ssl/certs", "ssl/openssl.cnf"),
)
"""For root, who may read the rest of /etc: passwords, host keys. A short list: each entry is a mount, 0.1 ms a run."""
_DEVICES = ("dri", "kfd", "dxg", "infiniband")
_PLAIN_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "shm", "pts", "ptmx")
_SEARCHED = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX")
_CACHES = ("HF_HUB_CACHE", "HF_DATASETS_CACHE")


class View(NamedTuple):
    """Absolute paths. `hidden` wins over what is around it, and what is named within it over `hidden`."""

    read: tuple[str, ...]
    write: tuple[str, ...]
    hidden: tuple[str, ...]


def of_environment(env: Mapping[str, str], *, root: str) -> View:
    """Programs, libraries and caches that a process with this environment finds; no folder around home or `root`."""
    named = [path for name in _SEARCHED for path in env.get(name, "").split(os.pathsep) if path.startswith("/")]
    inner = (os.path.expanduser("~"), root)
    read = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(sys.executable), *_imported()]
    read += [path for path in named if not _is_around(path, inner) and os.path.isdir(path)]
    caches = [path for name in _CACHES if (path := env.get(name, "")).startswith("/")]
    is_offline = env.get("HF_HUB_OFFLINE", "") in ("1", "true", "True", "YES", "ON")
    return View((*read, *(caches if is_offline else ())), () if is_offline else tuple(caches), ())


def _imported() -> list[str]:
    """What the interpreter imports beside its own folders: packages and modules in the folders of its `.pth` files.

    Not those folders themselves, where whatever else is being worked on lies too.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = [package]
    site = f"{sys.prefix}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for name in _names(site):
        if name.endswith(".pth"):
            with open(f"{site}/{name}", encoding="utf-8", errors="replace") as file:
                folders = [line.strip() for line in file if line.startswith("/")]
            found += [path for folder in folders if not _is_within(folder, sys.prefix) for path in _modules(folder)]
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _modules(folder: str) -> list[str]:
    if os.path.basename(folder) in ("site-packages", "dist-packages"):
        return [folder]
    paths = [f"{folder}/{name}" for name in _names(folder)]
    return [path for path in paths if path.endswith((".py", ".so")) or os.path.isfile(f"{path}/__init__.py")]


def with_links(folder: str) -> list[str]:
    """A folder of weights, and where the links in it lead: the hub's cache keeps its files elsewhere."""
    snapshots = os.path.dirname(folder)
    if os.path.basename(snapshots) == "snapshots":
        return [folder, os.path.dirname(snapshots)]
    paths = [f"{folder}/{name}" for name in _names(folder)]
    return [folder, *(os.path.realpath(path) for path in paths if os.path.islink(path))]


def bwrap_argv(program: str, view: View, *, cwd: str, network: bool) -> list[str]:
    """The command line that shows `view` to what follows it, as an unprivileged user of its own pid namespace."""
    argv = [program, "--unshare-user", "--uid", "65534", "--gid", "65534", "--unshare-pid", "--unshare-ipc"]
    argv += [] if network else ["--unshare-net"]
    argv += ["--cap-drop", "ALL", "--die-with-parent", "--proc", "/proc", "--dev", "/dev"]
    for path in ("/tmp", "/var/tmp"):
        argv += ["--perms", "1777", "--tmpfs", path]
    for path in devices():
        argv += ["--dev-bind-try", path, path]
    places = _mounts(view)
    for path in sorted(places, key=lambda path: path.split("/")):
        argv += places[path]
    return [*argv, "--chdir", cwd, "--"]


def _mounts(view: View) -> dict[str, tuple[str, ...]]:
    """Path -> how it is mounted, those left out that the folder around them shows in the same way."""
    found: dict[str, tuple[str, ...]] = {}
    for path in system_paths():
        found[path] = ("--symlink", os.readlink(path), path) if os.path.islink(path) else ("--ro-bind-try", path, path)
    for path in view.read:
        found |= {name: ("--ro-bind-try", name, name) for name in _spellings(path) if not _is_in(name, _SYSTEM)}
    for path in view.write:
        found |= {name: ("--bind-try", name, name) for name in _spellings(path)}
    shown = {path: how for path, how in found.items() if not _is_said_already(path, found)}
    for path in view.hidden:
        for name in _spellings(path):
            if _is_in(name, shown):
                shown[name] = ("--tmpfs", name) if os.path.isdir(name) else ("--ro-bind-try", "/dev/null", name)
    return shown


def landlock_rules(view: View) -> dict[str, list[str]]:
    """The same for Landlock, which can only allow: around a hidden path, what lies beside it is listed one by one."""
    shown = ("/proc", *system_paths(), *view.read)
    devices_ = [*(f"/dev/{name}" for name in _PLAIN_DEVICES), *devices()]
    return {
        "read": [path for place in shown for path in beside(place, view.hidden)],
        "write": [*devices_, *(path for place in view.write for path in beside(place, view.hidden))],
    }


def beside(place: str, hidden: Iterable[str]) -> list[str]:
    """`place`, or what lies in it beside the hidden paths within."""
    place = os.path.realpath(place)
    within = [path for path in map(os.path.realpath, hidden) if _is_within(path, place)]
    if not within:
        return [place]
    paths = [f"{place}/{name}" for name in _names(place)]
    return [found for path in paths if path not in within for found in beside(path, within)]


def system_paths() -> list[str]:
    etc = [f"/etc/{name}" for name in _ETC] if os.geteuid() == 0 else ["/etc"]
    resolver = os.path.realpath("/etc/resolv.conf")  # often a file below /run
    sys_ = [f"/sys/{name}" for name in (*_SYS, *(_SYS_OF_CARDS if devices() else ()))]
    named = (*_SYSTEM, *etc, *sys_, *([] if resolver.startswith("/etc/") else [resolver]))
    return [path for path in named if os.path.lexists(path)]


def devices() -> list[str]:
    """The nodes of graphics cards and of the network between them."""
    return [f"/dev/{name}" for name in _names("/dev") if name.startswith("nvidia") or name in _DEVICES]


def _spellings(path: str) -> tuple[str, ...]:
    """As it is named, and where that really lies."""
    real = os.path.realpath(path)
    return (path,) if real == path else (path, real)


def _is_said_already(path: str, places: Mapping[str, tuple[str, ...]]) -> bool:
    """The nearest listed folder around it is shown in the same way."""
    around = path
    while around != "/":
        around = os.path.dirname(around)
        if around in places:
            return places[around][0] == places[path][0]
    return False


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_in(path: str, folders: Iterable[str]) -> bool:
    return any(_is_within(path, folder) for folder in folders)


def _is_around(path: str, inner: Iterable[str]) -> bool:
    real = os.path.realpath(path)
    return any(_is_within(name, place) for name in inner for place in (path, real))
