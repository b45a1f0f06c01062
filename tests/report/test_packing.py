"""What the page carries folded up: packs, blocks in their places, cards whose texts stand once, figures made small."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import made_up_study
import pytest
from tests.ours import needs
from tests.unfolded import unpacked

from reproof.report import DrawnFigure, page, render
from reproof.report.inlined_svg import InlinedFigures, taken_in_turns
from reproof.report.packing import NOTE, Blocks, Pool, packed

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 9 9" style="color: red" role="img" '
    'aria-labelledby="a b"><title id="a">T</title><desc id="b">D</desc><g><g clip-path="url(#c)">'
    '<path id="m" d="M 1.24 2 L -0.96 3.05" style="fill: none;  stroke: red"/></g></g>'
    '<clipPath id="c"><rect x="0.04" y="7.96" width="1" height="1"/></clipPath>'
    '<use href="#m" x="3.14" y="2" style="fill: none; stroke: red"/><text style="fill: blue">a "b" &lt;c&gt; 1.234</text></svg>'
)


def test_a_pack_is_json_in_gzip_in_base64_the_same_every_time() -> None:
    content = {"ε": ["</script>", "x" * 10_000]}
    text = packed(content)
    assert text == packed(content)
    assert len(text) < 200
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text)
    assert json.loads(gzip.decompress(base64.b64decode(text))) == content


def test_a_block_leaves_its_place_and_what_stands_there_in_short() -> None:
    blocks = Blocks()
    assert "<noscript><b>short</b></noscript>" in blocks.later('a"b', "<pre>1\n2</pre>\n", "<b>short</b>")
    assert NOTE in blocks.later("c", "x")
    assert blocks.html == {'a"b': "<pre>1\n2</pre>", "c": "x"}
    with pytest.raises(ValueError, match="two blocks of the page are called c"):
        blocks.later("c", "y")


def test_a_pool_holds_what_is_used_twice_once_and_the_rest_in_place() -> None:
    pool = Pool()
    first = pool.add(("a", [("b", "c"), ("b", "c")], ()))
    second = pool.add(("d", ("b", "c"), "a"))
    assert pool.add(["d", ["b", "c"], "a"]) == second
    shared, roots = pool.packed([first, second, pool.add("e")])
    assert shared == ["a", ["b", "c"], ["d", 1, 0]]
    assert roots == [[0, [1, 1], []], 2, "e"]


def elements(svg: str) -> Iterator[ElementTree.Element]:
    for element in ElementTree.fromstring(svg).iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.tag != "g" or set(element.attrib) - {"{http://www.w3.org/2000/svg}g"}:
            yield element


def test_a_figure_made_small_draws_the_same() -> None:
    """Every shape and text is there in its order; a class is the style that was there; ends lie within 0.05."""
    inliner = InlinedFigures()
    figure = DrawnFigure.from_svg("one", SVG)
    small = inliner.inlined(figure)
    rules = dict(re.findall(r"\.figure \.(\w+) { (.*) }", inliner.css))
    before, after = list(elements(SVG)), list(elements(small))
    assert [(one.tag, one.text) for one in before] == [(one.tag, one.text) for one in after]
    for old, new in zip(before[1:], after[1:], strict=True):
        style = "; ".join(part.strip() for part in old.get("style", "").split(";") if part)
        assert rules.get(new.get("class", ""), "") == style
        for key in ("d", "x", "y"):
            ends = [list(map(float, re.findall(r"-?\d+\.?\d*", one.get(key, "")))) for one in (old, new)]
            assert ends[1] == pytest.approx(ends[0], abs=0.0501)
    ids = {one.get("id") for one in after} - {None}
    assert after[0].get("aria-labelledby") == "f1-0 f1-1"
    assert {"f1-2", "f1-3"} <= ids
    assert 'clip-path="url(#f1-3)"' in small
    assert 'href="#f1-2"' in small
    assert "f1-" not in inliner.inlined(figure), "two figures share no id"
    assert len(rules) == 2, "and all share their styles"


def test_figures_come_while_there_is_room_the_first_of_each_kind_first() -> None:
    assert taken_in_turns([["a1", "a2", "a3"], [], ["b1"]]) == ["a1", "b1", "a2", "a3"]
    kinds = [{"a1": "x" * 90, "a2": "y" * 90}, {"b1": "z" * 90}]
    one = len(packed("x" * 90))
    assert list(page._fitting(kinds, 2 * one)) == ["a1", "b1"]
    assert list(page._fitting(kinds, 3 * one)) == ["a1", "b1", "a2"]
    assert page._fitting(kinds, one - 1) == {}


@needs("sections/figures")
def test_what_the_page_has_no_room_for_is_named_by_its_file(
    tree: made_up_study.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "BYTES", 0)
    html = render(made_up_study.report_data(tree))
    assert unpacked(html, "figures") == {}
    assert "results/made_up/figures/examples_hostile.svg</p>" in html + "".join(
        unpacked(html, "blocks").values()
    )


def all_texts(item: Any, pool: list[Any]) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    else:
        for inner in [pool[item]] if isinstance(item, int) else item:
            yield from all_texts(inner, pool)


@needs("sections/reference_runs", "sections/paper_tables")
def test_a_card_tells_what_a_reference_run_measured_with_its_command(tree: made_up_study.Tree) -> None:
    from test_reference_runs import large, with_runs

    data = made_up_study.report_data(tree)
    pack = unpacked(render(with_runs(data, large())), "cards")
    texts = list(all_texts(pack["cards"]["card-claim-made_up.6"], pack["pool"]))
    assert "Reference run: Large digits, budget paper" in texts
    (command,) = [
        text for text in texts if text.endswith("--force results/large/outcomes/ours/seed0/white.parquet")
    ]
    assert command.startswith("snakemake --cores all --configfile studies/large.yaml ")
