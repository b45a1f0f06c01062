"""Mustafa et al., Tables 2 to 9 and the prose, typed a second time from the paper."""

from __future__ import annotations

from tests.second_transcription.layout import Table

CNN6, VGG19 = {"architecture": "cnn6"}, {"architecture": "vgg19"}
RESNET110 = {"architecture": "resnet110_bottleneck_fc1024"}
MNIST = {"dataset": "mnist", **CNN6}
F_MNIST = {"dataset": "fashion_mnist", **CNN6}
CIFAR10 = {"dataset": "cifar10", **RESNET110}
CIFAR100 = {"dataset": "cifar100", **RESNET110}
SVHN = {"dataset": "svhn", **RESNET110}

SOFTMAX = {"defense": "undefended"}
OURS = {"defense": "prototype_conformity"}
OURS_F = {"defense": "prototype_conformity", "training": "fgsm"}
OURS_P = {"defense": "prototype_conformity", "training": "pgd"}
FGSM_TRAINING = {"defense": "fgsm_training", "training": "fgsm"}
PGD_TRAINING = {"defense": "pgd_training", "training": "pgd"}
ROSS = {"defense": "input_gradient"}
PANG = {"defense": "adaptive_diversity", "evidence": "copied from Pang et al. [29]"}
SONG = {"defense": "domain_adaptation", "evidence": "copied from Song et al. [36]"}
YU = {"defense": "decision_surface", "evidence": "copied from Yu et al. [43]"}

FGSM, BIM, MIM, PGD = {"attack": "fgsm"}, {"attack": "bim"}, {"attack": "mim"}, {"attack": "pgd"}
C_AND_W = {"attack": "carlini_wagner"}
BLACK_BOX = {"setting": "black_box", "source": "vgg19"}
ADAPTIVE = {"setting": "adaptive"}
EQUIVALENT = {"metric": "nearest_prototype_gain", "unit": "points", "certainty": "unsure"}
ATHALYE = {
    "dataset": "cifar10",
    "attack": "pgd",
    "evidence": "copied from Athalye et al. [2]",
    "certainty": "likely",
}

TABLE_2 = {
    "MNIST (ε = 0.3, c = 10)": ({**MNIST, "parameters": "epsilon=0.3"}, {"parameters": "c=10"}),
    "CIFAR-10 (ε = 0.03, c = 0.1)": ({**CIFAR10, "parameters": "epsilon=0.03"}, {"parameters": "c=0.1"}),
    "CIFAR-100 (ε = 0.03, c = 0.1)": ({**CIFAR100, "parameters": "epsilon=0.03"}, {"parameters": "c=0.1"}),
    "F-MNIST (ε = 0.3, c = 10)": ({**F_MNIST, "parameters": "epsilon=0.3"}, {"parameters": "c=10"}),
    "SVHN (ε = 0.03, c = 0.1)": ({**SVHN, "parameters": "epsilon=0.03"}, {"parameters": "c=0.1"}),
}
"""Group heading -> what its rows share, and the constant of C&W there."""
TABLE_2_ROWS = {
    "Softmax": SOFTMAX,
    "Ours": OURS,
    "Ours + AdvTrain_FGSM": OURS_F,
    "Ours + AdvTrain_PGD": OURS_P,
}

EPSILON_8 = {"parameters": "epsilon=8/255"}
EPSILON_4 = {"parameters": "epsilon=4/255"}

