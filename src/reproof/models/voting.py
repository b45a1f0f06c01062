"""Several networks that answer as one: by a majority vote (Mirzaeian, DKD, Sec. 3.1), or by their mean.

A strict majority elects: more than half of all members, so two of three, and three of four. A vote cannot be
differentiated. The logits of an ensemble are therefore the logarithm of the members' mean softmax, whose largest
is made to be the vote's answer, and an attacker has surrogates of the vote's loss to maximise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import StudyError
from reproof.models.attack_loss import AttackLoss, on_logits
from reproof.models.classifier import REFUSED, Answers, Classifier
from reproof.models.defense import Defense, Trainee
from reproof.settings.defense import VotingSettings

Ties = Literal["main", "error"]
V = TypeVar("V", bound=VotingSettings)

_LIFT = 1e-5
"""How far the elected class's logit is put above the largest. Of log mean softmax that one lies between -log K
and 0, where float32 tells numbers apart that differ by so much."""


@dataclass(frozen=True)
class Vote:
    """What members have decided of each image."""

    winners: Tensor
    """int64 (N,): the class elected; where the vote failed, the first member's or REFUSED."""
    failed: Tensor
    """bool (N,): no class was elected."""


def vote(logits: Tensor, *, boosted: bool, candidates: int, ties: Ties) -> Vote:
    """Return the majority of the members' first choices. logits: (M, N, K).

    A class is elected by more than half of all M members. Where none is and the vote is boosted, each member
    names its first `candidates` classes; elected is the class that more than half of the members name, if no
    other is named as often. Where still none is, the vote has failed: the answer is the first member's class
    (ties: main) or REFUSED (error). Of equal logits the lowest class comes first.
    """
    ranked = _ranked(logits.detach(), candidates if boosted else 1)
    winners, elected = _elect(ranked[:, :, :1], logits.shape[2])
    if boosted:
        named, found = _elect(ranked, logits.shape[2])
        winners = torch.where(elected, winners, named)
        elected = elected | found
    otherwise = ranked[0, :, 0] if ties == "main" else torch.full_like(winners, REFUSED)
    return Vote(torch.where(elected, winners, otherwise), ~elected)


def _ranked(logits: Tensor, count: int) -> Tensor:
    """Return each member's first `count` classes, (M, N, count), best first."""
    return logits.argsort(dim=-1, descending=True, stable=True)[..., :count]


def _elect(named: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the class (N,) that most members name, and whether more than half do and it is the only one (N,).

    named: (M, N, n) classes, each once per member and image.
    """
    counts = nn.functional.one_hot(named, classes).sum(dim=(0, 2))
    most, winners = counts.max(dim=1)
    alone = (counts == most.unsqueeze(1)).sum(dim=1) == 1
    return winners, alone & (2 * most > len(named))


class Ensemble(Classifier):
    """Members of one study as one classifier; StudyError where they cannot be joined.

    rule: `vote` decides by `vote` above, `mean` by the largest mean probability. Features: each member's under
    `member1.` and so on, and `penultimate`, which joins the members' last ones (N, sum of D).
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        data: DataDescription,
        *,
        rule: Literal["vote", "mean"] = "vote",
        boosted: bool = False,
        candidates: int = 2,
        ties: Ties = "main",
    ):
        super().__init__(data)
        if len(members) < 2:
            raise StudyError(f"an ensemble needs at least two members; it has {len(members)}")
        for number, member in enumerate(members, start=1):
            if member.classes != data.classes:
                raise StudyError(
                    f"member {number} of an ensemble knows {member.classes} classes; the data have {data.classes}"
                )
        if boosted and candidates >= data.classes:
            raise StudyError(
                f"candidates is {candidates} of {data.classes} classes; a boosted vote in which every class is "
                "named elects none. Lower it"
            )
        self.members = nn.ModuleList(members)
        self.rule = rule
        self.boosted = boosted
        self.candidates = candidates
        self.ties: Ties = ties
        shapes = [member.feature_shapes for member in members]
        self.feature_shapes = {
            f"member{number}.{name}": shape
            for number, named in enumerate(shapes, start=1)
            for name, shape in named.items()
        }
        joined = sum(math.prod(named[next(reversed(named))]) for named in shapes)
        self.feature_shapes["penultimate"] = (joined,)

    def member_logits(self, images: Tensor) -> Tensor:
        """Return every member's logits (M, N, K), in float32."""
        return self._pass(images)[0]

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return log mean softmax (N, K) in float32, its largest being the answer, and all members' features.

        Where a vote elects a class that has not the largest mean probability, this class's logit is lifted by
        a constant: each logit's gradient is that of log mean softmax everywhere. A refused image's stay.
        """
        members, features = self._pass(images)
        return self._logits(members, self._vote(members) if self.rule == "vote" else None), features

    def answers(self, images: Tensor) -> Answers:
        """Return the decisions; of a vote, with every member's class and whether no class was elected."""
        members, features = self._pass(images)
        if self.rule == "mean":
            logits = self._logits(members, None)
            return Answers(logits.argmax(dim=1), features, logits)
        decided = self._vote(members)
        votes = _ranked(members.detach(), 1)[:, :, 0].T
        return Answers(decided.winners, features, self._logits(members, decided), votes, decided.failed)

    def _pass(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits, features, last = [], {}, []
        for number, member in enumerate(self.members, start=1):
            assert isinstance(member, Classifier)
            outputs, named = member.logits_and_features(images)
            logits.append(outputs.float())
            features.update({f"member{number}.{name}": named[name] for name in member.feature_shapes})
            last.append(named[next(reversed(member.feature_shapes))].flatten(1))
        features["penultimate"] = torch.cat(last, dim=1)
        return torch.stack(logits), features

    def _vote(self, logits: Tensor) -> Vote:
        return vote(logits, boosted=self.boosted, candidates=self.candidates, ties=self.ties)

    def _logits(self, members: Tensor, decided: Vote | None) -> Tensor:
        logits = log_mean_softmax(members)
        if decided is None:
            return logits
        answered = decided.winners != REFUSED
        winners = torch.where(answered, decided.winners, 0).unsqueeze(1)
        values = logits.detach()
        largest, classes = values.max(dim=1, keepdim=True)
        lifted = answered.unsqueeze(1) & (classes != winners)
        lifted = lifted & torch.zeros_like(values, dtype=torch.bool).scatter(1, winners, True)
        # The difference is exactly zero and carries the gradient.
        return torch.where(lifted, largest + _LIFT + (logits - values), logits)


def log_mean_softmax(logits: Tensor) -> Tensor:
    """Return the logarithm (N, K) of the members' mean probabilities. logits: (M, N, K)."""
    return logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))


