"""The studies of real data: each one whole in every budget, and named so that the papers' claims find it."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reproof import cli, registry
from reproof.claims.claim import Claim
from reproof.claims.vocabulary import variant_of
from reproof.csv_tables import MEASUREMENTS, SUMMARY
from reproof.diagnostics.lengths import Length, length_of
from reproof.judging.study_facts import StudyFacts
from reproof.judging.tables import judge_claims
from reproof.measuring.measurements import BOOSTED
from reproof.measuring.separations import Separated, separations
from reproof.plan import estimate
from reproof.plan.jobs import Plan
from reproof.settings.source_names import MEMBER
from reproof.study import layers as study_layers
from reproof.study import model as study_model
from reproof.study import reader
from reproof.study import schema as study_schema
from tests.ours import WHOLE, built_here, here, needs, papers_here

ROOT = Path(__file__).parents[3]
USUAL = {"mnist": "cnn6", "fashion_mnist": "cnn6", "cifar10": "resnet", "cifar100": "resnet", "svhn": "resnet",
         "ilsvrc": "vgg"}  # fmt: skip
"""Study, called as its data set -> its usual network: without one of them the study is gone."""
NAMES = tuple(
    name for name, usual in USUAL.items() if here("datasets", name) and here("architectures", usual)
)
PAPER = ("paper",) if here("datasets", "cifar10") and here("architectures", "resnet") else ()
paper_study = needs("datasets/cifar10", "architectures/resnet")
BUDGETS = [
    *((name, budget) for name in NAMES for budget in ("quick", "paper")),
    *((name, "cpu") for name in NAMES if name == "mnist"),
    *((name, "") for name in PAPER),
]
JUDGED = ("reproduced", "lower", "higher", "undecided")

MEASURABLE: dict[tuple[str, str], dict[str, dict[str, int]]] = {
    ("mnist", "quick"): {
        "mustafa_pcl": {
            "undefended": 23,
            "prototype_conformity": 70,
            "adaptive_diversity": 12,
            "fgsm_training": 12,
            "decision_surface": 8,
            "input_gradient": 12,
        },
        "hassanin_dfl": {
            "undefended": 6,
            "prototype_conformity": 12,
            "defensive_features+polarised_contrastive": 4,
            "defensive_features": 3,
        },
        "mirzaeian_dkd": {
            "distilled_ensemble": 42,
            "diverse_ensemble": 54,
            "independent_ensemble": 42,
            "undefended": 14,
            "magnet": 6,
            "pixel_defend": 6,
            "defense_gan": 6,
        },
        "mirzaeian_gravity": {
            "undefended": 17,
            "fgsm_training": 12,
            "decision_surface": 8,
            "input_gradient": 12,
            "adaptive_diversity": 12,
            "prototype_conformity": 12,
            "adaptive_gravity": 52,
        },
    },
    ("mnist", "paper"): {
        "mustafa_pcl": {
            "undefended": 23,
            "prototype_conformity": 70,
            "adaptive_diversity": 12,
            "fgsm_training": 12,
            "decision_surface": 8,
            "input_gradient": 12,
        },
        "hassanin_dfl": {
            "undefended": 8,
            "prototype_conformity": 12,
            "dynamic_training": 6,
            "defensive_features+polarised_contrastive": 6,
            "fgsm_training": 2,
            "pgd_training": 2,
            "defensive_features": 6,
        },
        "mirzaeian_dkd": {
            "distilled_ensemble": 42,
            "diverse_ensemble": 55,
            "independent_ensemble": 42,
            "undefended": 14,
            "magnet": 6,
            "pixel_defend": 6,
            "defense_gan": 6,
        },
        "mirzaeian_gravity": {
            "undefended": 17,
            "fgsm_training": 12,
            "decision_surface": 8,
            "input_gradient": 12,
            "adaptive_diversity": 12,
            "prototype_conformity": 12,
            "adaptive_gravity": 52,
        },
    },
    ("fashion_mnist", "quick"): {
        "mustafa_pcl": {"undefended": 11, "prototype_conformity": 64, "domain_adaptation": 4}
    },
    ("fashion_mnist", "paper"): {
        "mustafa_pcl": {"undefended": 11, "prototype_conformity": 64, "domain_adaptation": 4}
    },
    ("cifar10", "quick"): {
        "mustafa_pcl": {
            "undefended": 30,
            "prototype_conformity": 130,
            "adaptive_diversity": 12,
            "domain_adaptation": 4,
            "fgsm_training": 16,
            "pgd_training": 16,
            "decision_surface": 8,
            "input_gradient": 12,
        },
        "hassanin_dfl": {
            "undefended": 6,
            "prototype_conformity": 12,
            "defensive_features+polarised_contrastive": 12,
            "defensive_features": 6,
            "polarised_contrastive": 3,
        },
        "mirzaeian_dkd": {
            "distilled_ensemble": 42,
            "diverse_ensemble": 54,
            "independent_ensemble": 42,
            "undefended": 16,
            "magnet": 6,
            "pixel_defend": 6,
            "defense_gan": 6,
        },
        "mirzaeian_gravity": {
            "fgsm_training": 12,
            "decision_surface": 8,
            "input_gradient": 12,
            "adaptive_diversity": 12,
            "pgd_training": 12,
            "prototype_conformity": 12,
            "undefended": 17,
            "adaptive_gravity": 54,
        },
    },
    ("cifar10", "paper"): {
        "mustafa_pcl": {
            "undefended": 30,
            "prototype_conformity": 130,
            "adaptive_diversity": 12,
            "domain_adaptation": 4,
            "fgsm_training": 16,
            "pgd_training": 17,
            "decision_surface": 8,
            "input_gradient": 12,
        },
        "hassanin_dfl": {
            "undefended": 8,
            "prototype_conformity": 12,
            "dynamic_training": 6,
            "defensive_features+polarised_contrastive": 18,
            "fgsm_training": 2,
            "pgd_training": 2,
            "defensive_features": 15,
            "polarised_contrastive": 6,
        },
        "mirzaeian_dkd": {
            "distilled_ensemble": 42,
            "diverse_ensemble": 55,
            "independent_ensemble": 42,
            "undefended": 16,
            "magnet": 6,
            "pixel_defend": 6,
            "defense_gan": 6,
        },
        "mirzaeian_gravity": {
            "fgsm_training": 12,
            "decision_surface": 8,
            "input_gradient": 12,
            "adaptive_diversity": 12,
            "pgd_training": 12,
            "prototype_conformity": 12,
            "adaptive_gravity": 54,
            "undefended": 17,
        },
    },
    ("cifar100", "quick"): {
        "mustafa_pcl": {
            "undefended": 18,
            "prototype_conformity": 57,
            "adaptive_diversity": 8,
            "domain_adaptation": 4,
        }
    },
    ("cifar100", "paper"): {
        "mustafa_pcl": {
            "undefended": 18,
            "prototype_conformity": 57,
            "adaptive_diversity": 8,
            "domain_adaptation": 4,
        }
    },
    ("svhn", "quick"): {
        "mustafa_pcl": {"undefended": 11, "prototype_conformity": 37, "domain_adaptation": 4}
    },
    ("svhn", "paper"): {
        "mustafa_pcl": {"undefended": 11, "prototype_conformity": 37, "domain_adaptation": 4}
    },
    ("ilsvrc", "quick"): {
        "seiler_superimposition": {
            "undefended": 19,
            "superimposition": 16,
            "virtual_adversarial": 7,
            "pgd_training": 14,
        }
    },
    ("ilsvrc", "paper"): {
        "seiler_superimposition": {
            "undefended": 40,
            "superimposition": 48,
            "virtual_adversarial": 21,
            "pgd_training": 14,
        }
    },
    ("mnist", "cpu"): {
        "mirzaeian_dkd": {
            "distilled_ensemble": 42,
            "diverse_ensemble": 54,
            "independent_ensemble": 42,
            "undefended": 14,
        },
        "mirzaeian_gravity": {
            "undefended": 17,
            "fgsm_training": 12,
            "prototype_conformity": 10,
            "adaptive_gravity": 35,
        },
        "mustafa_pcl": {"undefended": 23, "prototype_conformity": 47, "fgsm_training": 12},
        "hassanin_dfl": {"undefended": 6, "prototype_conformity": 12},
    },
}
"""At least so many of each paper's claims can be judged. A narrow network, and Gravity trained on a shorter PGD
than the paper's, can only be shown beside a claim (cpu)."""
MEASURABLE = {key: papers for key, papers in MEASURABLE.items() if key[0] in NAMES}


