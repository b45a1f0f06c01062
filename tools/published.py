"""Write DOI and address into all files that name them, once an archive and a hosting service have given them.

    python tools/published.py --doi 10.5281/zenodo.1234567 --address https://github.com/somebody/reproof
    python tools/published.py    # the places that are still empty; exit status 1 where there are any

Either may come alone, and again: a newer one takes the place of the older. The files are valid before and after.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

PATTERNS = {"doi": r"10\.\d{4,9}/[\w.()/:-]+", "address": r"https://[\w.~:/@-]+"}
EMPTY = "not published yet"
"""What stands in the documents before."""


def citation(text: str, key: str, value: str) -> str:
    """Return CITATION.cff's text with a key as its last line."""
    return re.sub(rf"^{key}: .*\n", "", text, flags=re.MULTILINE) + f"{key}: {value}\n"


def codemeta(text: str, key: str, value: str) -> str:
    """Return codemeta.json's text with a key."""
    return as_json({**json.loads(text), key: value})


def zenodo(text: str, address: str) -> str:
    """Return .zenodo.json's text with the repository as what the archived copy was made of."""
    own = {"identifier": address, "relation": "isSupplementTo", "resource_type": "software", "scheme": "url"}
    told = json.loads(text)
    others = [one for one in told.get("related_identifiers", []) if one["relation"] != own["relation"]]
    return as_json({**told, "related_identifiers": [*others, own]})


def as_json(told: object) -> str:
    """Return the layout that both files have."""
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def document(text: str, name: str, value: str) -> str:
    """Return a document's text with a value between the marks of its name."""
    return re.sub(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", rf"\g<1>{value}\g<2>", text)


PLACES: dict[tuple[str, str], tuple[Callable[[str, str], str], str]] = {
    ("CITATION.cff", "doi"): (lambda text, doi: citation(text, "doi", doi), r"^doi: "),
    ("CITATION.cff", "address"): (
        lambda text, address: citation(text, "repository-code", address),
        r"^repository-code: ",
    ),
    ("codemeta.json", "doi"): (
        lambda text, doi: codemeta(text, "identifier", f"https://doi.org/{doi}"),
        r'^ "identifier": ',
    ),
    ("codemeta.json", "address"): (
        lambda text, address: codemeta(text, "codeRepository", address),
        r'^ "codeRepository": ',
    ),
    (".zenodo.json", "address"): (zenodo, r'^   "relation": "isSupplementTo"'),
    **{
        (file, "doi"): (
            lambda text, doi: document(text, "doi", f"https://doi.org/{doi}"),
            r"<!-- doi -->https:",
        )
        for file in ("ARTIFACT.md", "README.md")
    },
    ("README.md", "address"): (
        lambda text, address: document(text, "address", address),
        r"<!-- address -->https:",
    ),
}
"""Of each file and name: how a value gets in, and a sign that there is one. Zenodo gives its file the DOI itself."""


def unfilled(root: Path) -> list[str]:
    """Return the places in a folder's files that nobody has filled in."""
    return [
        f"{file}: {name}"
        for (file, name), (_, sign) in PLACES.items()
        if not re.search(sign, (root / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]


def main() -> int:
    """Fill in what is given, then list what is still empty."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--doi", help="of the archived copy, such as 10.5281/zenodo.1234567")
    parser.add_argument("--address", help="of the repository, https://...")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value}
    for name, value in given.items():
        if not re.fullmatch(PATTERNS[name], value):
            parser.error(f"--{name} {value}: it should look like {PATTERNS[name]}")
    for (file, name), (put, _) in PLACES.items():
        if name in given:
            text = Path(file).read_text(encoding="utf-8")
            Path(file).write_text(put(text, given[name]), encoding="utf-8")
    left = unfilled(Path())
    print("\n".join(f"{place} is {EMPTY}" for place in left) or "all places are filled in")
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main())