TABLES = (
    Table(
        name="Table 2",
        shared={},
        rows={
            f"{group} · {row}": {**shared, **by_row}
            for group, (shared, _) in TABLE_2.items()
            for row, by_row in TABLE_2_ROWS.items()
        },
        columns={
            "No Attack": {},
            "White-Box · FGSM": FGSM,
            "White-Box · BIM": BIM,
            "White-Box · C&W": C_AND_W,
            "White-Box · MIM": MIM,
            "White-Box · PGD": PGD,
            "Black-Box · FGSM": {**FGSM, **BLACK_BOX},
            "Black-Box · BIM": {**BIM, **BLACK_BOX},
            "Black-Box · C&W": {**C_AND_W, **BLACK_BOX},
            "Black-Box · MIM": {**MIM, **BLACK_BOX},
            "Black-Box · PGD": {**PGD, **BLACK_BOX},
        },
        printed={
            "No Attack": """
                94.36 94.18 94.36 93.45
                91.30 91.03 91.32 91.51
                68.32 69.11 71.90 72.65
                91.89 91.28 90.45 90.80
                99.28 99.44 99.53 98.71
            """,
            "White-Box · FGSM": """
                76.5 80.1 69.3 30.6
                47.2 55.1 29.0 8.7
                60.9 61.3 56.9 20.0
                74.9 75.8 67.7 21.4
                49.8 53.1 31.1 4.9
            """,
            "White-Box · BIM": """
                48.8 47.4 37.1 6.2
                40.1 37.5 22.0 0.1
                34.1 32.3 28.0 4.2
                46.0 45.9 32.6 0.0
                40.3 36.6 23.3 0.0
            """,
            "White-Box · C&W": """
                54.8 51.9 39.2 7.1
                44.6 41.7 23.9 0.2
                36.7 35.2 31.1 1.1
                51.8 45.7 37.3 0.6
                46.0 40.9 29.1 0.2
            """,
            "White-Box · MIM": """
                47.1 45.6 41.0 7.3
                41.3 40.6 21.8 0.0
                33.7 33.3 28.7 3.52
                49.3 44.7 33.2 0.0
                41.4 37.0 24.7 0.01
            """,
            "White-Box · PGD": """
                47.7 40.5 33.7 9.6
                40.7 35.3 20.3 0.0
                36.1 31.4 25.9 0.17
                46.7 42.5 27.2 0.01
                39.8 34.5 19.9 0.0
            """,
            "Black-Box · FGSM": """
                88.7 90.1 77.4 48.1
                88.2 89.1 84.8 46.7
                65.9 66.1 65.3 40.9
                88.5 88.9 85.5 39.0
                85.2 85.6 78.3 23.0
            """,
            "Black-Box · BIM": """
                88.2 87.4 73.1 30.3
                88.0 87.0 79.0 29.3
                66.1 65.2 64.5 34.3
                88.3 87.6 83.7 30.1
                81.9 81.0 72.7 17.8
            """,
            "Black-Box · C&W": """
                89.2 88.0 76.4 31.4
                88.2 87.7 79.2 30.8
                66.7 65.7 64.1 37.1
                88.2 87.4 83.3 31.8
                83.5 82.3 77.2 20.9
            """,
            "Black-Box · MIM": """
                88.6 87.6 74.0 33.5
                88.3 87.9 78.4 29.5
                66.1 65.5 64.8 35.5
                88.5 88.2 81.9 30.9
                82.8 81.4 74.5 14.8
            """,
            "Black-Box · PGD": """
                89.3 84.4 70.1 21.5
                89.7 85.2 76.3 26.0
                66.7 63.4 62.8 30.7
                88.8 84.5 76.4 29.1
                80.8 78.2 69.5 11.9
            """,
        },
        exceptions={
            (f"{group} · {row}", f"{box} · C&W"): constant
            for group, (_, constant) in TABLE_2.items()
            for row in TABLE_2_ROWS
            for box in ("White-Box", "Black-Box")
        },
    ),
    Table(
        name="Table 3",
        shared={},
        rows={
            "CIFAR-10 (ε = 8/255) · Ours": {**CIFAR10, **EPSILON_8, **OURS},
            "CIFAR-10 (ε = 8/255) · Ours* (first)": {**CIFAR10, **EPSILON_8, **OURS_F},
            "CIFAR-10 (ε = 8/255) · Ours* (second)": {**CIFAR10, **EPSILON_8, **OURS_P},
            "F-MNIST (ε = 0.3/1) · Ours": {**F_MNIST, "parameters": "epsilon=0.3", **OURS},
            "F-MNIST (ε = 0.3/1) · Ours* (first)": {**F_MNIST, "parameters": "epsilon=0.3", **OURS_F},
            "F-MNIST (ε = 0.3/1) · Ours* (second)": {**F_MNIST, "parameters": "epsilon=0.3", **OURS_P},
        },
        columns={
            "No Attack": {},
            "FGSM": {**FGSM, **ADAPTIVE},
            "FGSM (in parentheses)": FGSM,
            "BIM": {**BIM, **ADAPTIVE},
            "BIM (in parentheses)": BIM,
            "MIM": {**MIM, **ADAPTIVE},
            "MIM (in parentheses)": MIM,
            "PGD": {**PGD, **ADAPTIVE},
            "PGD (in parentheses)": PGD,
        },
        printed={
            "No Attack": "91.30 91.03 91.32 91.89 91.28 90.45",
            "FGSM": "46.0 53.3 28.1 74.31 74.24 66.90",
            "FGSM (in parentheses)": "(47.2) (55.1) (29.0) (74.9) (75.8) (67.7)",
            "BIM": "40.1 36.0 21.7 44.85 44.05 31.29",
            "BIM (in parentheses)": "(40.1) (37.5) (22.0) (46.0) (45.9) (32.6)",
            "MIM": "40.7 39.3 20.3 47.31 43.77 32.84",
            "MIM (in parentheses)": "(41.3) (40.6) (21.8) (49.3) (44.7) (33.2)",
            "PGD": "39.7 34.7 19.5 44.75 41.32 27.09",
            "PGD (in parentheses)": "(40.7) (35.3) (20.3) (46.7) (42.5) (27.2)",
        },
    ),
    Table(
        name="Table 4",
        shared=CIFAR100,
        rows={
            "No Attack": {},
            "BIM · ε = 0.005": {**BIM, "parameters": "epsilon=0.005"},
            "BIM · ε = 0.01": {**BIM, "parameters": "epsilon=0.01"},
            "MIM · ε = 0.005": {**MIM, "parameters": "epsilon=0.005"},
            "MIM · ε = 0.01": {**MIM, "parameters": "epsilon=0.01"},
            "PGD · ε = 0.005": {**PGD, "parameters": "epsilon=0.005"},
            "PGD · ε = 0.01": {**PGD, "parameters": "epsilon=0.01"},
        },
        columns={"Baseline": SOFTMAX, "ADP [29]": PANG, "Ours": OURS, "Ours_f*": OURS_F, "Ours_p*": OURS_P},
        printed={
            "Baseline": "11.7 26.6 11.2 24.2 10.1 21.6 72.6",
            "ADP [29]": "18.3 32.1 17.2 29.4 14.8 26.2 70.2",
            "Ours": "38.9 42.2 40.6 46.1 39.8 44.8 71.9",
            "Ours_f*": "40.1 53.6 43.8 56.7 46.2 55.1 69.1",
            "Ours_p*": "44.0 55.0 45.9 57.1 46.9 55.7 68.3",
        },
    ),
    Table(
        name="Table 5",
        shared={},
        rows={
            f"{group} · {row}": {**shared, **by_row, "training": training}
            for group, shared in (
                ("F-MNIST (ε = 0.1)", {**F_MNIST, "parameters": "epsilon=0.1"}),
                ("SVHN (ε = 0.02)", {**SVHN, "parameters": "epsilon=0.02"}),
                ("CIFAR-10 (ε = 4/255)", {**CIFAR10, **EPSILON_4}),
                ("CIFAR-100 (ε = 4/255)", {**CIFAR100, **EPSILON_4}),
            )
            for row, by_row, training in (
                ("[36]", SONG, "fgsm"),
                ("Ours", OURS, "pgd"),
            )
        },
        columns={"Clean": {}, "FGSM": FGSM, "MIM": MIM, "PGD": PGD},
        printed={
            "Clean": "? 61.6 91.9 84.8 94.4 82.9 91.3 85.5",
            "FGSM": "? 29.3 85.3 60.7 87.1 57.2 86.6 78.2",
            "MIM": "? 27.3 70.1 59.0 82.2 53.9 80.1 68.8",
            "PGD": "38.6 26.2 69.4 58.1 80.7 53.2 79.4 68.6",
        },
        exceptions={
            ("SVHN (ε = 0.02) · Ours", "Clean"): {"certainty": "likely"},
            ("SVHN (ε = 0.02) · Ours", "FGSM"): {"certainty": "likely"},
            ("SVHN (ε = 0.02) · Ours", "MIM"): {"certainty": "likely"},
            ("SVHN (ε = 0.02) · Ours", "PGD"): {"certainty": "likely"},
            ("CIFAR-100 (ε = 4/255) · Ours", "Clean"): {"certainty": "lost"},
            ("CIFAR-100 (ε = 4/255) · Ours", "FGSM"): {"certainty": "lost"},
            ("CIFAR-100 (ε = 4/255) · Ours", "MIM"): {"certainty": "lost"},
            ("CIFAR-100 (ε = 4/255) · Ours", "PGD"): {"certainty": "likely"},
            ("CIFAR-100 (ε = 4/255) · [36]", "Clean"): {"certainty": "likely"},
        },
    ),
    Table(
        name="Table 6",
        shared={"dataset": "cifar10", "setting": "black_box", **PGD, "parameters": "epsilon=0.03"},
        rows={
            "VGG-19": {"source": "vgg19"},
            "AdvTrain [17]": {"source": "vgg19:fgsm_training"},
            "Madry et al. [22]": {"source": "resnet110_bottleneck_fc1024:pgd_training"},
            "Ours": {"source": "resnet110_bottleneck_fc1024:prototype_conformity:pgd"},
        },
        columns={
            "VGG-19": {**VGG19, **SOFTMAX},
            "AdvTrain [17]": {**VGG19, **FGSM_TRAINING},
            "Madry et al. [22]": {**RESNET110, **PGD_TRAINING},
            "Ours": {**RESNET110, **OURS_P},
        },
        printed={
            "VGG-19": "50.31 58.91 12.43 0.0",
            "AdvTrain [17]": "61.02 67.32 0.0 16.20",
            "Madry et al. [22]": "66.70 43.70 49.80 52.71",
            "Ours": "49.10 71.72 72.53 88.80",
        },
        exceptions={
            (network, network): {"setting": "white_box", "source": ""}
            for network in ("VGG-19", "AdvTrain [17]", "Madry et al. [22]", "Ours")
        },
    ),
    Table(
        name="Table 7",
        shared=CIFAR10,
        rows={
            "None": SOFTMAX,
            "Layer 1": {"defense": "prototype_conformity[layer=1]"},
            "Layer 2": {"defense": "prototype_conformity[layer=2]"},
            "Layer 3": {"defense": "prototype_conformity[layer=3]"},
            "Layer 4": {"defense": "prototype_conformity[layer=4]"},
            "Layer 5": {"defense": "prototype_conformity[layer=5]"},
            "Layer 4+5": {"defense": "prototype_conformity[layer=4,5]"},
            "Layer 3+4+5": OURS,
        },
        columns={
            "No Attack · ε = 0": {},
            "FGSM · ε = 0.03": {**FGSM, "parameters": "epsilon=0.03"},
            "PGD · ε = 0.03": {**PGD, "parameters": "epsilon=0.03"},
        },
        printed={
            "No Attack · ε = 0": "90.45 90.63 91.11 90.51 88.75 81.92 74.30 90.80",
            "FGSM · ε = 0.03": "67.71 55.36 47.02 39.90 33.74 30.96 23.71 21.40",
            "PGD · ε = 0.03": "27.23 20.70 13.56 11.90 10.47 8.04 0.01 0.01",
        },
    ),
    Table(
        name="Table 8",
        shared=CIFAR10,
        rows={
            "No Attack": {},
            "FGSM · ε = 0.02": {**FGSM, "parameters": "epsilon=0.02"},
            "FGSM · ε = 0.04": {**FGSM, "parameters": "epsilon=0.04"},
            "BIM · ε = 0.01": {**BIM, "parameters": "epsilon=0.01"},
            "BIM · ε = 0.02": {**BIM, "parameters": "epsilon=0.02"},
            "MIM · ε = 0.01": {**MIM, "parameters": "epsilon=0.01"},
            "MIM · ε = 0.02": {**MIM, "parameters": "epsilon=0.02"},
            "C&W · c = 0.001": {**C_AND_W, "parameters": "c=0.001"},
            "C&W · c = 0.01": {**C_AND_W, "parameters": "c=0.01"},
            "C&W · c = 0.1": {**C_AND_W, "parameters": "c=0.1"},
            "PGD · ε = 0.01": {**PGD, "parameters": "epsilon=0.01"},
            "PGD · ε = 0.02": {**PGD, "parameters": "epsilon=0.02"},
        },
        columns={
            "Baseline": SOFTMAX,
            "AdvTrain [17]*": FGSM_TRAINING,
            "Yu et al. [43]*": YU,
            "Ross et al. [33]*": ROSS,
            "Pang et al. [29]*": PANG,
            "Madry et al. [22]*": PGD_TRAINING,
            "Ours": OURS,
            "Ours_f*": OURS_F,
            "Ours_p*": OURS_P,
        },
        printed={
            "Baseline": "6.6 23.4 0.6 35.2 61.3 7.4 23.8 6.1 18.5 19.4 36.5 90.8",
            "AdvTrain [17]*": "7.8 24.3 25.4 40.9 67.7 9.3 23.9 7.8 22.6 31.0 44.3 84.5",
            "Yu et al. [43]*": "- - 40.7 62.9 82.5 - - 39.3 62.7 38.2 48.5 83.1",
            "Ross et al. [33]*": "8.5 24.5 19.9 47.8 72.2 9.5 24.6 6.9 19.0 20.8 39.5 86.2",
            "Pang et al. [29]*": "30.4 48.4 25.6 54.9 80.6 35.9 52.1 31.0 46.6 46.2 61.7 90.6",
            "Madry et al. [22]*": "48.5 67.7 47.9 65.7 84.5 46.7 61.5 49.3 64.3 47.4 71.6 87.3",
            "Ours": "39.3 60.1 41.1 63.5 84.3 42.3 64.3 40.1 62.9 56.3 72.5 90.5",
            "Ours_f*": "50.6 68.3 55.7 72.9 91.0 53.8 68.8 51.2 67.9 70.5 80.8 91.3",
            "Ours_p*": "58.5 75.7 60.5 73.7 91.3 60.0 74.9 57.3 74.5 69.9 78.5 91.9",
        },
    ),
    Table(
        name="Table 9",
        shared=MNIST,
        rows={
            "No Attack": {},
            "FGSM · ε = 0.1": {**FGSM, "parameters": "epsilon=0.1"},
            "FGSM · ε = 0.2": {**FGSM, "parameters": "epsilon=0.2"},
            "BIM · ε = 0.1": {**BIM, "parameters": "epsilon=0.1"},
            "BIM · ε = 0.15": {**BIM, "parameters": "epsilon=0.15"},
            "MIM · ε = 0.1": {**MIM, "parameters": "epsilon=0.1"},
            "MIM · ε = 0.15": {**MIM, "parameters": "epsilon=0.15"},
            "C&W · c = 0.1": {**C_AND_W, "parameters": "c=0.1"},
            "C&W · c = 1.0": {**C_AND_W, "parameters": "c=1"},
            "C&W · c = 10.0": {**C_AND_W, "parameters": "c=10"},
            "PGD · ε = 0.1": {**PGD, "parameters": "epsilon=0.1"},
            "PGD · ε = 0.15": {**PGD, "parameters": "epsilon=0.15"},
        },
        columns={
            "Baseline": SOFTMAX,
            "AdvTrain [17]*": FGSM_TRAINING,
            "Yu et al. [43]": YU,
            "Ross et al. [33]": ROSS,
            "Pang et al. [29]": PANG,
            "Ours": OURS,
            "Ours_f*": OURS_F,
            "Ours_p*": OURS_P,
        },
        printed={
            "Baseline": "6.3 50.7 0.2 30.6 61.6 16.1 58.3 12.2 22.5 12.9 58.3 98.7",
            "AdvTrain [17]*": "31.9 62.7 17.0 39.2 71.1 28.8 64.5 18.7 62.0 52.7 73.0 99.1",
            "Yu et al. [43]": "- - 37.6 79.1 89.2 - - 77.1 88.1 70.3 91.6 98.4",
            "Ross et al. [33]": "44.2 77.0 20.0 75.3 88.1 29.3 83.7 32.1 87.9 60.4 91.6 99.2",
            "Pang et al. [29]": "41.0 82.8 23.8 78.1 97.3 77.5 92.0 73.6 88.5 52.8 96.3 99.5",
            "Ours": "62.5 83.6 29.1 80.4 97.7 77.7 92.1 76.3 90.2 70.6 97.1 99.5",
            "Ours_f*": "78.8 93.7 39.7 87.3 97.1 80.2 92.7 76.5 92.0 80.0 97.2 99.4",
            "Ours_p*": "80.2 93.9 46.0 91.2 97.6 82.0 93.0 77.3 92.1 77.9 96.5 99.3",
        },
    ),
    Table(
        name="Text",
        shared={},
        rows={
            "Sec. 1 · CIFAR-10 under PGD": {**CIFAR10, **OURS_P, **PGD, "parameters": "epsilon=0.03"},
            "Sec. 1 · CIFAR-100 under PGD": {**CIFAR100, **OURS_P, **PGD, "parameters": "epsilon=0.03"},
            "Sec. 2 · min-max training [22] under the attacks of [2]": {
                **ATHALYE,
                **PGD_TRAINING,
                "architecture": "wide_resnet",
                "parameters": "epsilon=0.031",
            },
            "Sec. 2 · cascade training [27] under the attacks of [2]": {
                **ATHALYE,
                "architecture": "resnet110",
                "defense": "fgsm_training[cascade]",
                "training": "fgsm",
                "parameters": "epsilon=0.015",
            },
            "Sec. 3 · nearest prototype rule against softmax on MNIST": {**MNIST, **OURS, **EQUIVALENT},
            "Sec. 3 · nearest prototype rule against softmax on CIFAR-10": {**CIFAR10, **OURS, **EQUIVALENT},
            "Sec. 5.1 · clean CIFAR-10": {**CIFAR10, **OURS_P},
            "Sec. 5.1 · CIFAR-10 under transferred PGD": {
                **CIFAR10,
                **OURS_P,
                **PGD,
                **BLACK_BOX,
                "parameters": "epsilon=0.03",
            },
            "Sec. 5.2 · CIFAR-100 under PGD": {**CIFAR100, **OURS, **PGD, "parameters": "epsilon=0.01"},
            "Sec. 5.2 · ADP [29] on CIFAR-100 under PGD": {
                **CIFAR100,
                **PANG,
                **PGD,
                "parameters": "epsilon=0.01",
            },
            "Sec. 5.5 · under an unbounded distortion": {
                **CIFAR10,
                **OURS,
                **PGD,
                "parameters": "epsilon=1",
                "certainty": "unsure",
            },
        },
        columns={"Claim": {}},
        printed={"Claim": "0% 18.3% 38.9% 88.8% 91.89% 0 0 15% 47% 36.1% 46.7%"},
    ),
)
