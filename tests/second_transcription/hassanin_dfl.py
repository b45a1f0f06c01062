"""The tables and the prose of Hassanin et al. (2020), typed a second time from the paper."""

from __future__ import annotations

from tests.second_transcription.layout import Table

BOTH = "defensive_features+polarised_contrastive"
DFL = "defensive_features"
PCL = "polarised_contrastive"
BY_COLUMN = {"FGSM": "fgsm", "PGD-10": "pgd", "C&W": "carlini_wagner"}

MNIST = {"dataset": "mnist", "architecture": "resnet50"}
CIFAR10 = {"dataset": "cifar10", "architecture": "resnet50"}
MNIST_COLUMNS = {
    "FGSM": {"attack": "fgsm", "parameters": "epsilon=0.3"},
    "PGD-10": {"attack": "pgd", "parameters": "epsilon=0.3"},
    "C&W": {"attack": "carlini_wagner", "parameters": "c=0.1"},
}
CIFAR10_COLUMNS = {
    "FGSM": {"attack": "fgsm", "parameters": "epsilon=0.03"},
    "PGD-10": {"attack": "pgd", "parameters": "epsilon=0.03"},
    "C&W": {"attack": "carlini_wagner", "parameters": "c=0.1"},
}
FROM_MUSTAFA_MNIST = {"architecture": "cnn6", "evidence": "copied from mustafa_pcl"}
FROM_MUSTAFA_CIFAR10 = {"architecture": "resnet110_bottleneck_fc1024", "evidence": "copied from mustafa_pcl"}


def trained_on_the_columns_attack(*rows: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(row, column): {"training": attack} for row in rows for column, attack in BY_COLUMN.items()}


ADVERSARIAL_RESNET50 = {
    ("Adversarial Training · ResNet-50", "FGSM"): {"defense": "fgsm_training", "training": "fgsm"},
    ("Adversarial Training · ResNet-50", "PGD-10"): {"defense": "pgd_training", "training": "pgd"},
    ("Adversarial Training · ResNet-50", "C&W"): {"defense": "undefended", "training": "carlini_wagner"},
}
MUSTAFA_MNIST_CW = {
    ("No Defense · ResNet-50", "C&W"): {"parameters": "c=10"},
    ("No Defense · Mustafa et al. [33]", "C&W"): {"parameters": "c=10"},
    ("Adversarial Training · Mustafa et al. [33]", "C&W"): {"parameters": "c=10"},
}
MUSTAFA_CIFAR10_TRAINING = {
    ("Adversarial Training · Mustafa et al. [33]", "FGSM"): {"training": "fgsm"},
    ("Adversarial Training · Mustafa et al. [33]", "PGD-10"): {"training": "pgd"},
    ("Adversarial Training · Mustafa et al. [33]", "C&W"): {"training": "pgd"},
}

