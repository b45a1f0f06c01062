"""Who meets whose images under a threat."""

from __future__ import annotations

from collections.abc import Iterator

from reproof.settings.source_names import MEMBER, parts
from reproof.study.model import Study, ThreatSettings


def meetings(study: Study, threat: ThreatSettings) -> Iterator[tuple[str, str]]:
    """Yield each target of a threat with what the images were made on: itself (empty), `member`, or other models."""
    suite, models = study.suites[threat.suite], study.models
    for name, target in models.items():
        if threat.targets is not None and name not in threat.targets:
            continue
        if name in threat.exclude or threat.dataset not in (None, target.dataset):
            continue
        if not target.members and (threat.source == MEMBER or suite.members == "aggregated"):
            continue
        if threat.others:
            for source in threat.makers(name):
                if models[parts(source)[0]].dataset == target.dataset:
                    yield name, source
        elif threat.source == MEMBER or suite.view in ("logits", *target.attack_losses):
            yield name, threat.source or ""
