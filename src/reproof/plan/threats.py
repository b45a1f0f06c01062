"""Who attacks whom. One relation explains every experiment: a suite of attacks is made on a source; a threat shows it
to a target. White-box and adaptive threats have source = target.
"""

from __future__ import annotations

import functools

from reproof.plan.once import once
from reproof.settings.source_names import AGGREGATED, JOINT, MEMBER, parts
from reproof.study.model import Choice, Study, ThreatSettings


class Threats:
    """Who attacks whom in a study. A source is a model, or several joined by `+`, on which a suite is made together."""

    def __init__(self, study: Study):
        self.study = study

    def attacks_on(self, source: str, suite: str) -> dict[str, Choice]:
        """Return the suite's attacks; none where the model lacks the attack loss or the members that it asks for."""
        if JOINT in source:
            return self.study.suite_attacks[suite]
        chosen, model = self.study.suites[suite], self.study.models[source]
        if chosen.view not in ("logits", *model.attack_losses):
            return {}
        if chosen.members == "aggregated" and not model.members:
            return {}
        return self.study.suite_attacks[suite]

    def transfer_from(self, source: str, suite: str) -> tuple[str, ...]:
        """Return the other models on which a suite's composed attacks make images too, of the source's data set."""
        models, chosen = self.study.models, self.study.suites[suite].transfer_from
        data = models[parts(source)[0]].dataset
        return tuple(name for name in chosen if name not in parts(source) and models[name].dataset == data)

    @once
    def threats_on(self, target: str) -> dict[str, ThreatSettings]:
        """Return the threats that a model stands under."""
        found = {}
        for name, threat in self.study.threats.items():
            named = threat.targets is None or target in threat.targets
            if not named or target in threat.exclude:
                continue
            sources, dataset = self.sources(target, threat), self.study.models[target].dataset
            made_on = {model for source in sources for model in parts(source)}
            if any(self.study.models[model].dataset != dataset for model in made_on):
                continue
            if threat.dataset not in (None, dataset):
                continue
            if any(self.attacks_on(source, threat.suite) for source in sources):
                found[name] = threat
        return found

    def sources(self, target: str, threat: ThreatSettings) -> tuple[str, ...]:
        """Return the sources on which a threat's images for a target are made.

        None where the target is the only source, or is attacked through members and has none.
        """
        if threat.source == MEMBER:
            return self.study.models[target].members
        return threat.makers(target) if threat.others else (target,)

    def source_name(self, source: str, threat: ThreatSettings) -> str:
        """Return what tables call the source of a threat's images."""
        return AGGREGATED if self.study.suites[threat.suite].members == "aggregated" else source

    @functools.cached_property
    def all_sources(self) -> tuple[str, ...]:
        """Return all that a suite may be made on: every model, then the groups attacked together."""
        groups = [JOINT.join(threat.together) for threat in self.study.threats.values() if threat.together]
        return (*self.study.models, *dict.fromkeys(groups))

    def suites_on(self, source: str) -> list[str]:
        """Return the suites that are made on a source, sorted."""
        return sorted(self._suites.get(source, ()))

    @functools.cached_property
    def _suites(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for target in self.study.models:
            for threat in self.threats_on(target).values():
                for source in self.sources(target, threat):
                    found.setdefault(source, set()).add(threat.suite)
        return found

    @once
    def transfers(self, source: str, suite: str) -> bool:
        """Say whether a suite made on a source is shown to other models too."""
        return any(
            threat.suite == suite
            and (source in threat.makers(target="") or (threat.source == MEMBER and source in self._members))
            for threat in self.study.threats.values()
        )

    @functools.cached_property
    def _members(self) -> frozenset[str]:
        return frozenset(name for model in self.study.models.values() for name in model.members)
