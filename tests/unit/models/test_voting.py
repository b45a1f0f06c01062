from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.classifier import REFUSED, Classifier
from reproof.models.voting import (
    Ensemble,
    Ties,
    VotingDefense,
    log_mean_softmax,
    lost_vote,
    mean_logits_loss,
    vote,
)
from reproof.settings.defense import VotingSettings
from tests.tiny_classifier import DESCRIPTION, LinearClassifier, TinyClassifier

FOUR = DataDescription(channels=1, height=1, width=4, classes=4, mean=(0.0,), std=(1.0,))
PAIRS = list(itertools.permutations(range(4), 2))
RANKINGS = list(itertools.product(PAIRS, repeat=3))
"""First and second choice of each of three members among four classes: all 1,728 cases."""
RULES: list[tuple[bool, Ties]] = [(False, "main"), (False, "error"), (True, "main"), (True, "error")]


def as_logits(rankings: list[tuple[tuple[int, int], ...]]) -> Tensor:
    """Return logits (M, N, 4) with these first and second choices; the other two classes tie for the third.

    The third member is far surer than the first two, who so overrule the mean probability where they agree.
    """
    logits = torch.zeros(len(rankings[0]), len(rankings), 4)
    for image, members in enumerate(rankings):
        for member, (first, second) in enumerate(members):
            logits[member, image, first] = (0.5, 0.6, 9.0)[member % 3]
            logits[member, image, second] = 0.4
    return logits


def by_hand(members: tuple[tuple[int, int], ...], boosted: bool, ties: Ties) -> tuple[int, bool]:
    """Return winner and failure for three members, case by case: two that agree decide."""
    (one, _), (two, _), (three, _) = members
    if one in (two, three):
        return one, False
    if two == three:
        return two, False
    if boosted:
        shared = [cls for cls in range(4) if sum(cls in pair for pair in members) == 3]
        if len(shared) == 1:
            return shared[0], False
        if not shared:
            doubles = [cls for cls in range(4) if sum(cls in pair for pair in members) == 2]
            if len(doubles) == 1:
                return doubles[0], False
    return (one if ties == "main" else -1), True