@functools.cache
def planned(name: str, budget: str) -> Plan:
    """Return the plan of a study; the default one has no name."""
    files = [ROOT / "config.yaml", *([ROOT / f"studies/{name}.yaml"] if name else [])]
    return Plan(reader.load(files, {"budget": budget} if budget else {}))


def composed(plan: Plan, threat: study_model.ThreatSettings) -> bool:
    """Say whether a threat is that of composed attacks alone, under which every model stands."""
    return all(choice.settings.composed for choice in plan.study.suite_attacks[threat.suite].values())


def measurements(plan: Plan) -> list[dict[str, Any]]:
    """Return what the study's tables would hold, with an accuracy of 0.5 everywhere."""
    rows = []
    met = {(job.slice["model"], job.slice["threat"]) for job in plan.outcomes()}
    keys = {name: model.defense_key for name, model in plan.study.models.items()}
    for job in plan.outcomes():
        facts = job.slice
        model, threat = plan.study.models[facts["model"]], plan.study.threats[facts["threat"]]
        plain = [
            name
            for name, other in plan.study.models.items()
            if other.members == model.members and keys[facts["model"]] == f"{keys[name]}{BOOSTED}"
        ]
        suite = plan.study.suites[threat.suite]
        attacks = plan.study.suite_attacks[threat.suite]
        points = [
            (name, point.parameters) for name, attack in attacks.items() for point in attack.settings.points()
        ]
        sources = [*facts["sources"], *([MEMBER] if threat.source == MEMBER else [])]
        cells = [(source, *point) for source in sources for point in points]
        for source, attack, parameters in [("", "none", ""), *cells]:
            clean = attack == "none"
            images = (
                suite.images if clean else min(suite.images, attacks[attack].settings.images or suite.images)
            )
            metrics = ["accuracy"]
            if not clean and attacks[attack].settings.fooling_set:
                metrics += ["fooling_set_accuracy", "fooling_set_clean_accuracy"]
            if model.members and source != MEMBER:  # the mean over members is one of accuracies alone
                metrics.append("failed_majorities")
            gains = threat.setting == "black_box" and not clean
            if gains and any((name, facts["threat"]) in met for name in plain):
                metrics.append("accuracy_gain")
            rows += [
                {
                    "study": plan.study.name,
                    "dataset": facts["dataset_key"],
                    "architecture": facts["architecture_key"],
                    "defense": facts["defense_key"],
                    "training": facts["training_key"],
                    "seeds": len(plan.study.seeds),
                    "setting": "white_box" if clean else facts["setting"],
                    "source": source,
                    "attack": attack,
                    "parameters": parameters,
                    "metric": metric,
                    "value": 0.5,
                    "correct": None,
                    "total": images * len(plan.study.seeds),
                    "low": 0.47,
                    "high": 0.53,
                    "model": facts["model"],
                    "value_min": 0.5,
                    "value_max": 0.5,
                }
                for metric in metrics
            ]
    # Methods that say what their nearest prototype decides are found by the attack loss of prototypes alone.
    ruled = {name for name, model in plan.study.models.items() if "prototypes" in model.attack_losses}
    rows += [
        {**row, "metric": "nearest_prototype_gain", "value": 0.0, "low": 0.0, "high": 0.0}
        for row in rows
        if row["model"] in ruled and row["metric"] == "accuracy"
    ]
    own = {row["model"]: row for row in rows if row["attack"] == "none" and row["metric"] == "accuracy"}
    for name in {model for model, _ in plan.tabulate().slice["trainings"]["histories"]}:
        rows.append({**own[name], "metric": "train_error", "total": None})
    for name in {model for model, _ in plan.tabulate().slice["trainings"]["training_logs"]}:
        if "rounds" in plan.study.models[name].training_log:
            metrics = ("chosen_round", "icd_crossing_round", "icc_peak_round")
            rows += [{**own[name], "metric": metric, "total": None} for metric in metrics]
    ensembles = [Separated(**one, margin=0.5) for one in plan.tabulate().slice["separations"]]
    for made in separations([one for one in ensembles if one.seed == plan.study.seeds[0]]):
        rows.append({**own[made["model"]], "metric": made["metric"], "total": None})
    return rows


