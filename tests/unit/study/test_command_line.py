"""`--config KEY=VALUE` says the same to Snakemake and to our own commands: YAML, as in a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from project import TINY

from reproof import cli, snakemake_driver
from reproof.errors import StudyError
from reproof.study.model import Study


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(TINY + "surfaces: {models: [plain], beside: plain, images: 5}\n")
    monkeypatch.chdir(tmp_path)


def by_snakemake(*values: str) -> Study:
    """Return the study that the Snakefile reads, from the words as Snakemake keeps them."""
    settings = SimpleNamespace(configfiles=[], config_args=list(values) or None)
    return snakemake_driver.read_plan(SimpleNamespace(config_settings=settings)).study


VALUES: list[tuple[str, Any, Any]] = [
    ("keep_adversarial=true", lambda study: study.keep_adversarial, True),
    ("surfaces=null", lambda study: study.surfaces, None),
    ("seeds=[3, 4]", lambda study: study.seeds, (3, 4)),
    ("title='8'", lambda study: study.title, "8"),
    ("looks=2e0", lambda study: study.looks, 2),
    (
        "training={epochs: 3, nesterov: true, optimizer: sgd}",
        lambda study: study.training_of_plain,
        (3, True, 128),
    ),
    ("models={centred: null, plain: {title: A = B}}", lambda study: study.models["plain"].title, "A = B"),
]


@pytest.mark.parametrize("entrance", [by_snakemake, lambda *values: cli.load_study([], values)])
@pytest.mark.parametrize(("value", "look", "expected"), VALUES, ids=[value for value, *_ in VALUES])
def test_a_value_means_the_same_at_both_entrances(
    entrance: Any, value: str, look: Any, expected: Any
) -> None:
    more = (
        ("suites={adaptive: null}", "threats={adaptive: null, black_box: null}") if "centred" in value else ()
    )
    study = entrance(value, *more)
    training = study.models["plain"].training
    facts = SimpleNamespace(
        **vars(study), training_of_plain=(training.epochs, training.nesterov, training.batch_size)
    )
    assert look(facts) == expected


@pytest.mark.parametrize("entrance", [by_snakemake, lambda *values: cli.load_study([], values)])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("keep_adversarial=yes please", "--config: keep_adversarial: input should be a valid boolean"),
        ("seeds=[a]", "--config: seeds[0]: should be a number"),
        ("seeds=[0", "--config seeds=[0: not valid YAML"),
        ("training={epochs: 1, epochs: 2}", "the key 'epochs' stands twice"),
        ("seeds", "--config seeds: should be KEY=VALUE, for example --config seeds=[0,1]"),
        ("sedes=[0]", "--config: unknown key 'sedes'; did you mean 'seeds'?"),
        ("training={epoch: 1}", "--config: training: unknown key 'epoch'; did you mean 'epochs'?"),
    ],
)
def test_a_mistake_is_named_alike_at_both_entrances(entrance: Any, value: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        entrance(value)
    assert message in str(caught.value)


def test_values_of_one_key_are_laid_over_each_other() -> None:
    study = cli.load_study([], ["training={epochs: 3}", "training={batch_size: 16}"])
    assert (study.models["plain"].training.epochs, study.models["plain"].training.batch_size) == (3, 16)


def test_the_words_of_a_study_read_it_again() -> None:
    study = by_snakemake("keep_adversarial=true", "surfaces=null", "title='8'", "training={epochs: 3}")
    assert study.arguments[0] == "--config"
    assert cli.load_study([], study.arguments[1:]) == study
