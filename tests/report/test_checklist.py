"""The checklist on the page: counts per item and group, evidence once per sentence, every item with its card."""

from __future__ import annotations

import dataclasses

import made_up_study
from made_up_study import frame
from tests.unfolded import render

from reproof.diagnostics.checklist import ITEMS
from reproof.report.contents import empty
from reproof.report.sections.checklist import groups
from reproof.report.shared import Shared

GROUPS = {item.key: (item.group, item.section) for item in ITEMS}


def row(item: str, model: str, answer: str, evidence: str) -> dict[str, str]:
    title, section = GROUPS[item]
    return {
        **{"item": item, "group": title, "section": section},
        **{"model": model, "answer": answer, "evidence": evidence},
    }


ROWS = [
    row("iterative", "undefended", "yes", "It holds."),
    row("iterative", "pgd_training", "yes", "It holds."),
    row("iterative", "hostile", "no", "It does <b>not</b>."),
    row("threat_model", "", "yes", "Stated."),
    row("targeted", "undefended", "partly", "Half."),
]


def test_items_stand_in_the_checklists_order_with_their_counts(tree: made_up_study.Tree) -> None:
    data = dataclasses.replace(made_up_study.report_data(tree), checklist=frame("checklist", ROWS))
    severe, special = groups(Shared(data))
    assert [item.id for item in severe.items] == ["checklist-threat_model", "checklist-iterative"]
    assert severe.counts == (("yes", 3), ("no", 1))
    assert [item.whole for item in severe.items] == [True, False]
    assert severe.items[1].counts == (("yes", 2), ("no", 1))
    assert (special.title, special.counts) == ("Special cases", (("partly", 1),))


def test_a_sentence_stands_once_with_all_its_models_and_what_was_not_done_first(
    tree: made_up_study.Tree,
) -> None:
    data = dataclasses.replace(made_up_study.report_data(tree), checklist=frame("checklist", ROWS))
    evidence = groups(Shared(data))[0].items[1].evidence
    assert [(each.answer, each.models) for each in evidence] == [
        ("no", (made_up_study.HOSTILE,)),
        ("yes", ("undefended", "PGD training (Madry)")),
    ]


def test_the_page_says_the_answers_in_words_and_leads_to_cards(tree: made_up_study.Tree) -> None:
    data = made_up_study.report_data(tree)
    html = render(dataclasses.replace(data, checklist=frame("checklist", ROWS)))
    section = html.split('<section id="checklist">')[1].split("</section>")[0]
    assert "On evaluating adversarial robustness: the checklist" in section
    assert "It does &lt;b&gt;not&lt;/b&gt;." in section
    assert made_up_study.HOSTILE not in section
    for item in ("iterative", "threat_model", "targeted"):
        assert f'href="#card-checklist-{item}"' in section
        assert f'id="card-checklist-{item}"' in html
    assert '<a href="#checklist">' in html
    without = render(dataclasses.replace(data, checklist=empty("checklist")))
    assert '<section id="checklist">' not in without
    assert '<a href="#checklist">' not in without
