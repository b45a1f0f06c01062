"""The words of claims: what is there as a plug-in, what a paper has terms for, and nothing else."""

from __future__ import annotations

import pytest

from reproof import registry
from reproof.claims import vocabulary
from reproof.claims.claim import TransferSource
from reproof.claims.paper import papers
from reproof.claims.vocabulary import not_built
from reproof.errors import ClaimError
from tests.hand_made_papers import read_paper, write_paper
from tests.ours import papers_here
from tests.plugin_copies import copy_without

DATASET = '''
from typing import ClassVar
from reproof.settings.dataset import DatasetSettings

class Settings(DatasetSettings):
    """Own."""
    title: ClassVar[str] = "Street signs"
    key: ClassVar[str] = "gtsrb"
'''
NETWORK = '''
from typing import ClassVar
from reproof.settings.architecture import ArchitectureSettings

class Settings(ArchitectureSettings):
    """Own."""
    title: ClassVar[str] = "Mixer"

    @classmethod
    def title_of(cls, key: str, name: str) -> str | None:
        return f"Mixer-{key[5:]}" if key in ("mixer8", "mixer12") else None

    def key(self, name: str) -> str:
        return "mixer8"
'''
DEFENSE = '''
from typing import ClassVar
from reproof.settings.defense import DefenseSettings

class Settings(DefenseSettings):
    """Own."""
    title: ClassVar[str] = "label smoothing"
    trains_on: ClassVar[str] = "pgd"
'''
OWN = {"dataset": "gtsrb", "architecture": "mixer12", "defense": "label_smoothing", "attack": "pgd"}


@pytest.fixture
def own(tmp_path, monkeypatch):
    copy = copy_without(
        tmp_path, datasets__signs=DATASET, architectures__mixer=NETWORK, defenses__label_smoothing=DEFENSE
    )
    monkeypatch.setattr(registry, "PACKAGE", copy)


def test_a_claim_about_own_plugins_reads_without_any_list(tmp_path, own):
    """A data set goes by its key, not by its file's name."""
    paper = read_paper(
        tmp_path,
        OWN,
        {**OWN, "column": "FGSM", "setting": "black_box", "source": "mixer8:label_smoothing"},
        terms={},
    )
    assert paper.not_built() == {family: [] for family in registry.FAMILIES}
    assert [claim.not_built for claim in paper.claims] == [{}, {}]
    assert TransferSource.read(paper.claims[1].source) == (
        TransferSource("mixer8", "label_smoothing", "pgd"),
    )


def test_what_an_own_defense_trains_on_is_a_word_too(tmp_path, monkeypatch):
    (tmp_path / "papers").mkdir()
    copy = copy_without(tmp_path, defenses__label_smoothing=DEFENSE.replace('"pgd"', '"mim"'))
    with pytest.raises(ClaimError, match="column training: 'mim' is unknown"):
        read_paper(tmp_path, {"training": "mim"})
    monkeypatch.setattr(registry, "PACKAGE", copy)
    (claim,) = read_paper(tmp_path / "papers", {"training": "mim", "defense": "label_smoothing"}).claims
    assert claim.training == "mim"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "signs"}, "column dataset: 'signs' is unknown"),
        ({"dataset": "gtsrp"}, "column dataset: 'gtsrp' is unknown; did you mean 'gtsrb'?"),
        ({"architecture": "mixer9"}, "column architecture: 'mixer9' is unknown; did you mean 'mixer8'?"),
        ({"defense": "label_smothing"}, "did you mean 'label_smoothing'?"),
        (
            {"defense": "undefended+label_smothing"},
            "'label_smothing' is unknown; did you mean 'label_smoothing'?",
        ),
    ],
)
def test_a_slip_in_an_own_key_is_found(tmp_path, own, change, message):
    with pytest.raises(ClaimError, match=message.replace("?", r"\?").replace("+", r"\+")):
        read_paper(tmp_path, {**OWN, **change})


TERMS = {
    "datasets": {"tiny_imagenet": "Tiny ImageNet"},
    "architectures": {"senet": ["SENet", "SE-Net"]},
    "defenses": {"trades": "TRADES", "free+trades": "Free TRADES"},
    "attacks": {"fab": "FAB"},
}
FOREIGN = {"dataset": "tiny_imagenet", "architecture": "senet", "defense": "trades[beta=6]", "attack": "fab"}


def test_a_key_with_a_term_reads_and_is_not_built_here(tmp_path):
    """Parts of a defense made of two are told apart: what is there is not lacking."""
    paper = read_paper(
        tmp_path, FOREIGN, {**FOREIGN, "column": "both", "defense": "undefended+trades"}, terms=TERMS
    )
    first, second = (claim.not_built for claim in paper.claims)
    assert first == {
        "dataset": ["tiny_imagenet"],
        "architecture": ["senet"],
        "defense": ["trades"],
        "attack": ["fab"],
    }
    assert second["defense"] == ["trades"]
    assert paper.not_built() == {
        "datasets": ["tiny_imagenet"],
        "architectures": ["senet"],
        "defenses": ["free", "trades"],
        "attacks": ["fab"],
    }
    assert paper.terms.architectures["senet"] == ("SENet", "SE-Net")
    assert paper.terms.datasets["tiny_imagenet"] == ("Tiny ImageNet",)
    assert not_built("attack", "none") == not_built("setting", "white_box") == []


