"""What every plug-in says of itself in words, over all files of all folders: a new file is covered by being there."""

from __future__ import annotations

import ast

import pytest

from reproof import registry, wording

PLUGINS = [(family, name) for family in registry.FAMILIES for name in registry.names(family)]


@pytest.mark.parametrize(("family", "name"), PLUGINS, ids=lambda part: str(part))
def test_a_plugin_declares_its_title(family: registry.Family, name: str) -> None:
    """In its own Settings, so that one derived from another is not called like it."""
    tree = ast.parse(registry.require(family, name).read_text(encoding="utf-8"))
    (settings,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    declared = [ast.unparse(node.target) for node in settings.body if isinstance(node, ast.AnnAssign)]
    for word in registry.DECLARED[family]:
        assert word in declared
    title = registry.settings_class(family, name).title
    assert title == title.strip() != ""
    assert "_" not in title


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_titles_and_keys_tell_the_plugins_apart(family: registry.Family) -> None:
    titles = [registry.settings_class(family, name).title for name in registry.names(family)]
    assert len({title.casefold() for title in titles}) == len(titles)
    assert len(set(registry.keys(family))) == len(titles)


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_claims_find_each_plugin_by_its_key(family: registry.Family) -> None:
    words = {"architectures": wording.architecture, "attacks": wording.attack}
    words |= {"datasets": wording.dataset, "defenses": wording.defense}
    for name, key in zip(registry.names(family), registry.keys(family), strict=True):
        title = registry.settings_class(family, name).title
        found = registry.title(family, key)
        assert found is not None
        assert found.startswith(title)
        assert words[family](key) == found
    for strange in ("", "no such thing", "nothing_of_ours", f"{registry.keys(family)[0]}x"):
        assert registry.title(family, strange) is None