def judged(plan: Plan) -> Counter[tuple[str, str]]:
    """Return how many claims the study would judge, by paper and the claim's defense."""
    facts = StudyFacts.read(plan.tabulate().slice)
    claims = {claim.claim_id: claim for paper in papers_here() for claim in paper.claims}
    rows = measurements(plan)
    of_a_seed = MEASUREMENTS.frame({**row, "seed": plan.study.seeds[0]} for row in rows)
    _, _, verdicts = judge_claims(SUMMARY.frame(rows), of_a_seed, facts, papers_here())
    return Counter(
        (verdict.paper, variant_of(claims[verdict.claim_id].defense))
        for verdict in verdicts
        if verdict.verdict in JUDGED
    )


@pytest.mark.parametrize(("name", "budget"), BUDGETS)
def test_study_is_read_planned_and_estimated_in_every_budget(name: str, budget: str) -> None:
    plan = planned(name, budget)
    chosen = plan.study
    assert chosen.budget == budget
    assert chosen.name == {"quick": name, "": name}.get(budget, f"{name}_{budget}"), "its own results folder"
    assert not chosen.smoke
    jobs = list(plan.jobs())
    outputs = [path for job in jobs for path in job.outputs.values()]
    assert len(outputs) == len(set(outputs)), "no file has two makers"
    assert {path for job in jobs for paths in job.inputs.values() for path in paths} <= set(outputs)
    assert estimate.table(plan).startswith("stage")
    trained_for_others = {
        name for model in chosen.models.values() for name in (*model.members, *model.beside)
    } | {name for threat in chosen.threats.values() for name in threat.others}
    if chosen.surfaces is not None:
        trained_for_others.add(chosen.surfaces.beside)
    for name, model in chosen.models.items():
        member = name in trained_for_others and (model.beside or model.seed_offset)
        own = [threat for threat in plan.threats_on(name).values() if not composed(plan, threat)]
        assert bool(own) != bool(member), (
            f"{name}: beside the composed attack a member answers as part of an ensemble only, a source not at all"
        )
    used = {threat.suite for model in chosen.models for threat in plan.threats_on(model).values()}
    assert used == set(chosen.suites), "a suite that nobody stands under"


