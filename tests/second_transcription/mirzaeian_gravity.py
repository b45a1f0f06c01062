"""Mirzaeian et al., Adaptive-Gravity, Tables II to IV and the prose, typed a second time from the paper."""

from __future__ import annotations

from tests.second_transcription.layout import Table

BASELINE = {"defense": "undefended"}
GRAVITY = {"defense": "adaptive_gravity"}
GRAVITY_F = {"defense": "adaptive_gravity", "training": "fgsm"}
GRAVITY_P = {"defense": "adaptive_gravity", "training": "pgd"}

COPIED = {"evidence": "copied from mustafa_pcl"}
FGSM_TRAINING = {"defense": "fgsm_training", "training": "fgsm", **COPIED}
PGD_TRAINING = {"defense": "pgd_training", "training": "pgd", **COPIED}
YU = {"defense": "decision_surface", **COPIED}
ROSS = {"defense": "input_gradient", **COPIED}
PANG = {"defense": "adaptive_diversity", **COPIED}
MUSTAFA = {"defense": "prototype_conformity", **COPIED}
OURS_P = {"training": "pgd"}
"""For numbers that are of Mustafa's PGD-trained network, while the rest of the column is not."""

FGSM, BIM, MIM, PGD = {"attack": "fgsm"}, {"attack": "bim"}, {"attack": "mim"}, {"attack": "pgd"}
C_AND_W = {"attack": "carlini_wagner"}
CNN6 = {"architecture": "cnn6"}
RESNET_ON_CIFAR10 = {"dataset": "cifar10", "architecture": "resnet110"}
MUSTAFAS_RESNET = {"architecture": "resnet110_bottleneck_fc1024"}

TABLE_IV = {
    "MNIST (ε_FGSM = 0.225, ε_BIM = 0.1, ε_MIM = 0.2, ε_PGD = 0.265)": (
        {"dataset": "mnist", "architecture": "lenet"},
        {"FGSM": "epsilon=0.225", "BIM": "epsilon=0.1", "MIM": "epsilon=0.2", "PGD": "epsilon=0.265"},
    ),
    "CIFAR10 (ε_FGSM = 0.01, ε_BIM = 0.01, ε_MIM = 0.01, ε_PGD = 0.03)": (
        {"dataset": "cifar10", "architecture": "resnet110"},
        {"FGSM": "epsilon=0.01", "BIM": "epsilon=0.01", "MIM": "epsilon=0.01", "PGD": "epsilon=0.03"},
    ),
}
"""Group heading -> what its rows share, and the strength of each attack."""
TABLE_IV_ROWS = {
    "Baseline": BASELINE,
    "Gravity": GRAVITY,
    "Gravity + AdvTrain_FGSM": GRAVITY_F,
    "Gravity + AdvTrain_PGD": GRAVITY_P,
}
BLACK_BOX = {"setting": "black_box", "source": "vgg19"}