def member_logits(classifier: Classifier, images: Tensor) -> Tensor:
    """Return the members' logits (M, N, K) in float32; a network that is no ensemble is its own only member."""
    if isinstance(classifier, Ensemble):
        return classifier.member_logits(images)
    logits: Tensor = classifier(images)
    return logits.float().unsqueeze(0)


def mean_logits_loss(classifier: Classifier) -> AttackLoss:
    """Return the attack loss on the mean of the members' logits (N, K)."""
    return on_logits(lambda images: member_logits(classifier, images).mean(dim=0))


def elected_scores(logits: Tensor) -> Tensor:
    """Return how near each class is to a majority of first choices (N, K), at most 0. logits: (M, N, K).

    A member's vote for a class becomes the logarithm of the sigmoid of the class's margin over all others; the score
    is the sum over the members that are nearest to it, as many as elect.
    """
    two, order = logits.topk(2, dim=2)
    is_first = nn.functional.one_hot(order[:, :, 0], logits.shape[2]).bool()
    first = nn.functional.logsigmoid(logits - torch.where(is_first, two[:, :, 1:], two[:, :, :1]))
    return first.topk(len(logits) // 2 + 1, dim=0).values.sum(dim=0)


def lost_vote(logits: Tensor, labels: Tensor, *, boosted: bool, candidates: int, ties: Ties) -> Tensor:
    """Return a smooth loss (N,) that is high where the vote answers wrongly. logits: (M, N, K).

    A member's vote becomes the sigmoid of its margin, as if it were a probability. There are as many ways to a
    wrong answer as there are wrong classes, and one more: a majority, the members with the largest margins, has
    that class first; or so many do not name the label that it has no majority, the first member, whose class is
    answered then, being among them (with ties: error, any). To name is to have among the first `candidates` of a
    boosted vote, and first in a plain one. The loss is the logarithm of the sum over the ways of the product of
    their sigmoids: a member that is already won over gains nothing more, and those that are nearest come next.
    A mean over all members would go on with those that the vote does not need. With three members and a plain
    vote there is no other way; a boosted vote can also elect a wrong class by second choices.
    """
    count, _, classes = logits.shape
    is_label = nn.functional.one_hot(labels, classes).bool()
    elected = elected_scores(logits).masked_fill(is_label, -math.inf)

    named = min(candidates, classes - 1) if boosted else 1
    others = logits.masked_fill(is_label, -math.inf).topk(named, dim=2).values[:, :, -1]
    own = logits.gather(2, labels.expand(count, -1).unsqueeze(2)).squeeze(2)
    unnamed = nn.functional.logsigmoid(others - own)
    needed = count - count // 2
    if ties == "main":
        prevented = unnamed[0] + unnamed[1:].topk(needed - 1, dim=0).values.sum(dim=0)
    else:
        prevented = unnamed.topk(needed, dim=0).values.sum(dim=0)
    return torch.cat([elected, prevented.unsqueeze(1)], dim=1).logsumexp(dim=1)


class VotingDefense(Defense[V]):
    """A method whose networks are trained one by one and then vote; training one is by cross-entropy here."""

    def join(self, members: Sequence[Classifier], data: DataDescription) -> Classifier:
        """Return the members as one Ensemble that votes as the settings say."""
        settings = self.settings
        return Ensemble(
            members,
            data,
            boosted=settings.boosted,
            candidates=settings.candidates,
            ties=settings.ties,
        )

    def attack_losses(self, trainee: Trainee) -> dict[str, AttackLoss]:
        """Return `mean_logits` and `votes`; plain cross-entropy already is that of the mean softmax.

        A network alone has the same attack losses, as an ensemble of one. Another form of `votes` is taken of how
        near each class is to a majority (elected_scores).
        """
        settings = self.settings

        def elected(images: Tensor, labels: Tensor) -> tuple[Tensor, None]:
            return elected_scores(member_logits(trainee.classifier, images)), None

        def votes(images: Tensor, labels: Tensor) -> Tensor:
            return lost_vote(
                member_logits(trainee.classifier, images),
                labels,
                boosted=settings.boosted,
                candidates=settings.candidates,
                ties=settings.ties,
            )

        return {"mean_logits": mean_logits_loss(trainee.classifier), "votes": AttackLoss(elected, votes)}