@pytest.mark.parametrize(("name", "budget"), [("", ""), *BUDGETS])
def test_every_attack_loss_of_every_model_has_a_longer_run(name: str, budget: str) -> None:
    """Without one nobody sees that ten steps of a vote leave twice what forty do. And one model has a longer search.

    Other attacks may lack one: the checks of lengths name them (diagnostics.lengths.unchecked).
    """
    plan = planned(name, budget)
    searched: dict[str, bool] = {}
    for target in plan.study.models:
        families: dict[tuple[Any, ...], list[Length]] = defaultdict(list)
        adaptive = set()
        for threat in plan.threats_on(target).values():
            view = plan.study.suites[threat.suite].view
            if threat.setting == "adaptive":
                adaptive.add(view)
            for choice in (
                plan.study.suite_attacks[threat.suite].values() if threat.setting != "black_box" else ()
            ):
                for point in choice.settings.points():
                    length = length_of(choice.kind, choice.dump(), point.parameters)
                    if length is not None and point.epsilon is not None:
                        key = (view, choice.kind, choice.settings.access, threat.source, point.epsilon)
                        families[key].append(length)
        compared = [
            (view, access)
            for (view, _, access, *_), runs in families.items()
            if any(one.grows(other) for one in runs for other in runs)
        ]
        assert adaptive <= {view for view, _ in compared}, target
        for view, kind, access, *_ in families:
            if access == "score":
                searched[kind] = searched.get(kind, False) or (view, access) in compared
    assert all(searched.values()), searched


@pytest.mark.parametrize("name", [*NAMES, *PAPER])
def test_study_stands_alone(name: str) -> None:
    """What config.yaml says or comes to say must not reach into it: large results would go stale."""
    file = ROOT / f"studies/{name}.yaml"
    assert reader.load([ROOT / "config.yaml", file]).source == reader.load([file]).source