class TestVote:
    @pytest.mark.parametrize(("boosted", "ties"), RULES)
    def test_every_case_of_three_members_and_four_classes(self, boosted: bool, ties: Ties) -> None:
        found = vote(as_logits(RANKINGS), boosted=boosted, candidates=2, ties=ties)
        expected = [by_hand(members, boosted, ties) for members in RANKINGS]
        assert found.winners.tolist() == [winner for winner, _ in expected]
        assert found.failed.tolist() == [failed for _, failed in expected]
        assert found.winners.dtype == torch.int64
        assert found.failed.dtype == torch.bool

    def test_how_many_of_them_fail(self) -> None:
        # 4 * 3 * 2 of the 4^3 first choices differ; each comes with 27 second choices.
        plain, boosted = (
            vote(as_logits(RANKINGS), boosted=boosted, candidates=2, ties="main") for boosted in (False, True)
        )
        assert int(plain.failed.sum()) == 24 * 27
        assert torch.equal(plain.winners[~plain.failed], boosted.winners[~plain.failed])
        assert not bool((boosted.failed & ~plain.failed).any())
        rescued = plain.failed & ~boosted.failed
        assert 0 < int(rescued.sum()) < 24 * 27

    @pytest.mark.parametrize(
        ("members", "elected", "why"),
        [
            (((0, 3), (1, 3), (2, 0)), None, "0 and 3 are named twice each"),
            (((0, 3), (1, 3), (2, 3)), 3, "all name 3, and no one first"),
            (((0, 1), (1, 2), (2, 3)), None, "1 and 2 are named twice each"),
            (((0, 1), (1, 0), (2, 3)), None, "0 and 1 are named twice each"),
            (((0, 3), (1, 0), (2, 0)), 0, "all name 0"),
            (((3, 0), (1, 0), (2, 1)), None, "0 and 1 are named twice each"),
            (((3, 2), (1, 0), (2, 0)), None, "2 and 0 are named twice each"),
            (((1, 3), (1, 3), (2, 3)), 1, "the plain vote comes first, though all name 3"),
        ],
    )
    def test_boosted(self, members: tuple[tuple[int, int], ...], elected: int | None, why: str) -> None:
        found = vote(as_logits([members]), boosted=True, candidates=2, ties="main")
        assert bool(found.failed) == (elected is None), why
        assert int(found.winners) == (members[0][0] if elected is None else elected), why

    @pytest.mark.parametrize("count", [1, 2, 4, 5, 6])
    @pytest.mark.parametrize("boosted", [False, True])
    def test_a_majority_is_more_than_half_of_all_members(self, count: int, boosted: bool) -> None:
        generator = torch.Generator().manual_seed(count)
        logits = torch.rand(count, 300, 5, generator=generator)
        found = vote(logits, boosted=boosted, candidates=2, ties="error")
        for image in range(300):
            ranked = [sorted(range(5), key=lambda c: -float(row[c])) for row in logits[:, image]]
            winner = _majority([order[:1] for order in ranked], count)
            if winner is None and boosted:
                winner = _majority([order[:2] for order in ranked], count)
            assert bool(found.failed[image]) == (winner is None)
            assert int(found.winners[image]) == (REFUSED if winner is None else winner)

    def test_half_of_the_members_and_the_most_votes_are_no_majority(self) -> None:
        logits = as_logits([((1, 0), (1, 0), (2, 0), (3, 0))])
        assert vote(logits, boosted=False, candidates=2, ties="error").winners.tolist() == [REFUSED]
        assert vote(logits, boosted=True, candidates=2, ties="error").winners.tolist() == [0]

    def test_more_candidates_name_more(self) -> None:
        logits = torch.tensor([[4.0, 3, 2, 1, 0], [0, 4, 3, 2, 1], [0, 1, 2, 4, 3]]).unsqueeze(1)
        # First three: {0, 1, 2}, {1, 2, 3}, {3, 4, 2}.
        assert vote(logits, boosted=True, candidates=2, ties="error").failed.tolist() == [False]
        assert vote(logits, boosted=True, candidates=2, ties="error").winners.tolist() == [1]
        assert vote(logits, boosted=True, candidates=3, ties="error").winners.tolist() == [2]

    def test_of_equal_logits_the_lowest_class_comes_first(self) -> None:
        logits = torch.zeros(3, 1, 4)
        assert vote(logits, boosted=False, candidates=2, ties="error").winners.tolist() == [0]
        logits[0, 0, 3] = logits[1, 0, 2] = logits[2, 0, 1] = 1
        # {3, 0}, {2, 0}, {1, 0}
        assert vote(logits, boosted=True, candidates=2, ties="error").winners.tolist() == [0]

    def test_the_order_of_the_members_matters_to_ties_alone(self) -> None:
        logits = as_logits(RANKINGS)
        for boosted in (False, True):
            one = vote(logits, boosted=boosted, candidates=2, ties="main")
            other = vote(logits.flip(0), boosted=boosted, candidates=2, ties="main")
            assert torch.equal(one.failed, other.failed)
            assert torch.equal(one.winners[~one.failed], other.winners[~one.failed])
            assert torch.equal(one.winners[one.failed], logits[0, one.failed].argmax(dim=1))


def _majority(named: list[list[int]], members: int) -> int | None:
    counts = Counter(itertools.chain(*named)).most_common()
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        return None
    return counts[0][0] if counts[0][1] > members / 2 else None


def linear(*rows: list[float]) -> LinearClassifier:
    """Return a member whose logits are the pixels weighed by the rows' numbers, one class per pixel."""
    return LinearClassifier(FOUR, torch.diag(torch.tensor(rows[0])), torch.zeros(4))


def stated(rankings: list[tuple[tuple[int, int], ...]], **options: Any) -> tuple[Ensemble, Tensor]:
    """Return an ensemble and one image per case, on which its members rank as told."""
    logits = as_logits(rankings)
    members = []
    for member in logits:
        members.append(LinearClassifier(FOUR, member.T.clone(), torch.zeros(4)))
    return Ensemble(members, FOUR, **options), torch.eye(len(rankings)).view(-1, 1, 1, len(rankings))


def tiny(count: int = 3, **options: Any) -> Ensemble:
    torch.manual_seed(0)
    members = [TinyClassifier(size=4 + number) for number in range(count)]
    for member in members:
        nn.init.normal_(member.classify.weight, std=3)
    return Ensemble(members, DESCRIPTION, **options).eval()