TABLES = (
    Table(
        name="Table 1",
        shared=MNIST,
        rows={
            "No Defense · ResNet-50": {"defense": "undefended", **FROM_MUSTAFA_MNIST},
            "No Defense · Mustafa et al. [33]": {"defense": "prototype_conformity", **FROM_MUSTAFA_MNIST},
            "No Defense · Dynamic [53]": {"defense": "dynamic_training"},
            "No Defense · Proposed Method": {"defense": BOTH},
            "Adversarial Training · ResNet-50": {},
            "Adversarial Training · Mustafa et al. [33]": {
                "defense": "prototype_conformity",
                "training": "fgsm",
                **FROM_MUSTAFA_MNIST,
            },
            "Adversarial Training · Dynamic [53]": {"defense": "dynamic_training", "training": "pgd"},
            "Adversarial Training · Proposed Method": {"defense": BOTH},
        },
        columns=MNIST_COLUMNS,
        printed={
            "FGSM": "98.68 95.34 53.10 59.50 89.93 14.04 31.1 4.9",
            "PGD-10": "98.31 91.63 34.50 57.19 57.54 0.0 19.9 0.0",
            "C&W": "98.18 91.47 40.90 57.09 84.14 0.0 29.1 0.2",
        },
        exceptions={
            **ADVERSARIAL_RESNET50,
            **MUSTAFA_MNIST_CW,
            **trained_on_the_columns_attack("Adversarial Training · Proposed Method"),
        },
    ),
    Table(
        name="Table 2",
        shared=CIFAR10,
        rows={
            "No Defense · ResNet-50": {"defense": "undefended", **FROM_MUSTAFA_CIFAR10},
            "No Defense · Mustafa et al. [33]": {"defense": "prototype_conformity", **FROM_MUSTAFA_CIFAR10},
            "No Defense · Dynamic [53]": {"defense": "dynamic_training"},
            "No Defense · Proposed Method": {"defense": BOTH},
            "Adversarial Training · ResNet-50": {},
            "Adversarial Training · Mustafa et al. [33]": {
                "defense": "prototype_conformity",
                **FROM_MUSTAFA_CIFAR10,
            },
            "Adversarial Training · Dynamic [53]": {"defense": "dynamic_training", "training": "pgd"},
            "Adversarial Training · Proposed Method": {"defense": BOTH},
        },
        columns=CIFAR10_COLUMNS,
        printed={
            "FGSM": "91.80 52.81 75.80 2.2 43.85 2.20 67.70 21.4",
            "PGD-10": "74.50 48.06 46.70 0.0 38.70 0.0 27.20 0.01",
            "C&W": "61.30 37.26 51.80 0.0 53.07 0.0 37.30 0.6",
        },
        exceptions={
            **ADVERSARIAL_RESNET50,
            **MUSTAFA_CIFAR10_TRAINING,
            **trained_on_the_columns_attack("Adversarial Training · Proposed Method"),
        },
    ),
    Table(
        name="Table 3",
        shared=MNIST,
        rows={
            "No Defense · ResNet-50": {"defense": "undefended", **FROM_MUSTAFA_MNIST},
            "No Defense · Mustafa et al. [33]": {"defense": "prototype_conformity", **FROM_MUSTAFA_MNIST},
            "No Defense · Dynamic [53]": {"defense": "dynamic_training"},
            "No Defense · Proposed Method (DFL)": {"defense": DFL},
            "Adversarial Training · ResNet-50": {},
            "Adversarial Training · Mustafa et al. [33]": {
                "defense": "prototype_conformity",
                "training": "fgsm",
                **FROM_MUSTAFA_MNIST,
            },
            "Adversarial Training · Dynamic [53]": {"defense": "dynamic_training", "training": "pgd"},
            "Adversarial Training · Proposed Method (DFL)": {"defense": DFL},
        },
        columns=MNIST_COLUMNS,
        printed={
            "FGSM": "97.30 95.34 53.1 59.50 93.08 17.04 31.1 4.9",
            "PGD-10": "96.63 91.63 34.50 57.19 59.60 0.0 19.9 0.0",
            "C&W": "97.13 91.47 40.90 57.09 87.0 0.0 29.1 0.2",
        },
        exceptions={
            **ADVERSARIAL_RESNET50,
            **MUSTAFA_MNIST_CW,
            **trained_on_the_columns_attack("Adversarial Training · Proposed Method (DFL)"),
        },
    ),
    Table(
        name="Table 4",
        shared=CIFAR10,
        rows={
            "No Defense · ResNet-50": {"defense": "undefended", **FROM_MUSTAFA_CIFAR10},
            "No Defense · Mustafa et al. [33]": {"defense": "prototype_conformity", **FROM_MUSTAFA_CIFAR10},
            "No Defense · Dynamic [53]": {"defense": "dynamic_training"},
            "No Defense · Proposed Method (DFL)": {"defense": DFL},
            "Adversarial Training · ResNet-50": {},
            "Adversarial Training · Mustafa et al. [33]": {
                "defense": "prototype_conformity",
                **FROM_MUSTAFA_CIFAR10,
            },
            "Adversarial Training · Dynamic [53]": {"defense": "dynamic_training", "training": "pgd"},
            "Adversarial Training · Proposed Method (DFL)": {"defense": DFL},
        },
        columns=CIFAR10_COLUMNS,
        printed={
            "FGSM": "90.31 52.81 75.80 2.2 44.60 2.20 67.70 21.4",
            "PGD-10": "64.67 48.06 46.70 0.0 35.40 0.0 27.20 0.01",
            "C&W": "57.30 37.26 51.80 0.0 48.50 0.0 37.30 0.6",
        },
        exceptions={
            **ADVERSARIAL_RESNET50,
            **MUSTAFA_CIFAR10_TRAINING,
            **trained_on_the_columns_attack("Adversarial Training · Proposed Method (DFL)"),
        },
    ),
    Table(
        name="Table 5",
        shared=CIFAR10,
        rows={
            "No Defense · DFL": {"defense": DFL},
            "No Defense · PCL": {"defense": PCL},
            "No Defense · DFL + PCL": {"defense": BOTH},
            "Adversarial Training · DFL": {"defense": DFL},
            "Adversarial Training · PCL": {"defense": PCL},
            "Adversarial Training · DFL + PCL": {"defense": BOTH},
        },
        columns=CIFAR10_COLUMNS,
        printed={
            "FGSM": "91.80 90.61 90.31 43.85 42.50 44.60",
            "PGD-10": "74.50 70.45 64.67 38.70 31.40 35.40",
            "C&W": "61.30 58.20 57.30 53.07 43.10 48.50",
        },
        exceptions=trained_on_the_columns_attack(
            "Adversarial Training · DFL", "Adversarial Training · PCL", "Adversarial Training · DFL + PCL"
        ),
    ),
    Table(
        name="Table 6",
        shared={**CIFAR10, "defense": BOTH},
        rows={
            "Adversarial Training · ResNet": {},
            "Adversarial Training · WideResNet": {"architecture": "wide_resnet"},
        },
        columns=CIFAR10_COLUMNS,
        printed={"FGSM": "92.60 91.80", "PGD-10": "77.20 74.50", "C&W": "68.51 61.30"},
        exceptions=trained_on_the_columns_attack(
            "Adversarial Training · ResNet", "Adversarial Training · WideResNet"
        ),
    ),
    Table(
        name="Text",
        shared={
            **CIFAR10,
            "defense": DFL,
            "training": "pgd",
            "attack": "pgd",
            "parameters": "epsilon=0.03",
            "certainty": "likely",
        },
        rows={
            "Sec. 4.4 · accuracy of the shallower network with DFL": {
                "architecture": "resnet34",
                "certainty": "unsure",
            },
            "Sec. 4.4 · accuracy of ResNet-50 with DFL": {},
            "Sec. 4.4 · training error of ResNet-50 with DFL": {
                "metric": "train_error",
                "attack": "none",
                "parameters": "",
            },
        },
        columns={"Claim": {}},
        printed={"Claim": "12% 64.8% 60.5%"},
    ),
    Table(
        name="Figure 1",
        shared={**CIFAR10, "defense": "pgd_training", "training": "pgd", "certainty": "lost"},
        rows={
            "ResNet-18": {"architecture": "resnet18"},
            "ResNet-34": {"architecture": "resnet34"},
            "ResNet-50": {"architecture": "resnet50"},
        },
        columns={"PGD": {"attack": "pgd", "parameters": "epsilon=0.03"}},
        printed={"PGD": "? ? ?"},
    ),
    Table(
        name="Figure 5",
        shared={**CIFAR10, "defense": DFL, "training": "pgd", "certainty": "lost"},
        rows={
            "ResNet-18": {"architecture": "resnet18"},
            "ResNet-34": {"architecture": "resnet34"},
            "ResNet-50": {"architecture": "resnet50"},
        },
        columns={"PGD": {"attack": "pgd", "parameters": "epsilon=0.03"}},
        printed={"PGD": "? ? ?"},
    ),
)