@needs("papers/mustafa_pcl")
@pytest.mark.parametrize("name", NAMES)
def test_paper_budget_attacks_more_images_and_trains_longer(name: str) -> None:
    """What the papers say of it, setting by setting, is held by test_protocol_of_studies.py."""
    chosen = planned(name, "paper").study
    assert_larger(chosen, planned(name, "quick").study)
    (settings,) = (choice.settings for choice in chosen.datasets.values())
    most = 10000 if name == "ilsvrc" else settings.sizes()["test"]
    assert {suite.images for suite in chosen.suites.values()} <= {
        most,
        most // 2 if name == "ilsvrc" else most,
    }


def assert_larger(paper: study_model.Study, quick: study_model.Study) -> None:
    for name, model in quick.models.items():
        assert paper.models[name].training.epochs > model.training.epochs
    for name, suite in quick.suites.items():
        assert paper.suites[name].images > suite.images


@pytest.mark.parametrize(
    ("name", "budget"),
    [case for case in BUDGETS if case[0] in ("mnist", "cifar10", "paper") and case[1] != "cpu"],
)
def test_hassanin_s_ten_steps_of_carlini_wagner_are_an_attack(name: str, budget: str) -> None:
    """On MNIST steps times rate must pass the 7.25 at which a pixel of 0 or 1 starts; ten of 0.01 move it by 6e-7."""
    study = planned(name, budget).study
    rates = {"mnist": 1, "cifar10": 0.1}
    for key, suite in study.suite_attacks.items():
        if "hassanin" in key and "carlini_wagner" in suite:
            found = [suite[attack].settings for attack in ("carlini_wagner", "carlini_wagner_long")]
            rate = rates[key.partition("_")[0] if name == "paper" else name]
            assert [(one.steps, one.learning_rate) for one in found] == [(10, rate), (1000, 0.01)]
            assert {one.constants for one in found} == {(0.1,)}
    trained = 0
    for model in study.models.values():
        chosen = model.training.adversarial
        if chosen is not None and chosen.attack == "carlini_wagner":
            assert (chosen.steps, chosen.learning_rate) == (
                10,
                rates[study.datasets[model.dataset].settings.key],
            )
            trained += 1
    assert (trained > 0) == (budget != "quick")


@pytest.mark.parametrize(("name", "budget"), list(MEASURABLE))
def test_papers_claims_find_their_measurements(name: str, budget: str) -> None:
    found = judged(planned(name, budget))
    for key, least in wanted(name, budget).items():
        assert found[key] >= least, f"{key}: {found[key]}"


@paper_study
def test_paper_study_judges_all_that_the_others_judge() -> None:
    total: Counter[tuple[str, str]] = Counter()
    for name, budget in MEASURABLE:
        total.update(wanted(name, budget) if budget == "paper" else {})
    found = judged(planned("paper", ""))
    for key, least in total.items():
        assert found[key] >= least, f"{key}: {found[key]}"


def wanted(name: str, budget: str) -> dict[tuple[str, str], int]:
    """Return how many claims must be measurable, by paper and defense: of the defenses whose files are there.

    Claims about anything else that was deleted are left out too, and those whose model was deleted with what it met.
    """
    there = set(registry.names("defenses"))
    datasets = {choice.settings.key for choice in planned(name, budget).study.datasets.values()}
    lost = Counter(
        (paper.key, variant_of(claim.defense))
        for paper in papers_here()
        for claim in paper.claims
        if claim.dataset in datasets and not can_be_met(claim, planned(name, budget).study)
    )
    return {
        (paper, defense): least - lost[paper, defense]
        for paper, counts in MEASURABLE[name, budget].items()
        if here("papers", paper)
        for defense, least in counts.items()
        if set(defense.split("+")) <= there
    }


def can_be_met(claim: Claim, study: study_model.Study) -> bool:
    """Say whether nothing is deleted that a claim is about, and no model of its defense with whoever attacked it."""
    return built_here(claim) and (
        WHOLE or any(model.defense_key == claim.defense for model in study.models.values())
    )


