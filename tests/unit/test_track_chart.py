"""The drawing of the tree."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from evo.track.chart import MOST_NODES, Node, draw

SVG = "{http://www.w3.org/2000/svg}"


def parsed(nodes: list[Node]) -> ET.Element:
    return ET.fromstring(draw(nodes))


def spots(image: ET.Element) -> list[tuple[float, float]]:
    return [(float(mark.attrib["cx"]), float(mark.attrib["cy"])) for mark in image.iter(f"{SVG}circle")]


def test_each_node_has_its_place_its_score_and_its_line() -> None:
    tree = [
        Node("exp_0000", None, "committed", 0.36, "base"),
        Node("exp_0001", "exp_0000", "open", 0.5, "a"),
        Node("exp_0002", "exp_0000", "failed", None, "b"),
        Node("exp_0003", "exp_0001", "pending", None, "c"),
    ]
    image = parsed(tree)
    texts = [text.text for text in image.iter(f"{SVG}text")]
    assert texts == ["exp_0000  0.360", "exp_0001  0.500", "exp_0002", "exp_0003"]
    assert len(list(image.iter(f"{SVG}path"))) == 3
    places = spots(image)
    assert len(set(places)) == 4
    assert places[0][0] < places[1][0] == places[2][0] < places[3][0]
    assert places[1][1] < places[2][1]
    width, height = float(image.attrib["width"]), float(image.attrib["height"])
    assert all(0 < x < width and 0 < y < height for x, y in places)


def test_words_of_people_are_escaped() -> None:
    image = parsed([Node("exp_0000", None, "open", None, "</title><script>alert(1)</script> & more")])
    assert not list(image.iter(f"{SVG}script"))
    assert "<script>" in (next(image.iter(f"{SVG}title")).text or "")


def test_a_deep_and_a_large_tree_are_bounded() -> None:
    deep = [Node(f"exp_{i:04d}", f"exp_{i - 1:04d}" if i else None, "open", 0.5, "h") for i in range(3000)]
    image = parsed(deep)
    assert len(spots(image)) == MOST_NODES
    assert f"{3000 - MOST_NODES} more experiments are not drawn" in [text.text for text in image.iter(f"{SVG}text")]