TABLES = (
    Table(
        name="Table II",
        shared={"dataset": "cifar10", "architecture": "resnet110"},
        rows={
            "No Attacks": {},
            "FGSM · ε = 0.02": {**FGSM, "parameters": "epsilon=0.02"},
            "FGSM · ε = 0.04": {**FGSM, "parameters": "epsilon=0.04"},
            "BIM · ε = 0.01": {**BIM, "parameters": "epsilon=0.01"},
            "BIM · ε = 0.02": {**BIM, "parameters": "epsilon=0.02"},
            "MIM · ε = 0.01": {**MIM, "parameters": "epsilon=0.01"},
            "MIM · ε = 0.02": {**MIM, "parameters": "epsilon=0.02"},
            "PGD · ε = 0.01": {**PGD, "parameters": "epsilon=0.01"},
            "PGD · ε = 0.02": {**PGD, "parameters": "epsilon=0.02"},
            "C&W · c = 0.001": {**C_AND_W, "parameters": "c=0.001"},
            "C&W · c = 0.01": {**C_AND_W, "parameters": "c=0.01"},
            "C&W · c = 0.1": {**C_AND_W, "parameters": "c=0.1"},
        },
        columns={
            "Baseline": BASELINE,
            "AdvTrain [22]": {**FGSM_TRAINING, **MUSTAFAS_RESNET},
            "Ye et al. [23]": {**YU, **MUSTAFAS_RESNET},
            "Ross et al. [24]": {**ROSS, **MUSTAFAS_RESNET},
            "Pang et al. [25]": {**PANG, **MUSTAFAS_RESNET},
            "Madry et al. [26]": {**PGD_TRAINING, **MUSTAFAS_RESNET},
            "Mustafa et al. [27]": {**MUSTAFA, **MUSTAFAS_RESNET},
            "Gravity": GRAVITY,
            "Gravity_f": GRAVITY_F,
            "Gravity_p": GRAVITY_P,
        },
        printed={
            "Baseline": "10.38 47.38 52.3 74.38 82.8 53.93 76.41 77.11 82.57 46.0 74.0 89.0",
            "AdvTrain [22]": "25.4 40.9 67.7 7.8 24.3 9.3 23.9 7.8 22.6 31.0 44.3 84.5",
            "Ye et al. [23]": "40.7 62.9 82.5 - - - - 39.3 62.7 38.2 48.5 83.1",
            "Ross et al. [24]": "19.9 47.8 72.2 8.5 24.5 9.5 24.6 6.9 19.0 20.8 39.5 86.2",
            "Pang et al. [25]": "25.6 54.9 80.6 30.4 48.4 35.9 52.1 31.0 46.6 46.2 61.7 90.6",
            "Madry et al. [26]": "47.9 65.7 84.5 48.5 67.7 46.7 61.5 49.3 64.3 47.4 71.6 87.3",
            "Mustafa et al. [27]": "60.5 73.7 91.3 39.3 60.1 42.3 64.3 40.1 62.9 56.3 72.5 90.5",
            "Gravity": "83.23 85.24 90.82 86.21 91.12 88.58 90.46 92.28 92.45 88.57 90.5 93.0",
            "Gravity_f": "85.29 87.27 91.75 91.29 91.7 90.96 91.38 91.77 91.79 90.12 90.94 91.9",
            "Gravity_p": "84.17 89.48 91.09 90.47 91.09 89.67 90.66 91.25 91.31 87.79 89.57 91.32",
        },
        exceptions={
            ("C&W · c = 0.001", "Mustafa et al. [27]"): OURS_P,
            ("C&W · c = 0.01", "Mustafa et al. [27]"): OURS_P,
            ("C&W · c = 0.1", "Mustafa et al. [27]"): OURS_P,
        },
    ),
    Table(
        name="Table III",
        shared={"dataset": "mnist", "architecture": "lenet"},
        rows={
            "No Attacks": {},
            "FGSM · ε = 0.1": {**FGSM, "parameters": "epsilon=0.1"},
            "FGSM · ε = 0.2": {**FGSM, "parameters": "epsilon=0.2"},
            "BIM · ε = 0.1": {**BIM, "parameters": "epsilon=0.1"},
            "BIM · ε = 0.15": {**BIM, "parameters": "epsilon=0.15"},
            "MIM · ε = 0.1": {**MIM, "parameters": "epsilon=0.1"},
            "MIM · ε = 0.15": {**MIM, "parameters": "epsilon=0.15"},
            "PGD · ε = 0.1": {**PGD, "parameters": "epsilon=0.1"},
            "PGD · ε = 0.15": {**PGD, "parameters": "epsilon=0.15"},
            "C&W · c = 0.1": {**C_AND_W, "parameters": "c=0.1"},
            "C&W · c = 1": {**C_AND_W, "parameters": "c=1"},
            "C&W · c = 10": {**C_AND_W, "parameters": "c=10"},
        },
        columns={
            "Baseline": BASELINE,
            "AdvTrain [22]": {**FGSM_TRAINING, **CNN6},
            "Ye et al. [23]": {**YU, **CNN6},
            "Ross et al. [24]": {**ROSS, **CNN6},
            "Pang et al. [25]": {**PANG, **CNN6},
            "Mustafa et al. [27]": {**MUSTAFA, **CNN6},
            "Gravity": GRAVITY,
            "Gravity_f": GRAVITY_F,
            "Gravity_p": GRAVITY_P,
        },
        printed={
            "Baseline": "6.01 36.99 60.15 6.99 20.15 7.6 90.9 22.2 93.72 9.7 91.23 98.63",
            "AdvTrain [22]": "17.0 39.2 71.1 31.9 62.7 28.8 64.5 18.7 62.0 52.7 73.0 99.1",
            "Ye et al. [23]": "37.6 79.1 89.2 - - - - 77.1 88.1 70.3 91.6 98.4",
            "Ross et al. [24]": "20.0 75.3 88.1 44.2 77.0 29.3 83.7 32.1 87.9 60.4 91.6 99.2",
            "Pang et al. [25]": "23.8 78.1 97.3 41.0 82.8 77.5 92.0 73.6 88.5 52.8 96.3 99.5",
            "Mustafa et al. [27]": "46.0 91.2 97.7 62.5 83.6 77.7 92.1 76.3 90.2 70.6 97.1 99.5",
            "Gravity": "85.26 95.6 96.55 68.26 94.95 81.49 97.07 97.54 98.35 70.68 91.53 99.69",
            "Gravity_f": "86.97 97.87 97.3 96.97 98.46 84.44 97.28 98.56 98.67 68.09 97.2 99.68",
            "Gravity_p": "85.96 97.92 98.05 97.26 98.45 83.34 98.61 98.66 98.72 73.06 97.67 99.59",
        },
        exceptions={
            ("C&W · c = 1", "Mustafa et al. [27]"): OURS_P,
            ("C&W · c = 10", "Mustafa et al. [27]"): OURS_P,
        },
    ),
    Table(
        name="Table IV",
        shared={},
        rows={
            f"{group} · {row}": {**shared, **by_row}
            for group, (shared, _) in TABLE_IV.items()
            for row, by_row in TABLE_IV_ROWS.items()
        },
        columns={
            "No Attack": {},
            "FGSM": {**FGSM, **BLACK_BOX},
            "BIM": {**BIM, **BLACK_BOX},
            "MIM": {**MIM, **BLACK_BOX},
            "PGD": {**PGD, **BLACK_BOX},
        },
        printed={
            "No Attack": "92.4 91.81 92.5 92.4 99.76 99.76 99.69 99.3",
            "FGSM": "87.7 89.45 87.7 83.8 96.04 96.41 87.33 39.2",
            "BIM": "88.6 89.9 88.9 85.6 97.69 97.92 94.95 20.15",
            "MIM": "87.9 89.5 88.2 84.1 96.52 96.93 91.05 16.28",
            "PGD": "88.6 90.0 88.9 85 97.65 97.0 94.0 20.1",
        },
        exceptions={
            (f"{group} · {row}", attack): {"parameters": parameters}
            for group, (_, strengths) in TABLE_IV.items()
            for row in TABLE_IV_ROWS
            for attack, parameters in strengths.items()
        },
    ),
    Table(
        name="Text",
        shared={**GRAVITY, "metric": "chosen_round", "unit": "rounds"},
        rows={
            "Sec. III-A · iteration chosen for LeNet on MNIST": {"dataset": "mnist", "architecture": "lenet"},
            "Sec. III-A · iteration chosen for ResNet110 on CIFAR10": RESNET_ON_CIFAR10,
            "Sec. III-A · iteration after which the ICD of ResNet110's tail is below its head's": {
                **RESNET_ON_CIFAR10,
                "metric": "icd_crossing_round",
            },
            "Sec. III-A · iteration until which the ICC of ResNet110's tail increases": {
                **RESNET_ON_CIFAR10,
                "metric": "icc_peak_round",
            },
        },
        columns={"Claim": {}},
        printed={"Claim": "7 5 8 10"},
    ),
)