def images(count: int = 40) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class TestEnsemble:
    @pytest.mark.parametrize(("boosted", "ties"), RULES)
    def test_the_largest_logit_is_the_vote_in_every_case(self, boosted: bool, ties: Ties) -> None:
        ensemble, shown = stated(RANKINGS, boosted=boosted, ties=ties)
        expected = vote(as_logits(RANKINGS), boosted=boosted, candidates=2, ties=ties)
        answers = ensemble.answers(shown)
        assert torch.equal(answers.classes, expected.winners)
        assert answers.failed is not None
        assert torch.equal(answers.failed, expected.failed)
        assert answers.votes is not None
        assert answers.votes.tolist() == [[first for first, _ in members] for members in RANKINGS]
        assert torch.equal(answers.logits, ensemble(shown))
        plain = log_mean_softmax(as_logits(RANKINGS))
        answered = expected.winners != REFUSED
        assert torch.equal(ensemble(shown).argmax(dim=1)[answered], expected.winners[answered])
        assert torch.equal(ensemble(shown)[~answered], plain[~answered])
        overruled = answered & (plain.argmax(dim=1) != expected.winners)
        assert bool(overruled.any())
        assert torch.equal(ensemble(shown)[~overruled], plain[~overruled])

    def test_only_the_elected_logit_is_lifted_and_hardly_above_the_largest(self) -> None:
        # One member is sure of 0; two prefer 1 a little.
        shown = torch.tensor([[1.0, 0.9, 0, 0]]).view(1, 1, 1, 4)
        sure, others = [9.0, 1, 1, 1], [1.0, 1.3, 1, 1]
        ensemble = Ensemble([linear(sure), linear(others), linear(others)], FOUR)
        plain = Ensemble([linear(sure), linear(others), linear(others)], FOUR, rule="mean")(shown)
        assert plain.argmax() == 0
        logits = ensemble(shown)
        assert logits.argmax() == 1
        assert torch.equal(logits[:, [0, 2, 3]], plain[:, [0, 2, 3]])
        assert 0 < (logits[0, 1] - logits[0, 0]).item() < 1e-4

    def test_it_wins_by_the_lift_however_sure_the_others_are(self) -> None:
        shown = torch.tensor([[1.0, 0.9, 0, 0]]).view(1, 1, 1, 4)
        for scale in (1.0, 30.0, 1e3, 1e5):
            members = [linear([scale, 0, 0, 0]), linear([1.0, 1.3, 1, 1]), linear([1.0, 1.3, 1, 1])]
            assert Ensemble(members, FOUR)(shown).argmax() == 1
            flat = [linear([scale, -scale, 0, 0]), linear([0, 1e-3, 0, 0]), linear([0, 1e-3, 0, 0])]
            assert Ensemble(flat, FOUR)(shown).argmax() == 1

    def test_mean_is_of_probabilities_and_the_logits_are_its_logarithm(self) -> None:
        ensemble = tiny(rule="mean")
        shown = images()
        stacked = np.stack([member(shown).detach().double().numpy() for member in ensemble.members])
        chances = np.exp(stacked - stacked.max(axis=2, keepdims=True))
        chances = (chances / chances.sum(axis=2, keepdims=True)).mean(axis=0)
        np.testing.assert_allclose(ensemble(shown).detach().exp(), chances, rtol=1e-4, atol=1e-7)
        answers = ensemble.answers(shown)
        assert answers.classes.tolist() == chances.argmax(axis=1).tolist()
        assert answers.votes is None
        assert answers.failed is None

    def test_a_sure_and_wrong_member_keeps_finite_logits(self) -> None:
        logits = log_mean_softmax(torch.tensor([[[2e4, 0.0, -2e4]], [[0.0, 2e4, 0.0]]]))
        assert bool(torch.isfinite(logits).all())
        torch.testing.assert_close(logits[0, :2].exp(), torch.tensor([0.5, 0.5]))

    def test_every_logit_s_gradient_is_that_of_log_mean_softmax(self) -> None:
        voting, mean = tiny(boosted=True), tiny(rule="mean")
        shown = images()
        moved = voting(shown).argmax(dim=1) != mean(shown).argmax(dim=1)
        assert bool(moved.any())
        for column in range(3):
            gradients = []
            for ensemble in (voting, mean):
                leaf = shown.clone().requires_grad_(True)
                gradients.append(torch.autograd.grad(ensemble(leaf)[:, column].sum(), leaf)[0])
            assert torch.equal(*gradients)
            assert bool((gradients[0].flatten(1) != 0).any(dim=1).all())

    @pytest.mark.parametrize("rule", ["vote", "mean"])
    def test_features_are_each_member_s_and_their_last_ones_joined(self, rule: str) -> None:
        ensemble = tiny(rule=rule)
        _, features = ensemble.logits_and_features(images(5))
        names = ["layer3", "layer4", "layer5"]
        assert list(features) == [
            *(f"member{number}.{name}" for number in (1, 2, 3) for name in names),
            "penultimate",
        ]
        assert {name: tuple(value.shape[1:]) for name, value in features.items()} == ensemble.feature_shapes
        assert ensemble.feature_shapes["penultimate"] == (4 + 5 + 6,)
        last = []
        for number, member in enumerate(ensemble.members, start=1):
            assert isinstance(member, Classifier)
            own = member.features(images(5))
            for name in names:
                assert torch.equal(features[f"member{number}.{name}"], own[name])
            last.append(own["layer5"])
        assert torch.equal(features["penultimate"], torch.cat(last, dim=1))
        assert torch.equal(features["penultimate"], ensemble.answers(images(5)).features["penultimate"])

    def test_members_logits_are_the_members_in_their_order(self) -> None:
        ensemble = tiny()
        found = ensemble.member_logits(images(5))
        assert found.shape == (3, 5, 3)
        for member, logits in zip(ensemble.members, found, strict=True):
            assert torch.equal(member(images(5)), logits)

    def test_half_precision_is_joined_in_single(self) -> None:
        ensemble = tiny()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert ensemble.member_logits(images(2)).dtype == torch.float32
            assert ensemble(images(2)).dtype == torch.float32

    def test_answers_do_not_depend_on_the_batch(self) -> None:
        ensemble = tiny(boosted=True)
        whole, part = ensemble.answers(images()), ensemble.answers(images()[7:9])
        assert torch.equal(whole.classes[7:9], part.classes)
        torch.testing.assert_close(whole.logits[7:9], part.logits)

    def test_it_is_stored_with_its_members(self) -> None:
        one, other = tiny(), Ensemble([TinyClassifier(size=4 + number) for number in range(3)], DESCRIPTION)
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(images()), other.eval()(images()))

    @pytest.mark.parametrize(
        ("members", "options", "message"),
        [
            (1, {}, "at least two members; it has 1"),
            (3, {"boosted": True, "candidates": 3}, "candidates is 3 of 3 classes"),
        ],
    )
    def test_what_cannot_be_joined_is_refused(
        self, members: int, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(StudyError, match=message):
            Ensemble([TinyClassifier() for _ in range(members)], DESCRIPTION, **options)

    def test_members_of_other_classes_are_refused(self) -> None:
        with pytest.raises(StudyError, match="member 2 of an ensemble knows 4 classes; the data have 3"):
            Ensemble([TinyClassifier(), linear([1.0, 1, 1, 1])], DESCRIPTION)


class TestLostVote:
    """The surrogate of the vote that an attacker climbs."""

    @pytest.mark.parametrize("ties", ["main", "error"])
    @pytest.mark.parametrize("label", range(4))
    def test_of_a_plain_vote_it_is_high_exactly_where_the_answer_is_wrong(
        self, ties: Ties, label: int
    ) -> None:
        logits = as_logits(RANKINGS)
        labels = torch.full((len(RANKINGS),), label)
        loss = lost_vote(1e4 * logits, labels, boosted=False, candidates=2, ties=ties)
        wrong = vote(logits, boosted=False, candidates=2, ties=ties).winners != label
        assert torch.equal(loss > -1, wrong)
        assert bool((loss[~wrong] < -50).all())

    @pytest.mark.parametrize("ties", ["main", "error"])
    @pytest.mark.parametrize("label", range(4))
    def test_of_a_boosted_vote_it_is_high_only_where_the_answer_is_wrong(
        self, ties: Ties, label: int
    ) -> None:
        # The third and fourth choice tie, which the surrogate of two candidates must not care about.
        logits = as_logits(RANKINGS)
        labels = torch.full((len(RANKINGS),), label)
        loss = lost_vote(1e4 * logits, labels, boosted=True, candidates=2, ties=ties)
        wrong = vote(logits, boosted=True, candidates=2, ties=ties).winners != label
        assert bool(wrong[loss > -1].all())
        assert int((loss > -1).sum()) > 0.8 * int(wrong.sum())
        plain = vote(logits, boosted=False, candidates=2, ties=ties)
        assert bool((loss > -1)[wrong & ~plain.failed].all())

    @pytest.mark.parametrize("count", [1, 2, 4, 5])
    @pytest.mark.parametrize("ties", ["main", "error"])
    def test_of_any_number_of_members_it_is_high_only_where_the_answer_is_wrong(
        self, count: int, ties: Ties
    ) -> None:
        generator = torch.Generator().manual_seed(count)
        logits = torch.stack([torch.randperm(4, generator=generator) for _ in range(count * 500)])
        logits = logits.view(count, 500, 4).float()
        labels = torch.arange(500) % 4
        loss = lost_vote(1e4 * logits, labels, boosted=False, candidates=2, ties=ties)
        wrong = vote(logits, boosted=False, candidates=2, ties=ties).winners != labels
        assert bool(wrong[loss > -1].all())
        assert bool((loss > -1)[wrong].float().mean() > 0.9)

    def test_value_by_hand(self) -> None:
        logits = torch.tensor([[2.0, 1.0, 0.0], [0.5, 0.0, 1.0], [3.0, 0.0, 2.0]]).unsqueeze(1)

        def sigmoid(value: float) -> float:
            return float(1 / (1 + np.exp(-value)))

        # Margins of class 1: -1, -1, -3; of class 2: -2, 0.5, -1. The two largest make a majority.
        first = sigmoid(-1) * sigmoid(-1) + sigmoid(0.5) * sigmoid(-1)
        # Margins of losing the label 0 to any class: -1, 0.5, -1.
        main, error = sigmoid(-1) * sigmoid(0.5), sigmoid(0.5) * sigmoid(-1)
        # Of its not being among the first two: the second largest other is 0, 0, 0.
        outside = sigmoid(-2) * sigmoid(-0.5)
        labels = torch.tensor([0])
        cases: list[tuple[bool, Ties, float]] = [
            (False, "main", main),
            (False, "error", error),
            (True, "main", outside),
            (True, "error", outside),
        ]
        for boosted, ties, prevented in cases:
            found = lost_vote(logits, labels, boosted=boosted, candidates=2, ties=ties)
            assert float(found) == pytest.approx(np.log(first + prevented), rel=1e-5)

    def test_failure_needs_the_first_member_only_where_its_class_is_answered(self) -> None:
        # Members 2 and 3 are wrong, and about different classes; the first is right and cannot be moved.
        logits = 1e4 * as_logits([((0, 1), (1, 0), (2, 0))])
        label = torch.tensor([0])
        assert float(lost_vote(logits, label, boosted=False, candidates=2, ties="main")) < -50
        assert float(lost_vote(logits, label, boosted=False, candidates=2, ties="error")) > -1

    def test_its_gradient_goes_to_the_members_that_are_nearest_to_losing(self) -> None:
        # The first member is lost already, the second nearly; the third is far off and not needed.
        logits = torch.tensor([[0.0, 9.0, 0.0], [1.0, 0.0, -9.0], [20.0, 0.0, -9.0]]).unsqueeze(1)
        logits.requires_grad_(True)
        loss = lost_vote(logits, torch.tensor([0]), boosted=False, candidates=2, ties="main")
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        first, second, third = gradient[:, 0]
        assert second[0] < -0.5 < 0.5 < second[1]
        assert float(first.abs().max()) < 1e-2
        assert float(third.abs().max()) < 1e-3
        # A mean of cross-entropies goes on with the third.
        mean = nn.functional.cross_entropy(logits[2].detach(), torch.tensor([0]))
        assert float(mean) < 1e-6


class TestViews:
    def defense(self, **options: Any) -> VotingDefense[VotingSettings]:
        return VotingDefense(VotingSettings(**options))

    def test_mean_logits_is_the_cross_entropy_of_the_mean(self) -> None:
        ensemble, shown = tiny(), images()
        labels = torch.arange(40) % 3
        mean = np.mean([member(shown).detach().double().numpy() for member in ensemble.members], axis=0)
        expected = np.log(np.exp(mean).sum(axis=1)) - mean[range(40), labels.numpy()]
        np.testing.assert_allclose(mean_logits_loss(ensemble)(shown, labels).detach(), expected, rtol=1e-4)
        view = self.defense().attack_losses(self.defense().build(ensemble, DESCRIPTION))["mean_logits"]
        assert torch.equal(view(shown, labels), mean_logits_loss(ensemble)(shown, labels))

    def test_an_image_s_loss_is_its_own(self) -> None:
        defense = self.defense()
        trainee = defense.build(tiny(), DESCRIPTION)
        labels = torch.arange(40) % 3
        for view in defense.attack_losses(trainee).values():
            torch.testing.assert_close(view(images(), labels)[3:5], view(images()[3:5], labels[3:5]))
