"""How the end of a demo looks: the tree, what was certified, the number out of the vault."""

from __future__ import annotations

from evo.cli.blocks import Block, Cell, Table, Text
from evo.cli.render import trees, words
from evo.domain.demo_view import DemoView
from evo.domain.views import CertificateView, TreeView


def demo(view: DemoView) -> list[Block]:
    blocks = trees.tree(TreeView(view.experiments, truncated=False, total=len(view.experiments)))
    blocks += [Text(words.one_line(failure), style="red") for failure in view.failures.values()]
    blocks += [Text(""), *searched(view)]
    blocks += [Text(""), *certificates(view)]
    blocks += [Text(""), *vault(view)]
    made = (
        f"{len(view.experiments) - 1} experiments in {words.duration(view.seconds)}, parents chosen by {policies(view)}"
    )
    return [*blocks, Text(f"{made}; workspace {view.workspace}", style="dim")]


def searched(view: DemoView) -> list[Block]:
    """What the loop added, and what chance would have."""
    if view.loop is None:
        return []
    gain = "no score" if view.loop.gain is None else f"{view.loop.gain:+.3f} over exp_0000"
    draws = view.loop.expected_of_draws
    note = "" if draws is None else f"as many random draws of its values: {draws:+.3f} expected"
    return [
        Text(f"evo loop  {view.loop.experiments} experiments on its own; best {view.loop.best}, {gain}", "bold", note)
    ]


def certificates(view: DemoView) -> list[Block]:
    if not view.certificates:
        return [Text("certificates", style="bold", note="none: the evidence on dev never asked for a held-out test")]
    rows = [row(name, certificate) for name, certificate in sorted(view.certificates.items(), key=by_look)]
    return [Table(("certificate", "held-out says", "look", "isolation"), rows, right=frozenset({"look"}))]


def by_look(entry: tuple[str, CertificateView]) -> int:
    return entry[1].look


def row(name: str, certificate: CertificateView) -> list[str | Cell]:
    verdict = f"better than {certificate.against}" if certificate.passed else f"not shown to beat {certificate.against}"
    sign, style = ("◆", "green") if certificate.passed else ("–", "dim")
    return [Cell(f"{sign} {name}", style), verdict, str(certificate.look), certificate.isolation]


def vault(view: DemoView) -> list[Block]:
    if view.vault is None:
        return [Text(view.message or "the vault stays shut", style="yellow")]
    v = view.vault
    number = f"{view.committed} scores {v.mean:.3f}  [{v.low:.3f}, {v.high:.3f}]"
    return [Text(f"vault  {number}", "bold green", f"95 % interval, {v.n} items that nothing had ever seen")]


def policies(view: DemoView) -> str:
    return ", ".join(sorted(set(view.picked_by.values()))) or "nobody"
