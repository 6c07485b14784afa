"""Landlock: rules that a process gives itself, and that nothing it starts can take off again.

Invariant: what a kernel does not know of is left out, never guessed; `enter` raises where the rules do not hold.
Only light modules are imported: this runs between the fork and the exec of every training.

The calls are those of landlock(7); their numbers are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable, Mapping

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_ASKS_VERSION, _PATH_BENEATH = 1, 1
_NO_NEW_PRIVS, _BOUNDING_DROP = 38, 24
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x20080522

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_CHAR, _MAKE_BLOCK = (1 << n for n in (0, 1, 2, 3, 6, 11))
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every right over files that an ABI version knows; one that is not named knows those of the version before."""
_SCOPES_SINCE = 6
_ABSTRACT_SOCKETS_AND_SIGNALS = 3

Rules = Mapping[str, Iterable[str]]
"""`read` and `write`: paths under which that is allowed, and nothing elsewhere. Empty: files are not ruled, only
signals and abstract sockets out of the own processes are refused."""

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The version that this kernel speaks; 0 where it has none, or has it switched off."""
    return max(0, int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), _ASKS_VERSION)))


def enter(rules: Rules) -> None:
    """Hold this process and all that it starts to `rules`, without a way back. OSError where that cannot be."""
    version = abi()
    files = rights(version) if rules else 0
    scopes = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPES_SINCE else 0
    if rules and not files:
        raise OSError("this kernel has no Landlock")
    if rules and os.geteuid() == 0:
        give_up_capabilities()
    _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    if not files | scopes:
        return
    ruleset = _create(files, scopes, size=24 if version >= _SCOPES_SINCE else 8)
    try:
        for path in rules.get("read", ()):
            _allow(ruleset, path, _READ & files)
        for path in rules.get("write", ()):
            _allow(ruleset, path, files & ~(_MAKE_CHAR | _MAKE_BLOCK))
        _checked(_libc.syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)


def rights(version: int) -> int:
    """All rights over files that are known to this version."""
    return max((found for since, found in _RIGHTS_OF_ABI.items() if since <= version), default=0)


def give_up_capabilities() -> None:
    """A root that may do no more than its files allow, and gets nothing back by starting a program."""
    for number in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_BOUNDING_DROP, number, 0, 0, 0)  # an error: this kernel has no such capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def _create(files: int, scopes: int, *, size: int) -> int:
    attributes = (ctypes.c_uint64 * 3)(files, 0, scopes)
    return _checked(_libc.syscall(_CREATE, attributes, ctypes.c_size_t(size), 0))


def _allow(ruleset: int, path: str, allowed: int) -> None:
    """What is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= _ON_FILES
        rule = allowed.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
        _checked(_libc.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0))
    finally:
        os.close(place)


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return answer