@needs("datasets/fashion_mnist", "papers/mustafa_pcl")
def test_a_wrong_name_loses_claims() -> None:
    files = [ROOT / "config.yaml", ROOT / "studies/fashion_mnist.yaml"]
    whole = reader.load(files)
    attacks = {**whole.source["attacks"], "projected": whole.source["attacks"]["pgd"], "pgd": None}
    suites = {
        name: {
            **suite,
            "attacks": ["projected" if attack == "pgd" else attack for attack in suite["attacks"]],
            "settings": {
                ("projected" if key == "pgd" else key): v for key, v in suite.get("settings", {}).items()
            },
        }
        for name, suite in whole.source["suites"].items()
    }
    source = {**whole.source, "suites": suites, "attacks": {key: v for key, v in attacks.items() if v}}
    renamed = Plan(reader.parse(source, [("renamed", source)]))
    before, after = judged(Plan(whole)), judged(renamed)
    assert (before - after)["mustafa_pcl", "undefended"] > 0
    assert not after - before


@functools.cache
def schema_validator() -> jsonschema.Draft202012Validator:
    schema = study_schema.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.xdist_group("study_schema")
@pytest.mark.parametrize("name", NAMES)
def test_budgets_are_valid_by_schema(name: str) -> None:
    budgets = study_layers.read_yaml(ROOT / f"studies/{name}.yaml")["budgets"]
    whole = planned(name, "quick").study.source
    schema_validator().validate({**whole, "alone": True, "budgets": budgets})
    wrong = {**budgets, "paper": {**budgets["paper"], "training": {"epoch": 3}}}
    with pytest.raises(jsonschema.ValidationError):
        schema_validator().validate({**whole, "budgets": wrong})


def described(plan: Plan, prefix: str = "") -> dict[tuple[str, ...], Any]:
    """Return what each model is and how it is attacked, whatever suites and threats are called."""
    found: dict[tuple[str, ...], Any] = {}
    for name, model in plan.study.models.items():
        found[prefix + name, "model"] = [
            plan.study.datasets[model.dataset].dump(),
            model.architecture.dump(),
            model.defense.dump(),
            None if model.members else model.training.model_dump(),  # an ensemble is put together
            model.seed_offset,
            [prefix + other for other in model.beside],
            [prefix + other for other in model.members],
        ]
        for threat in plan.threats_on(name).values():
            suite = plan.study.suites[threat.suite]
            for source in plan.sources(name, threat):
                for attack, choice in plan.attacks_on(source, threat.suite).items():
                    made_on = "+".join(prefix + part for part in source.split("+"))
                    key = (prefix + name, threat.setting, made_on, suite.members, attack)
                    assert key not in found
                    found[key] = [choice.dump(), suite.images, suite.view]
    return found


@paper_study
def test_paper_study_is_the_paper_budgets_of_all_the_others() -> None:
    absent = tuple(f"{name}_" for name in USUAL if name not in NAMES)
    whole = {
        key: found for key, found in described(planned("paper", "")).items() if not key[0].startswith(absent)
    }
    parts: dict[tuple[str, ...], Any] = {}
    for name in NAMES:
        parts |= described(planned(name, "paper"), f"{name}_")
    assert whole.keys() == parts.keys()
    different = [key for key in whole if whole[key] != parts[key]]
    assert different == []


@pytest.mark.parametrize(
    ("layers", "page"),
    [
        ([], "report/digits.html"),
        *((["--configfile", f"studies/{name}.yaml"], f"report/{name}.html") for name in NAMES[:1]),
        *(
            (
                ["--configfile", f"studies/{name}.yaml", "--config", "budget=paper"],
                f"report/{name}_paper.html",
            )
            for name in NAMES[:1]
        ),
    ],
)
def test_plan_says_where_the_page_will_be(
    layers: list[str], page: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make report` prints it: the name may come from a budget, inside a file that lies over another."""
    monkeypatch.chdir(ROOT)
    assert cli.main(["plan", "--page", *layers]) == 0
    assert capsys.readouterr().out == f"{page}\n"


@needs("datasets/mnist", "datasets/ilsvrc", "architectures/vgg")
def test_cutting_photographs_is_estimated_by_their_pixels() -> None:
    plan = planned("ilsvrc", "quick")
    size = sum(plan.study.datasets["ilsvrc"].settings.sizes().values()) * 3 * 128 * 128
    seconds = estimate.cost(plan, plan.prepare("ilsvrc")).seconds
    assert 0.9 < seconds / (size / estimate.STREAMED_BYTES_PER_SECOND) < 1.1
    assert estimate.cost(planned("mnist", "quick"), planned("mnist", "quick").prepare("mnist")).seconds < 5
