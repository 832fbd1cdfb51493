"""What is installed is locked: every version is exact, every file has its hash, and none names where it is from."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
NAMES = (
    "requirements",
    "requirements-chain",
    "requirements-dev",
    "requirements-bench",
    "requirements-card-server",
    "requirements-proxies",
)


def wanted(name: str) -> list[Requirement]:
    """What a file asks for directly, and the files that it includes."""
    found = []
    for line in (CHECKOUT / f"{name}.in").read_text().splitlines():
        asked = line.partition("#")[0].strip()
        if asked.startswith("-r "):
            found += wanted(asked.removeprefix("-r ").removesuffix(".in"))
        elif asked and not asked.startswith("-c "):
            found.append(Requirement(asked))
    return found


def locked(name: str) -> dict[str, tuple[Requirement, int]]:
    """Each requirement of the locked file by its name, with the number of its hashes."""
    text = (CHECKOUT / f"{name}.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement = Requirement(line.partition(" --hash")[0])
            found[canonicalize_name(requirement.name)] = requirement, line.count("--hash=sha256:")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_is_locked_to_one_version_with_its_hashes(name: str) -> None:
    pins = locked(name)
    for requirement, hashes in pins.values():
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
    for requirement in wanted(name):
        pin, _ = pins[canonicalize_name(requirement.name)]
        (version,) = pin.specifier
        assert version.version in requirement.specifier, f"{requirement}: run `make lock`"


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_an_index(name: str) -> None:
    for suffix in (".in", ".txt"):
        text = (CHECKOUT / f"{name}{suffix}").read_text()
        assert "://" not in text and "index-url" not in text and "find-links" not in text


@pytest.mark.parametrize("name", NAMES[1:3])
def test_the_site_is_tested_in_the_versions_that_it_runs_in(name: str) -> None:
    pins = locked(name)
    for known, (requirement, _) in locked("requirements").items():
        # On which platforms it is needed at all may differ.
        assert pins[known][0].specifier == requirement.specifier, f"{known}: run `make lock`"