def test_terms_name_the_nearest_word_for_a_slip(tmp_path):
    with pytest.raises(ClaimError, match=r"column attack: 'faab' is unknown; did you mean 'fab'\?"):
        read_paper(tmp_path, {**FOREIGN, "attack": "faab"}, terms=TERMS)


def test_a_term_of_one_paper_is_none_of_another(tmp_path):
    write_paper(tmp_path, FOREIGN, terms=TERMS)
    write_paper(tmp_path, FOREIGN, key="q")
    with pytest.raises(ClaimError, match=r"q/claims.csv, line 2, column dataset: 'tiny_imagenet' is unknown"):
        papers(tmp_path)


def test_a_source_may_be_what_a_paper_has_a_term_for(tmp_path):
    paper = read_paper(
        tmp_path, {**FOREIGN, "setting": "black_box", "source": "senet:trades*2 + cnn6"}, terms=TERMS
    )
    (claim,) = paper.claims
    assert TransferSource.read(claim.source) == (
        TransferSource("senet", "trades", "clean", 2),
        TransferSource("cnn6"),
    )


@pytest.mark.parametrize(
    ("terms", "place"),
    [
        ({"defense": {}}, "terms: unknown key 'defense'; did you mean 'defenses'?"),
        ({"attacks": {"fab": 3}}, "terms.attacks.fab"),
        ({"attacks": {"fab": []}}, "terms.attacks.fab"),
        ([], "terms: "),
    ],
)
def test_terms_that_are_none_are_refused_with_their_place(tmp_path, terms, place):
    with pytest.raises(ClaimError) as caught:
        read_paper(tmp_path, {}, terms=terms)
    assert f"paper.yaml: {place}" in str(caught.value)


GONE = {
    "datasets/svhn.py": ("datasets", "svhn"),
    "datasets/ilsvrc.py": ("datasets", "ilsvrc"),
    "architectures/wide_resnet.py": ("architectures", "wide_resnet"),
    "architectures/vgg.py": ("architectures", "vgg13"),
    "defenses/magnet.py": ("defenses", "magnet"),
    "defenses/polarised_contrastive.py": ("defenses", "polarised_contrastive"),
    "defenses/fgsm_training.py": ("defenses", "fgsm_training"),
    "attacks/jsma.py": ("attacks", "jsma"),
    "attacks/pgd.py": ("attacks", "pgd"),
}
GONE = {file: gone for file, gone in GONE.items() if (registry.PACKAGE / file).exists()}


@pytest.fixture(scope="module")
def ours():
    """Return the papers as they are, and what is not built of what they name."""
    found = papers_here()
    return found, {word for paper in found for words in paper.not_built().values() for word in words}


@pytest.mark.parametrize(("file", "gone"), GONE.items(), ids=GONE)
def test_claims_read_when_a_plugin_is_deleted(tmp_path, monkeypatch, ours, file, gone):
    """All of them, to the letter; what is gone is said to be not built here."""
    (family, key), (before, known) = gone, ours
    named = any(key in paper.terms.of(family) for paper in before)
    copy = copy_without(tmp_path, file)
    monkeypatch.setattr(registry, "PACKAGE", copy)
    found = papers(copy / "papers")
    assert [(paper.key, paper.claims) for paper in found] == [(paper.key, paper.claims) for paper in before]
    lacking = [paper.not_built() for paper in found]
    assert any(key in each[family] for each in lacking) == named
    stem = file.split("/")[1].removesuffix(".py")
    lost = {word for each in lacking for words in each.values() for word in words} - known
    assert all(word.startswith(stem) for word in lost)
    for paper in found:
        for claim in paper.claims:
            if claim.setting == "black_box":
                assert TransferSource.read(claim.source)


ATTACK = '''
from typing import ClassVar
from reproof.settings.attack import Access, AttackSettings

class Settings(AttackSettings):
    """Own."""
    title: ClassVar[str] = "Turned"
    family: ClassVar[str] = "rotations"
    access: ClassVar[Access] = "none"
    swept: ClassVar[tuple[str, ...]] = ("angle",)
'''


def test_an_own_attacks_parameter_may_stand_in_a_claim_and_the_papers_own_always(tmp_path, monkeypatch):
    assert "angle" not in vocabulary.parameters()
    gone = [f"attacks/{name}.py" for name in registry.names("attacks")]
    monkeypatch.setattr(registry, "PACKAGE", copy_without(tmp_path, *gone, attacks__turned=ATTACK))
    assert vocabulary.parameters() == ("epsilon", "c", "steps", "angle")
