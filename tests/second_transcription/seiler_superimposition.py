"""The tables and the prose of Seiler, Trautmann and Kerschke (2020), typed a second time from the paper."""

from __future__ import annotations

from tests.second_transcription.layout import Table

IMAGES = {
    "attack": "gradient_ensemble",
    "parameters": "epsilon=16/255",
    "setting": "black_box",
}
TRUE = {**IMAGES, "metric": "fooling_set_clean_accuracy"}
ADVERSARIAL = {**IMAGES, "metric": "fooling_set_accuracy"}
HOURS = {"metric": "seconds_to_accuracy", "unit": "h:min"}
STRONGEST = {"attack": "fgsm", "metric": "strongest_epsilon", "unit": "levels"}
COMBINED = "vgg13*3 + resnet32*3 + resnet50_7x7*3"

TABLES = (
    Table(
        name="Table I",
        shared={"dataset": "ilsvrc", "architecture": "vgg13"},
        rows={
            "Base": {"defense": "undefended"},
            "α = 0.4": {"defense": "superimposition[alpha=0.4]"},
            "α ∼ B(2,4)": {"defense": "superimposition[beta=2,4]"},
            "VAT (ε = 15)": {"defense": "virtual_adversarial[epsilon=15]"},
            "PGD (I = 7)": {"defense": "pgd_training[steps=7]", "training": "pgd"},
            "PGD (I = 3)": {"defense": "pgd_training[steps=3]", "training": "pgd"},
        },
        columns={
            "Median Time p. Epoch": {"metric": "epoch_seconds", "unit": "min:s"},
            "Time until 50% Acc.": {**HOURS, "parameters": "accuracy=0.5"},
            "Time until 60% Acc.": {**HOURS, "parameters": "accuracy=0.6"},
            "Time until 70% Acc.": {**HOURS, "parameters": "accuracy=0.7"},
        },
        printed={
            "Median Time p. Epoch": "11:37m 22:40m 14:45m 6:51m 6:55m 6:43m",
            "Time until 50% Acc.": "03:53h 11:46h 02:12h 01:01h 02:18h 00:59h",
            "Time until 60% Acc.": "07:45h 15:56h 03:55h 01:42h 03:14h 02:15h",
            "Time until 70% Acc.": "-/- -/- 08:05h 02:44h -/- 03:17h",
        },
    ),
    Table(
        name="Table II",
        shared={"dataset": "ilsvrc", "architecture": "vgg13"},
        rows={
            "Base Model": {"defense": "undefended"},
            "Projected Gradient Descent (PGD) with ε = 8 and λ = 2 · I = 3": {
                "defense": "pgd_training[steps=3]",
                "training": "pgd",
            },
            "Projected Gradient Descent (PGD) with ε = 8 and λ = 2 · I = 7": {
                "defense": "pgd_training[steps=7]",
                "training": "pgd",
            },
            "Virtual Adversarial Training (VAT) with I = 3 and λ = 1 · ε = 5": {
                "defense": "virtual_adversarial[epsilon=5]"
            },
            "Virtual Adversarial Training (VAT) with I = 3 and λ = 1 · ε = 15": {
                "defense": "virtual_adversarial[epsilon=15]"
            },
            "Virtual Adversarial Training (VAT) with I = 3 and λ = 1 · ε = 25": {
                "defense": "virtual_adversarial[epsilon=25]"
            },
            "Our Proposed Method with KL_λ=10 · α ∼ B(2, 4)": {"defense": "superimposition[beta=2,4]"},
            "Our Proposed Method with KL_λ=10 · α ∼ B(2, 6)": {"defense": "superimposition[beta=2,6]"},
            "Our Proposed Method with KL_λ=10 · α ∼ B(2, 10)": {"defense": "superimposition[beta=2,10]"},
        },
        columns={
            "Original Data · Train": {"metric": "train_accuracy"},
            "Original Data · Val.": {"metric": "accuracy"},
            "One Model · True": {**TRUE, "source": "vgg13"},
            "One Model · Adv.": {**ADVERSARIAL, "source": "vgg13"},
            "Three Models · True": {**TRUE, "source": "vgg13*3"},
            "Three Models · Adv.": {**ADVERSARIAL, "source": "vgg13*3"},
            "Five Models · True": {**TRUE, "source": "vgg13*5"},
            "Five Models · Adv.": {**ADVERSARIAL, "source": "vgg13*5"},
        },
        printed={
            "Original Data · Train": "86.9% 84.7% 90.6% 96.9% 99.0% 97.7% 77.8% 86.7% 91.2%",
            "Original Data · Val.": "71.4% 72.4% 74.3% 76.5% 74.6% 76.2% 62.4% 66.2% 73.4%",
            "One Model · True": "85.8% 87.1% 88.8% 91.1% 88.5% 90.6% 75.6% 79.6% 89.9%",
            "One Model · Adv.": "76.9% 74.2% 71.9% 83.1% 86.0% 85.1% 75.1% 79.0% 23.8%",
            "Three Models · True": "90.4% 91.8% 93.5% 95.5% 93.0% 95.2% 80.7% 84.6% 95.3%",
            "Three Models · Adv.": "75.0% 70.0% 62.1% 82.8% 86.0% 87.2% 80.0% 83.6% 4.1%",
            "Five Models · True": "92.4% 93.7% 95.1% 96.8% 94.5% 96.6% 82.8% 86.6% 96.7%",
            "Five Models · Adv.": "72.4% 66.0% 53.7% 80.2% 90.3% 86.9% 81.8% 86.5% 0.9%",
        },
    ),
    Table(
        name="Table III",
        shared={"dataset": "ilsvrc"},
        rows={
            "Base Models · VGG13": {"architecture": "vgg13", "defense": "undefended"},
            "Base Models · ResNet32": {"architecture": "resnet32", "defense": "undefended"},
            "Base Models · ResNet50": {"architecture": "resnet50_7x7", "defense": "undefended"},
            "Our Proposed Method with α ∼ B(2, 4) and KL_λ=10 · VGG13": {
                "architecture": "vgg13",
                "defense": "superimposition[beta=2,4]",
            },
            "Our Proposed Method with α ∼ B(2, 4) and KL_λ=10 · ResNet32": {
                "architecture": "resnet32",
                "defense": "superimposition[beta=2,4]",
            },
            "Our Proposed Method with α ∼ B(2, 4) and KL_λ=10 · ResNet50": {
                "architecture": "resnet50_7x7",
                "defense": "superimposition[beta=2,4]",
            },
        },
        columns={
            "Original Data · Train": {"metric": "train_accuracy"},
            "Original Data · Val.": {"metric": "accuracy"},
            "VGGNet13 · True": {**TRUE, "source": "vgg13*5"},
            "VGGNet13 · Adv.": {**ADVERSARIAL, "source": "vgg13*5"},
            "ResNet32 · True": {**TRUE, "source": "resnet32*5"},
            "ResNet32 · Adv.": {**ADVERSARIAL, "source": "resnet32*5"},
            "ResNet50 · True": {**TRUE, "source": "resnet50_7x7*5"},
            "ResNet50 · Adv.": {**ADVERSARIAL, "source": "resnet50_7x7*5"},
            "Combined · True": {**TRUE, "source": COMBINED},
            "Combined · Adv.": {**ADVERSARIAL, "source": COMBINED},
        },
        printed={
            "Original Data · Train": "80.4% 83.1% 90.6% 87.5% 89.4% 91.2%",
            "Original Data · Val.": "62.4% 59.8% 74.3% 62.8% 66.7% 73.4%",
            "VGGNet13 · True": "83.8% 80.3% 95.1% 84.1% 87.9% 96.7%",
            "VGGNet13 · Adv.": "70.3% 67.8% 53.7% 64.9% 67.6% 0.9%",
            "ResNet32 · True": "91.6% 88.5% 96.6% 92.2% 95.5% 96.2%",
            "ResNet32 · Adv.": "44.1% 38.5% 69.6% 24.6% 16.0% 28.3%",
            "ResNet50 · True": "92.9% 89.5% 97.1% 94.7% 95.3% 96.9%",
            "ResNet50 · Adv.": "56.4% 56.9% 81.5% 30.9% 44.0% 50.2%",
            "Combined · True": "93.6% 90.2% 98.1% 94.5% 96.1% 98.4%",
            "Combined · Adv.": "46.9% 45.1% 32.4% 26.7% 26.1% 0.01%",
        },
    ),
    Table(
        name="Text",
        shared={"dataset": "ilsvrc", "architecture": "vgg13", "defense": "undefended"},
        rows={
            "Fig. 1 · confidence in the original image": {"metric": "confidence", "certainty": "unsure"},
            "Fig. 1 · confidence in the adversarial image": {
                "metric": "confidence",
                "attack": "fgsm",
                "parameters": "epsilon=3/255",
                "certainty": "unsure",
            },
            "Sec. II-B · accuracy of VAT under multi-step white-box attacks": {
                "dataset": "cifar10",
                "architecture": "wide_resnet",
                "defense": "virtual_adversarial",
                "attack": "pgd",
                "parameters": "epsilon=8/255",
                "evidence": "copied from Miyato et al. [26]",
                "certainty": "unsure",
            },
            "Sec. VI · Base Model on images of one model": {**ADVERSARIAL, "source": "vgg13"},
            "Sec. VI · Base Model on images of three models": {**ADVERSARIAL, "source": "vgg13*3"},
            "Sec. VI · Base Model on images of five models": {**ADVERSARIAL, "source": "vgg13*5"},
            "Sec. VI · VGGNet13 on the combined images": {**ADVERSARIAL, "source": COMBINED},
            "Sec. VI · ResNet32 on the combined images": {
                **ADVERSARIAL,
                "architecture": "resnet32",
                "source": COMBINED,
                "certainty": "likely",
            },
            "Sec. VI · ResNet50 on the combined images": {
                **ADVERSARIAL,
                "architecture": "resnet50_7x7",
                "source": COMBINED,
                "certainty": "likely",
            },
            "Sec. VI · strongest ε, Base Model, one image": {**STRONGEST, "certainty": "likely"},
            "Sec. VI · strongest ε, VAT, 128 images": {
                **STRONGEST,
                "defense": "virtual_adversarial[epsilon=15]",
                "certainty": "likely",
            },
            "Sec. VI · strongest ε, Base Model, 128 images": STRONGEST,
        },
        columns={"Claim": {}},
        printed={"Claim": "8 26 6 27% 26 0.01% 0.9% 4% 23.8% 45% 83.8% 99.99%"},
    ),
)
