"""Every command, whichever room brings it: it says what it does, and a script can read what it prints."""

from __future__ import annotations

import re

import click
import pytest

from tests.unit.cli.tree import leaves

COMMANDS = dict(leaves())
SAYS_NOTHING_TO_SCRIPTS = {
    "access rbac": "prints YAML for kubectl, which reads JSON and YAML alike",
    "demo": "tells a story for people; what it leaves are a report and JSON files that it names",
    "privacy show": "prints JSON, always: it is handed over as it is",
}
"""Commands without --output, and why."""


def test_there_are_commands_of_every_room() -> None:
    assert {"registry list", "pipeline run", "up", "rollout start", "watch", "demo"} <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_script_can_read_what_it_prints(name: str) -> None:
    formats = [option for option in COMMANDS[name].params if option.name == "output"]
    assert bool(formats) is (name not in SAYS_NOTHING_TO_SCRIPTS)
    for option in formats:
        others = {flag for o in COMMANDS[name].params if o is not option for flag in o.opts}
        assert {"--output", "-o"} - others <= set(option.opts)
        assert isinstance(option.type, click.Choice)
        assert "json" in option.type.choices


def test_the_table_names_no_command_that_is_gone() -> None:
    assert set(SAYS_NOTHING_TO_SCRIPTS) <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_it_says_what_it_does(name: str) -> None:
    command = COMMANDS[name]
    first = (command.help or "").strip().split("\n\n")[0]
    assert len(first) >= 10
    assert first[0].isupper()
    assert first.rstrip().endswith((".", ":")) or "Exit code" in first, "a sentence"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_its_help_names_exists(name: str) -> None:
    """``serinus registry list`` in a help text is a command, and a flag of its example is one that it takes."""
    command = COMMANDS[name]
    said = " ".join(
        " ".join([command.help or "", *[getattr(p, "help", "") or "" for p in command.params]]).split()
    )
    for words in re.findall(r"serinus ((?:[a-z]+ ?){1,2})", said):
        first, _, second = words.strip().partition(" ")
        known = {known.split()[0] for known in COMMANDS}
        if first not in known:
            continue  # prose: "a newer serinus made it"
        group = {known.split()[1] for known in COMMANDS if known.startswith(f"{first} ")}
        assert not second or not group or second in group or first == "lineage", f"serinus {words}"
    own = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
    for example in re.findall(rf"serinus {name} ([^;`]*?)(?= serinus |;|`|\. |$)", said):
        for flag in re.findall(r"(?<!\S)--[a-z0-9-]+", re.split(r"&&|\|", example)[0]):
            assert flag in own | {"--help"}, f"{flag} in: serinus {name} {example}"
