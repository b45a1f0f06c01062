"""What an attack job notes, and its probe, reach the outcomes: of the model itself, and the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reproof import artifacts, registry
from reproof.attacking import probes
from reproof.data import prepared
from reproof.data.dataset import to_unit
from reproof.diagnostics import red_flags
from reproof.measuring import outcomes
from reproof.models import build
from reproof.plan.jobs import Plan
from reproof.provenance import Run
from reproof.stages.attack import attack
from reproof.stages.evaluate import evaluate
from reproof.study import reader
from tests.ours import is_here

STUDY: dict[str, Any] = {
    "study": "noted",
    "seeds": [3],
    "dataset": "digits",
    "datasets": {"digits": {"kind": "digits", "image_size": 16, "test_images": 40, "validation_images": 20}},
    "architecture": {"kind": "cnn6", "width": 0.125},
    "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
    "models": {"net": {"defense": {"kind": "undefended"}}, "other": {"defense": {"kind": "undefended"}}},
    "attacks": {
        "fgsm": {"kind": "fgsm", "epsilons": [0.1]},
        "noise": {"kind": "random_noise", "epsilons": [0.1]},
    },
    "suites": {"papers": {"attacks": ["fgsm", "noise"], "images": 30}},
    "threats": {
        "white_box": {"setting": "white_box", "suite": "papers"},
        "transfer": {"setting": "black_box", "suite": "papers", "source": "other"},
    },
}
if not is_here("attacks/random_noise"):
    del STUDY["attacks"]["noise"]
    STUDY["suites"]["papers"]["attacks"].remove("noise")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Return the plan of two untrained networks, whose weights are where training would have put them."""
    monkeypatch.chdir(tmp_path)
    made = Plan(reader.parse(STUDY, [("study.yaml", STUDY)]))
    module = registry.load("datasets", "digits")
    stanza = {key: value for key, value in STUDY["datasets"]["digits"].items() if key != "kind"}
    data = module.prepare(module.Settings(**stanza), tmp_path)
    monkeypatch.setattr(prepared, "read_dataset", lambda path: data)
    monkeypatch.setattr(artifacts, "verify", lambda path: "hash")
    for seed, name in enumerate(("net", "other")):
        job = made.attack(name, 3, "papers")
        _, trainee = build.build(job.slice, data.description, seed)
        artifacts.write_tensors(Path(job.inputs["model"][0]), trainee.state_dict(), {})
        attack(job, Run(job={}))
    for threat in ("white_box", "transfer"):
        evaluate(made.evaluate("net", 3, threat), Run(job={}))
    return made


def metadata(plan: Plan, name: str) -> dict[str, Any]:
    return artifacts.read_tensors(Path(plan.adversarial_path(name, 3, "papers")))[1]


def test_notes_and_probe_reach_the_outcomes(plan: Plan) -> None:
    paths = [Path(plan.outcome_path("net", 3, threat)) for threat in ("white_box", "transfer")]
    (found,) = outcomes.read_outcomes(paths)
    own, other = metadata(plan, "net"), metadata(plan, "other")
    assert own["probe"] != other["probe"]
    assert found.probe == own["probe"], "not the source's of the transfer attack"
    assert found.notes == {"white_box": {"net": own["notes"]}, "transfer": {"other": other["notes"]}}
    (alone,) = outcomes.read_outcomes(paths[1:])
    assert alone.probe == {}
    checked = {flag.check: flag.raised for flag in red_flags.find([found])}
    assert (checked["zero_gradients"], checked["randomness"], checked["probabilities"]) == (
        False,
        False,
        False,
    )


def test_the_probe_is_of_the_model_and_its_suite_s_images(plan: Plan) -> None:
    job = plan.attack("net", 3, "papers")
    data = prepared.read_dataset(Path())
    _, trainee = build.load(job.slice, data.description, Path(job.inputs["model"][0]))
    stored, labels = data.select("test", 30)
    expected = probes.probe(trainee, to_unit(stored), labels, seed=3, batch_size=30, device="cpu")
    found = metadata(plan, "net")["probe"]
    assert found == expected | {"margin": pytest.approx(expected["margin"])}
    assert found["images"] == 30


def test_what_is_noted_is_the_same_each_time(plan: Plan) -> None:
    """Seconds are for the record: a file that holds them would never be made twice alike."""
    path = Path(plan.adversarial_path("net", 3, "papers"))
    before, notes = path.read_bytes(), metadata(plan, "net")["notes"]
    assert set(notes) == set(STUDY["attacks"])
    assert "seconds" not in json.dumps(notes)
    assert notes["fgsm"]["gradient_zero_share"] is not None
    assert "noise" not in notes or notes["noise"]["gradient_zero_share"] is None
    run = Run(job={})
    attack(plan.attack("net", 3, "papers"), run)
    assert path.read_bytes() == before
    assert run.notes["fgsm"]["seconds"].keys() == {"epsilon=0.1"}
