"""Reading claims.csv: its columns, words, ids, sources and parameters; what is printed is in test_printed.py."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from reproof.claims.claim import TransferSource, claim_id
from reproof.claims.paper import FOLDER
from reproof.claims.vocabulary import COLUMNS, variant_of
from reproof.errors import ClaimError
from tests.hand_made_papers import cell, claim, read_claims, write_claims

CLEAN = cell(column="No Attack", attack="none", parameters="")


def test_reads_what_is_written(tmp_path):
    bim = {"column": "BIM", "attack": "bim"}
    clean, one, dash = read_claims(
        write_claims(
            tmp_path, {**CLEAN, "printed": "(98.71)", "value": "0.9871"}, cell(), cell(**bim, printed="-")
        )
    )
    assert one == claim()
    assert one.value == 0.199
    assert (clean.value, clean.printed, clean.parameters) == (0.9871, "(98.71)", "")
    assert (dash.value, dash.claim_id) == (None, "p.table_1.ours.bim")


def test_columns_may_stand_in_any_order(tmp_path):
    assert read_claims(write_claims(tmp_path, cell(), columns=COLUMNS[::-1])) == [claim()]


UNKNOWN = {
    "dataset": ("cifar-10", "did you mean 'cifar10'"),
    "architecture": ("cnn", "did you mean 'cnn6'"),
    "defense": ("prototype_confomity", "did you mean 'prototype_conformity'"),
    "training": ("FGSM", "there are: carlini_wagner, clean, fgsm, pgd"),
    "setting": ("whitebox", "did you mean 'white_box'"),
    "attack": ("pdg", "did you mean 'pgd'"),
    "metric": ("acuracy", "did you mean 'accuracy'"),
    "unit": ("percents", "did you mean 'percent'"),
    "certainty": ("certainly", "did you mean 'certain'"),
}


@pytest.mark.parametrize(
    ("column", "word", "nearest"), [(c, *rest) for c, rest in UNKNOWN.items()], ids=UNKNOWN
)
def test_names_file_line_column_and_the_nearest_word(tmp_path, column, word, nearest):
    path = write_claims(tmp_path, CLEAN, cell(**{column: word}))
    with pytest.raises(ClaimError) as caught:
        read_claims(path)
    assert str(caught.value).startswith(f"{path}, line 3, column {column}: {word!r} is unknown; {nearest}")


BAD = {
    "variant of an unknown defense": ({"defense": "gravity[x]"}, "column defense.*'adaptive_gravity'"),
    "unit of another metric": (
        {"unit": "points"},
        "column unit: 'points' is unknown; there are: fraction, percent",
    ),
    "no defense": ({"defense": ""}, "column defense: '' is unknown"),
    "fraction with a point": ({"parameters": "epsilon=8.0/255"}, "column parameters: '8.0/255' is no number"),
    "budget with a zero too many": ({"parameters": "epsilon=0.30"}, "written epsilon=0.3"),
    "budget with a point too many": ({"parameters": "c=10.0"}, "written c=10"),
    "unknown parameter": ({"parameters": "eps=0.3"}, "column parameters.*did you mean 'epsilon'"),
    "parameter without value": ({"parameters": "epsilon"}, "column parameters.*name=number"),
    "parameter that is no number": ({"parameters": "epsilon=x"}, "column parameters: 'x' is no number"),
    "parameter that is not finite": ({"parameters": "epsilon=inf"}, "column parameters: 'inf' is no number"),
    "two blanks": ({"parameters": "c=1  steps=200"}, "column parameters.*a blank too many"),
    "parameter twice": ({"parameters": "c=1 c=2"}, "column parameters: 'c' stands twice"),
    "parameters without attack": ({"attack": "none"}, "column parameters.*empty"),
    "a time's accuracy for a share": (
        {"parameters": "accuracy=0.5"},
        "column parameters: 'accuracy' is unknown",
    ),
    "unknown evidence": ({"evidence": "copied"}, "column evidence"),
    "evidence with more words": ({"evidence": "measured by us"}, "column evidence"),
    "copied from nowhere": ({"evidence": "copied from"}, "column evidence"),
    "no evidence": ({"evidence": ""}, "column evidence"),
    "blank": ({"row": " Ours"}, "column row.*blank"),
    "blank at the end": ({"note": "a "}, "column note.*blank"),
    "no row label": ({"row": ""}, "column row: is empty"),
    "no column label": ({"column": ""}, "column column: is empty"),
    "no table": ({"table": ""}, "column table: is empty"),
    "nothing printed": ({"printed": "", "value": ""}, "column printed: is empty"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_says_what_is_wrong_and_where(tmp_path, change, message):
    path = write_claims(tmp_path, CLEAN, cell(**change))
    with pytest.raises(ClaimError, match=message) as caught:
        read_claims(path)
    assert f"{path}, line 3" in str(caught.value)


GOOD = {
    "a variant": {"defense": "diverse_ensemble[boosted]"},
    "a variant with numbers": {"defense": "superimposition[beta=2,4]"},
    "a variant of a plug-in": {"defense": "prototype_conformity[released_code]"},
    "two defenses": {"defense": "defensive_features+polarised_contrastive"},
    "several parameters": {"attack": "carlini_wagner", "parameters": "c=0.001 steps=200"},
    "an attack without parameters": {"attack": "deepfool", "parameters": ""},
    "an exact fraction": {"parameters": f"epsilon={8 / 255!r}"},
    "adaptive": {"setting": "adaptive"},
    "copied": {"evidence": "copied from Yu et al. [43]"},
    "less certain": {"certainty": "likely"},
    "least certain": {"certainty": "unsure"},
    "trained on C&W": {"defense": "undefended", "training": "carlini_wagner"},
}


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_reads_every_word_as_it_stands(tmp_path, change):
    (found,) = read_claims(write_claims(tmp_path, cell(**change)))
    assert dataclasses.asdict(found).items() >= change.items()


@pytest.mark.parametrize(
    ("defense", "plain"),
    [
        ("pgd_training[steps=3]", "pgd_training"),
        ("prototype_conformity[layer=4,5]", "prototype_conformity"),
        ("undefended", "undefended"),
        ("pgd_training[]", "pgd_training[]"),
        ("pgd_training[3 steps]", "pgd_training[3 steps]"),
        ("pgd_training[a][b]", "pgd_training[a]"),
        ("pgd_training[a]b", "pgd_training[a]b"),
    ],
)
def test_a_variant_stands_in_one_pair_of_brackets(tmp_path, defense, plain):
    assert variant_of(defense) == plain
    path = write_claims(tmp_path, cell(defense=defense))
    if "[" in plain:
        with pytest.raises(ClaimError, match="column defense"):
            read_claims(path)
    else:
        assert read_claims(path)[0].defense == defense


def test_a_time_to_an_accuracy_names_the_accuracy(tmp_path):
    time = {
        "metric": "seconds_to_accuracy",
        "unit": "h:min",
        "printed": "00:59h",
        "value": "3540",
        "attack": "none",
    }
    (found,) = read_claims(write_claims(tmp_path, cell(**time, parameters="accuracy=0.5")))
    assert (found.parameters, found.epsilon, found.value) == ("accuracy=0.5", None, 3540)
    for text, message in (
        ("", "column parameters: is empty; seconds_to_accuracy needs one such as accuracy=0.5"),
        ("epsilon=0.5", "'epsilon' is unknown; there are: accuracy"),
        ("accuracy=50 %", "'50' |'%'"),
    ):
        with pytest.raises(ClaimError, match=message):
            read_claims(write_claims(tmp_path, cell(**time, parameters=text)))


IDS = [
    ("mustafa_pcl", "Table 9", "C&W · c = 0.1", "Ours_f*", "mustafa_pcl.table_9.candw.c_0_1.ours_f_star"),
    ("p", "Table II", "FGSM · ε = 8/255", "DKD*_standalone", "p.table_ii.fgsm.eps_8_255.dkd_star_standalone"),
    (
        "p",
        "Table 4",
        "α = 0.4, λ = 1, ζ",
        "White-Box · FGSM",
        "p.table_4.alpha_0_4_lambda_1_zeta.white_box.fgsm",
    ),
    ("p", "Text", "Sec. 5.1 · second best, 41.4 %", "Claim", "p.text.sec_5_1.second_best_41_4.claim"),
    ("p", "Table 1", "AdvTrain_FGSM", "No Attacks", "p.table_1.advtrain_fgsm.no_attacks"),
    ("p", "Table 1", "∼10 (dBs)", "(a)--B", "p.table_1.10_dbs.a_b"),
    ("p", "Table 1", "*", "A·B", "p.table_1.star.a_b"),
]


@pytest.mark.parametrize(("paper", "table", "row", "column", "expected"), IDS)
def test_an_id_is_made_of_the_labels(paper, table, row, column, expected):
    assert claim_id(paper, table, row, column) == expected


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"paper": "q"}, "q.table_1.ours.pgd"),
        ({"table": "Table 2"}, "p.table_2.ours.pgd"),
        ({"row": "Ours*"}, "p.table_1.ours_star.pgd"),
        ({"column": "PGD · ε = 0.3"}, "p.table_1.ours.pgd.eps_0_3"),
    ],
)
def test_refuses_an_id_that_its_labels_do_not_make(tmp_path, change, wanted):
    path = write_claims(tmp_path, CLEAN, {**cell(), **change})
    with pytest.raises(ClaimError, match="column claim_id") as caught:
        read_claims(path)
    assert f"line 3, column claim_id: 'p.table_1.ours.pgd' should be '{wanted}'" in str(caught.value)


SOURCES = [
    ("vgg19", [TransferSource("vgg19")], "vgg19"),
    ("vgg13*5", [TransferSource("vgg13", networks=5)], "5 vgg13"),
    (
        "vgg13*3 + resnet32*12",
        [TransferSource("vgg13", networks=3), TransferSource("resnet32", networks=12)],
        "3 vgg13 + 12 resnet32",
    ),
    (
        "lenet:prototype_conformity",
        [TransferSource("lenet", "prototype_conformity")],
        "lenet with prototype_conformity",
    ),
    (
        "resnet110:prototype_conformity:pgd",
        [TransferSource("resnet110", "prototype_conformity", "pgd")],
        "resnet110 with prototype_conformity, trained on pgd examples",
    ),
    (
        "lenet:fgsm_training:pgd",
        [TransferSource("lenet", "fgsm_training", "pgd")],
        "lenet with fgsm_training, trained on pgd examples",
    ),
    (
        "vgg16:undefended:carlini_wagner",
        [TransferSource("vgg16", "undefended", "carlini_wagner")],
        "vgg16, trained on carlini_wagner examples",
    ),
    (
        "vgg16:prototype_conformity[layer=4,5]*2",
        [TransferSource("vgg16", "prototype_conformity[layer=4,5]", "clean", 2)],
        "2 vgg16 with prototype_conformity[layer=4,5]",
    ),
]


@pytest.mark.parametrize(("text", "expected", "words"), SOURCES, ids=[source[0] for source in SOURCES])
def test_reads_and_says_sources(tmp_path, text, expected, words):
    assert list(TransferSource.read(text)) == expected
    assert " + ".join(map(str, expected)) == words
    (found,) = read_claims(write_claims(tmp_path, cell(setting="black_box", source=text)))
    assert found.source == text


@pytest.mark.parametrize(
    ("setting", "source", "message"),
    [
        ("black_box", "", "is empty; a black_box attack names the network"),
        ("black_box", "vgg", "'vgg' is unknown; did you mean 'vgg1[369]'"),
        ("black_box", "vgg19:fgsm", "'fgsm' is unknown; did you mean 'fgsm_training'"),
        (
            "black_box",
            "vgg19:undefended:bim",
            "'bim' is unknown; there are: carlini_wagner, clean, fgsm, pgd",
        ),
        ("black_box", "vgg19:undefended:pgd:3", "should read architecture:defense:training"),
        ("black_box", "vgg19:", "'' is unknown"),
        ("black_box", "x:y:z", "'x' is unknown"),
        ("black_box", "vgg13*1", r"'vgg13\*1' should end in \*2 or more"),
        ("black_box", "vgg13*", r"should end in \*2 or more"),
        ("black_box", "vgg13*many", r"should end in \*2 or more"),
        ("black_box", "vgg13*2:fgsm_training", r"should end in \*2 or more"),
        ("black_box", "vgg13+lenet", "'vgg13[+]lenet' is unknown"),
        ("black_box", "vgg13 + ", "a blank too many"),
        ("black_box", "members", "'members' is unknown"),
        ("white_box", "vgg19", "'vgg19' should be empty where the setting is 'white_box'"),
        ("white_box", "Member", "'Member' should be empty.*member, members"),
        ("adaptive", "vgg19", "'vgg19' should be empty where the setting is 'adaptive'"),
    ],
)
def test_refuses_a_source_that_the_setting_does_not_have(tmp_path, setting, source, message):
    path = write_claims(tmp_path, CLEAN, cell(setting=setting, source=source))
    with pytest.raises(ClaimError, match=f"line 3, column source: .*{message}"):
        read_claims(path)


@pytest.mark.parametrize("source", ["member", "members"])
def test_a_white_box_attack_may_be_made_on_members(tmp_path, source):
    (found,) = read_claims(write_claims(tmp_path, cell(source=source, defense="diverse_ensemble")))
    assert found.source == source


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attack": "bim"}, "column row: the cell {} / Ours / PGD stands already in line 2"),
        (
            {"column": "pgd", "attack": "bim"},
            "column claim_id: the id p.{slug}.ours.pgd stands already in line 2",
        ),
        (
            {"column": "PGD again", "printed": "19.8"},
            "column parameters: the quantity {} / mnist / cnn6 / prototype_conformity / clean / white_box /  / pgd / "
            "epsilon=0.3 / accuracy stands already in line 2",
        ),
        ({"column": "PGD again"}, ""),
        ({"column": "PGD again", "printed": "19.90"}, "column parameters: the quantity"),
    ],
)
@pytest.mark.parametrize(("table", "slug"), [("Table 1", "table_1"), ("Text", "text")])
def test_refuses_duplicates(tmp_path, table, slug, change, message):
    """A quantity may stand twice where the same is printed, and in the prose in any way."""
    path = write_claims(tmp_path, cell(table=table), cell(**{"table": table, **change}))
    if not message or (table == "Text" and "quantity" in message):
        assert len(read_claims(path)) == 2
        return
    with pytest.raises(ClaimError) as caught:
        read_claims(path)
    assert f"claims.csv, line 3, {message.format(table, slug=slug)}" in str(caught.value)


def test_a_quantity_is_compared_with_its_first_print(tmp_path):
    cells = [
        cell(row="Another", attack="mim", printed="19.8"),
        *(
            cell(column=f"PGD {number}", printed=printed)
            for number, printed in enumerate(("19.9", "19.9", "19.8"))
        ),
    ]
    assert len(read_claims(write_claims(tmp_path, *cells[:3]))) == 3
    with pytest.raises(ClaimError, match=r"line 5, column parameters: .* stands already in line 3"):
        read_claims(write_claims(tmp_path, *cells))


def test_refuses_a_label_over_two_lines(tmp_path):
    with pytest.raises(ClaimError, match=r"line 3, column row.*line break"):
        read_claims(write_claims(tmp_path, cell(row="Over\ntwo lines")))


QUANTITY = {
    "dataset": "cifar10",
    "architecture": "lenet",
    "defense": "prototype_conformity[released_code]",
    "training": "pgd",
    "setting": "adaptive",
    "source": "member",
    "attack": "bim",
    "parameters": "epsilon=0.1",
    "metric": "confidence",
    "table": "Table 2",
}


@pytest.mark.parametrize(("column", "word"), QUANTITY.items(), ids=QUANTITY)
def test_a_quantity_differs_in_one_word(tmp_path, column, word):
    again = cell(**{"row": "Again", column: word})
    first, second = read_claims(write_claims(tmp_path, cell(), again))
    assert (first.quantity == second.quantity) == (column == "table")


def test_the_budget_among_the_parameters():
    assert claim(parameters="epsilon=0.3").epsilon == "0.3"
    assert claim(parameters="steps=10 epsilon=0.03").epsilon == "0.03"
    assert claim(parameters="epsilon=0.03 steps=10").epsilon == "0.03"
    assert claim(parameters="c=10").epsilon is None
    assert claim(attack="none", parameters="").epsilon is None


def test_says_which_claims_are_copied():
    assert not claim().copied
    assert claim(evidence="copied from mustafa_pcl").copied
    assert claim(evidence="copied from Yu et al. [43]").copied


def test_refuses_wrong_columns(tmp_path):
    for name in COLUMNS:
        with pytest.raises(ClaimError, match=rf"line 1: column '{name}' is missing"):
            read_claims(write_claims(tmp_path, cell(), columns=[c for c in COLUMNS if c != name]))
    with pytest.raises(ClaimError, match=r"'defence' is unknown; did you mean 'defense'"):
        read_claims(write_claims(tmp_path, columns=["defence" if c == "defense" else c for c in COLUMNS]))
    with pytest.raises(ClaimError, match="twice"):
        read_claims(write_claims(tmp_path, columns=[*COLUMNS, "note"]))
    path = write_claims(tmp_path, cell())
    good = path.read_text()
    path.write_text(good + "p,p\n")
    with pytest.raises(ClaimError, match=r"line 3: has 2 cells"):
        read_claims(path)
    path.write_text(good + '"p"p,\n')
    with pytest.raises(ClaimError, match=r"line 3: is no CSV"):
        read_claims(path)
    path.write_text("")
    with pytest.raises(ClaimError, match="line 1: column 'claim_id' is missing"):
        read_claims(path)


def test_refuses_what_cannot_be_read(tmp_path):
    path = tmp_path / "claims.csv"
    with pytest.raises(ClaimError, match=r"claims\.csv: cannot be read"):
        read_claims(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClaimError, match=r"claims\.csv: is not UTF-8"):
        read_claims(path)


def test_imports_no_torch():
    code = "import sys; import reproof.judging.tables, reproof.diagnostics.red_flags, reproof.claims.consistency; sys.exit('torch' in sys.modules)"
    environment = {"PYTHONPATH": str(FOLDER.parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
