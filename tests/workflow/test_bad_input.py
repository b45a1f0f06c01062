"""Bad input: one clear message that says what, where and how to mend it; exit code not 0, no traceback, nothing lost."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from project import JOINT, TINY, Project
from tests.ours import tells_of_deleted

from reproof import cli
from reproof.errors import StudyError
from reproof.study import reader


@dataclass(frozen=True)
class Mistake:
    """An edit of the tiny study, and the words that its message must hold."""

    name: str
    old: str
    new: str
    words: tuple[str, ...]
    also: tuple[str, str] = ("", "")
    """Another edit that the mistake needs."""


MISTAKES = [
    Mistake("unknown top key", "seeds:", "sedes:", ("sedes", "did you mean 'seeds'?")),
    Mistake("missing key", "seeds: [0]\n", "", ("seeds", "missing")),
    Mistake("unknown defense", "kind: undefended", "kind: undefnded", ("models.plain.defense", "'undefended'")),
    Mistake("unknown attack kind", "kind: fgsm", "kind: fsgm", ("attacks.fgsm", "'fgsm'")),
    Mistake("unknown architecture", "kind: cnn6", "kind: cnn7", ("architecture", "'cnn6'")),
    Mistake("unknown data set", "dataset: digits", "dataset: digit", ("dataset", "did you mean 'digits'?")),
    Mistake("no kind", "{kind: pgd, epsilons", "{epsilons", ("attacks.pgd", "kind")),
    Mistake("typo in a defense", f"kind: {JOINT}}}", f"kind: {JOINT}, weigth: 2}}",
            ("models.centred.defense", "weigth", "did you mean 'weight'?")),
    Mistake("typo in an attack", "steps: 2}", "stesp: 2}", ("attacks.pgd", "stesp", "did you mean 'steps'?")),
    Mistake("typo in training", "batch_size", "batchsize", ("training", "did you mean 'batch_size'?")),
    Mistake("number that is none", "epsilons: [0.1, 0.3]", "epsilons: [a tenth]", ("attacks.fgsm.epsilons[0]", "8/255")),
    Mistake("division by zero", "epsilons: [0.1, 0.3]", "epsilons: [8/0]", ("attacks.fgsm.epsilons[0]", "8/255")),
    Mistake("epsilon above 1", "epsilons: [0.1, 0.3]", "epsilons: [8]", ("attacks.fgsm.epsilons[0]", "less than or equal to 1")),
    Mistake("negative steps", "steps: 2}", "steps: -2}", ("attacks.pgd.steps", "greater than or equal to 1")),
    Mistake("half an epoch", "epochs: 1,", "epochs: 1.5,", ("training.epochs", "whole number")),
    Mistake("not a number", "learning_rate: 2e-3", "learning_rate: .nan", ("training.learning_rate", "finite")),
    Mistake("true for a number", "epochs: 1,", "epochs: true,", ("training.epochs", "number")),
    Mistake("empty list", "epsilons: [0.1, 0.3]", "epsilons: []", ("attacks.fgsm.epsilons", "at least 1")),
    Mistake("a list for a mapping", "suites:\n", "suites: [papers]\nsuits:\n", ("suits", "suites")),
    Mistake("suite with unknown attack", "attacks: [fgsm, pgd,", "attacks: [fgsm, pdg,", ("suites.papers.attacks[1]", "'pgd'")),
    Mistake("attack twice in a suite", "attacks: [fgsm, pgd,", "attacks: [fgsm, fgsm, pgd,", ("suites.papers.attacks", "twice")),
    Mistake("threat with unknown suite", "suite: papers}", "suite: paper}", ("threats.white_box.suite", "'papers'")),
    Mistake("black box without source", ", source: plain}", "}", ("threats.black_box", "source")),
    Mistake("unknown target", "targets: [centred]", "targets: [centered]", ("threats.adaptive.targets[0]", "'centred'")),
    Mistake("unknown view", "view: joint", "view: jont", ("suites.adaptive.view", "'joint'")),
    Mistake("view for an attack without a gradient", "attacks: [pgd], images: 20, view",
            "attacks: [carlini_wagner], images: 20, view", ("suites.adaptive.attacks[0]", "no gradient")),
    Mistake("unknown setting", "setting: adaptive", "setting: adaptve", ("threats.adaptive.setting", "'adaptive'")),
    Mistake("seed twice", "seeds: [0]", "seeds: [0, 0]", ("seeds", "twice")),
    Mistake("negative seed", "seeds: [0]", "seeds: [-1]", ("seeds[0]", "greater than or equal to 0")),
    Mistake("endless seed", "seeds: [0]", "seeds: [1234567890123456789012]", ("seeds[0]", "less than")),
    Mistake("endless training", "epochs: 1,", "epochs: .inf,", ("training.epochs", "whole number")),
    Mistake("more images than there are", "carlini_wagner], images: 20", "carlini_wagner], images: 41",
            ("suites.papers.images", "41", "digits has 40")),
    Mistake("a budget twice", "epsilons: [0.1, 0.3]", "epsilons: [8/255, 8/255]", ("attacks.fgsm", "listed twice")),
    Mistake("threat that nobody meets", "targets: [centred]", "targets: [plain]", ("threats.adaptive", "no model meets it")),
    Mistake("a source without other targets", "source: plain}", "source: plain, targets: [plain]}",
            ("threats.black_box", "no model meets it")),
    Mistake("images too small for the network", "image_size: 16", "image_size: 8",
            ("architecture", "dkd_mnist", "16 x 16"), ("kind: cnn6", "kind: dkd_mnist")),
    Mistake("key twice", "smoke: true\n", "smoke: true\nsmoke: true\n", ("smoke", "twice", "line 4")),
    Mistake("broken YAML", "seeds: [0]", "seeds: [0", ("not valid YAML", "line")),
    Mistake("bad study name", "study: tiny", "study: Tiny Study", ("study", "pattern")),
    Mistake("same attack twice in a setting", "threats:\n",
            "threats:\n  again: {setting: white_box, suite: papers}\n", ("threats.", "tell the two apart")),
    Mistake("training that contradicts itself", "epochs: 1,", "epochs: 1, milestones: [3],", ("training", "milestones")),
    Mistake("in a model's own training", "{title: Plain, ", "{title: Plain, training: {epochs: none}, ",
            ("models.plain.training.epochs", "number")),
]  # fmt: skip


@pytest.mark.parametrize(
    "mistake", [one for one in MISTAKES if not tells_of_deleted(one)], ids=lambda mistake: mistake.name
)
def test_mistake_in_a_study_is_named(
    mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mistake.old in TINY, "the edit must change something"
    file = tmp_path / "config.yaml"
    file.write_text(TINY.replace(mistake.old, mistake.new, 1).replace(*mistake.also))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("reproof: StudyError: config.yaml")
    assert printed.err.count("\n") == 1, "one message"
    for word in mistake.words:
        assert word in printed.err
    assert list(tmp_path.iterdir()) == [file], "nothing was begun"


def test_message_names_the_overlay_that_holds_the_mistake(tmp_path: Path) -> None:
    base, overlay = tmp_path / "config.yaml", tmp_path / "bigger.yaml"
    base.write_text(TINY)
    overlay.write_text("training: {epochs: many}\n")
    with pytest.raises(StudyError, match=r"bigger\.yaml: training\.epochs"):
        reader.load([base, overlay])
    overlay.write_text("title: fine\n")
    base.write_text(TINY.replace("epochs: 1", "epochs: many"))
    with pytest.raises(StudyError, match=r"config\.yaml: training\.epochs"):
        reader.load([base, overlay])


def test_missing_study_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.yaml: there is no such study file"):
        reader.load([tmp_path / "nowhere.yaml"])


def expect_refusal(done: subprocess.CompletedProcess[str], *words: str) -> None:
    printed = done.stdout + done.stderr
    assert done.returncode != 0, printed
    assert "Traceback" not in printed, printed
    for word in words:
        assert word in printed, printed


def test_snakemake_shows_a_study_mistake_as_one_message(fresh: Callable[..., Project]) -> None:
    project = fresh(TINY.replace("kind: undefended", "kind: undefnded"))
    done = project.run()
    expect_refusal(done, "config.yaml: models.plain.defense", "'undefended'")
    assert (done.stdout + done.stderr).count("undefnded") == 1


def test_wrong_config_value_on_the_command_line(finished: Project) -> None:
    expect_refusal(finished.run("-n", "--config", "seeds=[a]"), "seeds", "number")


def test_missing_config_file_on_the_command_line(finished: Project) -> None:
    """Snakemake itself reads --configfile first and ends with a traceback of its own; our commands do not."""
    expect_refusal(
        finished.reproof("plan", "--configfile", "nowhere.yaml"), "nowhere.yaml", "no such study file"
    )


@dataclass(frozen=True)
class Damage:
    """Something done to a finished study's files before a stage is asked to use them."""

    name: str
    spoil: Callable[[Path], None]
    words: tuple[str, ...]


