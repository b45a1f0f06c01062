from __future__ import annotations

from reproof.defenses.undefended import Settings, Undefended


def test_undefended_trains_on_clean_images() -> None:
    defense = Undefended(Settings())
    assert defense.adversarial_training() is None
    assert defense.settings.trains_on == "clean"
