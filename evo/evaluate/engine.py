"""Which software answered: a name and versions, read from the installed distributions and not by importing them."""

from __future__ import annotations

from evo.evaluate.server.command import probe

_DISTRIBUTIONS = {"hf": ("transformers", "torch")}


def engine_of(backend: str, *, server_python: str = "") -> str:
    """`hf transformers 5.23.0 torch 2.13.0`, or the backend's name alone. Build suffixes (`+cpu`) are left out.

    Of vLLM the versions are asked from the interpreter that it is installed for.
    """
    if backend == "vllm":
        found = probe(server_python)
        return f"vllm {found.vllm or 'absent'} torch {found.torch or 'absent'}"
    distributions = _DISTRIBUTIONS.get(backend, ())
    if not distributions:
        return backend
    from importlib.metadata import PackageNotFoundError, version  # 20 ms, which a command does not pay

    parts = [backend]
    for name in distributions:
        try:
            parts.append(f"{name} {version(name).partition('+')[0]}")
        except PackageNotFoundError:
            parts.append(f"{name} absent")
    return " ".join(parts)