def truncate(results: Path) -> None:
    path = results / "models/centred/seed0/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(results: Path) -> None:
    path = results / "models/centred/seed0/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def lose_the_record(results: Path) -> None:
    (results / "models/centred/seed0/record.json").unlink()


def spoil_the_record(results: Path) -> None:
    (results / "models/centred/seed0/record.json").write_text('{"files": {')


def lose_the_model(results: Path) -> None:
    (results / "models/centred/seed0/model.safetensors").unlink()


def swap_models(results: Path) -> None:
    a, b = (results / f"models/{name}/seed0/model.safetensors" for name in ("centred", "plain"))
    a.write_bytes(b.read_bytes())


DAMAGES = [
    Damage("truncated weights", truncate, ("model.safetensors", "truncated or edited", "Delete it")),
    Damage("a flipped bit", flip_a_bit, ("model.safetensors", "SHA-256", "Delete it")),
    Damage("a lost record", lose_the_record, ("model.safetensors", "has no record", "Delete it")),
    Damage("a spoilt record", spoil_the_record, ("record.json", "damaged", "Delete it")),
    Damage("lost weights", lose_the_model, ("model.safetensors", "is missing")),
    Damage("another model's weights", swap_models, ("model.safetensors", "Delete it")),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damaged_artifact_is_refused_by_the_job_that_needs_it(damage: Damage, changeable: Project) -> None:
    before = changeable.tables()
    damage.spoil(changeable.path / "results/tiny")
    done = changeable.reproof("attack", "results/tiny/adversarial/centred/seed0/papers.safetensors")
    expect_refusal(done, *damage.words)
    assert not (changeable.path / "results/tiny/adversarial/centred/seed0/papers.safetensors").exists()
    assert changeable.tables() == before


def test_truncated_weights_are_refused_by_a_job_and_made_again_by_the_same_command(
    changeable: Project,
) -> None:
    outcome = "results/tiny/outcomes/plain/seed0/white_box.parquet"
    before = (changeable.path / outcome).read_bytes()
    model = changeable.path / "results/tiny/models/plain/seed0/model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-100])
    expect_refusal(changeable.reproof("evaluate", outcome), "truncated or edited")
    assert changeable.pending()["train"] == 1, "the bare command is enough"
    changeable.make(outcome)
    assert model.read_bytes() == whole
    assert (changeable.path / outcome).read_bytes() == before


def test_edited_table_is_refused_by_the_page(changeable: Project) -> None:
    table = changeable.path / "results/tiny/tables/measurements.csv"
    table.write_text(table.read_text().replace("white_box", "whitebox"))
    expect_refusal(changeable.reproof("report"), "measurements.csv", "truncated or edited")


def test_code_changed_while_running_is_refused(finished: Project) -> None:
    model = "results/tiny/models/plain/seed0/model.safetensors"
    done = finished.reproof("train", model, "--expect", "0123456789abcdef")
    expect_refusal(done, "changed while snakemake was running", "Run the same snakemake command again")


def test_more_images_than_there_are(fresh: Callable[..., Project]) -> None:
    project = fresh(TINY.replace("test_images: 40", "test_images: 1790"))
    expect_refusal(project.run(), "test_images", "1797")


def test_a_suite_larger_than_the_test_split(changeable: Project) -> None:
    changeable.edit("config.yaml", "carlini_wagner], images: 20", "carlini_wagner], images: 41")
    images = "results/tiny/transfer/plain/seed0/papers.safetensors"
    expect_refusal(changeable.run(images), "suites.papers.images", "40")


def test_full_disk_says_so_and_loses_nothing(changeable: Project) -> None:
    """The kernel stops every file of the job at 8 KiB, as a full disk would."""
    project = changeable
    model = "results/tiny/models/plain/seed0/model.safetensors"
    for path in (project.path / model).parent.iterdir():
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "reproof", "train", model],
        cwd=project.path,
        env={**project.environment, "PYTHONPATH": str(project.path / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )
    expect_refusal(done, "no room left on the disk", "nothing is lost")
    assert list((project.path / model).parent.iterdir()) == []
    project.make(model)


def test_a_file_where_a_folder_should_be(fresh: Callable[..., Project]) -> None:
    project = fresh()
    (project.path / "results/tiny").mkdir(parents=True)
    (project.path / "results/tiny/data").write_text("in the way")
    expect_refusal(project.reproof("prepare"), "results/tiny/data", "Move it away")


def test_unknown_sub_command_and_missing_output(finished: Project) -> None:
    expect_refusal(
        finished.reproof("evaluate"), "which file?", "python -m reproof evaluate results/tiny/outcomes/"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import torch\nfrom reproof.settings.defense import DefenseSettings\n\n\n"
            "class Settings(DefenseSettings):\n    size: int = torch.iinfo(torch.int8).max\n",
            ("torch", "may use only"),
        ),
        ("x = 1\n", ("class Settings", "CONTRIBUTING.md")),
    ],
)
def test_a_defense_file_that_cannot_be_read_is_refused_where_it_is_chosen(
    text: str, words: tuple[str, ...], fresh: Callable[..., Project]
) -> None:
    project = fresh()
    (project.path / "src/reproof/defenses/odd.py").write_text(text)
    expect_refusal(project.run("-n", "--config", "models={odd: {defense: {kind: odd}}}"), "odd.py", *words)
