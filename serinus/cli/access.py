"""``serinus access``: who may do what, whose word is asked for, and roles lent for a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import click
import msgspec
import typer
import yaml
from rich.table import Table

from serinus.access import Access, Ruling
from serinus.access.actions import ACTIONS, APPROVING
from serinus.access.kubernetes import bindings, cluster_roles
from serinus.access.roles import Delegation, known_roles, members, permitted
from serinus.access.types import AccessPolicy
from serinus.cli.options import AsOption, HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home, existing_home
from serinus.identity import current_identity
from serinus.registry import Registry, Version
from serinus.registry.policy import check_approval
from serinus.registry.reviews import moment

PolicyOption = Annotated[
    Path | None,
    typer.Option(
        help="Try this policy instead of the one in force ($SERINUS_POLICY, else <home>/policy.yaml, else built in)."
    ),
]
RoleOption = Annotated[str | None, typer.Option(help="The role in which they would act.")]


def access_app() -> typer.Typer:
    """The commands."""
    app = group(
        "Who may do what. The policy in force is $SERINUS_POLICY, else <home>/policy.yaml, else the built-in one."
    )
    app.command()(check)
    app.command()(show)
    app.command()(explain)
    app.command()(delegate)
    app.command()(delegations)
    app.command()(revoke)
    app.command()(rbac)
    return app


def check(
    who: Annotated[str, typer.Argument(help="A person's name, as in --as.")],
    action: Annotated[str, typer.Argument(help="One of those that serinus access show lists.")],
    subject: Annotated[
        str | None,
        typer.Option(help="MODEL/VERSION: for an approval, whether it would be of their own work too."),
    ] = None,
    role: RoleOption = None,
    policy: PolicyOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Say whether WHO may do ACTION now. Exit code 0 if they may, 1 if not; nothing is recorded."""
    _known(action)
    installation = existing_home(home, needed=False)
    access = Access(installation, policy)
    version = _version(installation, subject) if subject is not None and action in APPROVING else None
    ruling = access.may(who, action, role=role, own=() if version is None else {version.built_by})
    own = None if version is None else _own_work(version, ruling, who)
    allowed = ruling.allowed and own is None
    why = own or ruling.why
    if output is Output.json:
        result = {"allowed": allowed, "who": who, "action": action, "subject": subject, "why": why}
        print_json({**result, "right": ruling.right, "needed": ruling.needed, "policy": access.place()})
    else:
        typer.echo(f"{'yes' if allowed else 'no'}: {why}")
        if not ruling.allowed and ruling.needed:
            typer.echo(f"It takes the role {' or '.join(ruling.needed)}.")
    if not allowed:
        raise typer.Exit(1)


def show(policy: PolicyOption = None, home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """Show the policy in force: roles, who has them, what they may do, and what each tier asks for."""
    access = Access(existing_home(home, needed=False), policy)
    found, place = access.policy(), access.place()
    roles = {
        role: {"members": members(found, role), "may": permitted(found, role)} for role in known_roles(found)
    }
    lent = [given for given in access.book.delegations() if given.holds(access.now())]
    if output is Output.json:
        print_json(
            {
                "policy": place,
                "roles": roles,
                "approvals": found.approvals,
                "delegation": found.delegation,
                "override": found.override,
                "delegations": lent,
                "actions": ACTIONS,
            }
        )
        return
    typer.echo(f"Access policy: {place}")
    if place == "built in":
        typer.echo(
            "Everybody has every role; nobody approves their own work. Write a policy.yaml to change that."
        )
    typer.echo("")
    table = Table("role", "who", "may", box=None)
    for role, facts in roles.items():
        who = ", ".join("everybody" if entry == "*" else entry for entry in facts["members"])
        table.add_row(role, who or "nobody", ", ".join(facts["may"]))
    print_table(table)
    typer.echo("")
    for line in _asked(found):
        typer.echo(line)
    for given in lent:
        typer.echo(f"{given.to} has {given.role}, lent by {given.by} until {_when(given.until)} ({given.id})")
    typer.echo("")
    table = Table("action", "what it is", box=None)
    for action, what in ACTIONS.items():
        table.add_row(action, what)
    print_table(table)


def explain(
    action: Annotated[str, typer.Argument(help="One of those that serinus access show lists.")],
    policy: PolicyOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Explain an action: what it is, which roles may do it, who has those, and who is lent them now."""
    _known(action)
    access = Access(existing_home(home, needed=False), policy)
    found = access.policy()
    roles = {r: members(found, r) for r in known_roles(found) if action in permitted(found, r)}
    lent = [d for d in access.book.delegations() if d.role in roles and d.holds(access.now())]
    if output is Output.json:
        print_json({"action": action, "what": ACTIONS[action], "roles": roles, "delegations": lent})
        return
    typer.echo(f"{action}: {ACTIONS[action]}")
    for role, who in roles.items():
        people = ", ".join(
            f"{entry} ({', '.join(found.groups[entry[6:]])})" if entry.startswith("group:") else entry
            for entry in who
        )
        typer.echo(f"  {role}: {people.replace('*', 'everybody') or 'nobody'}")
    for given in lent:
        typer.echo(f"  {given.role}: {given.to}, lent by {given.by} until {_when(given.until)}")
    if action in APPROVING:
        typer.echo(
            "Never for what one built, or for a rollout that one started; neither through somebody else."
        )
        for line in _asked(found):
            typer.echo(line)


def delegate(
    role: Annotated[str, typer.Argument(help="A role that is yours in your own right.")],
    to: Annotated[str, typer.Argument(help="Who shall have it meanwhile.")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    until: Annotated[
        str,
        typer.Option(
            help="Its end: 2026-12-24T18:00 (UTC, or with a zone: +01:00), or so long from its beginning: 7d."
        ),
    ],
    since: Annotated[
        str, typer.Option("--from", help="Its beginning, as a time (UTC, or with a zone; default: now).")
    ] = "",
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Lend a role to somebody for a time. They speak with your voice: what you may not approve they may not
    either, and the two of you are one person where several are asked for. It cannot be lent on.
    """
    access = Access(existing_home(home))
    begin = _time(since, "--from", access.now()) if since else access.now()
    given = access.delegate(
        role=role,
        by=current_identity(acting),
        to=to,
        since=begin,
        until=_time(until, "--until", begin),
        reason=reason,
    )
    if output is Output.json:
        print_json(given)
    else:
        typer.echo(f"{given.id}: {to} has the role {role} from {_when(begin)} until {_when(given.until)}")


def delegations(
    every: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List roles that are lent, or will be."""
    access = Access(existing_home(home))
    now = access.now()
    found = [d for d in access.book.delegations() if every or (d.ended is None and d.until > now)]
    if output is Output.json:
        print_json([{**msgspec.to_builtins(d), "state": _state(d, now)} for d in found])
        return
    if not found:
        typer.echo("No role is lent." if not every else "No role was ever lent.")
        return
    table = Table("id", "role", "by", "to", "from", "until", "state", "reason", box=None)
    for d in found:
        table.add_row(d.id, d.role, d.by, d.to, _when(d.since), _when(d.until), _state(d, now), d.reason)
    print_table(table)


def revoke(
    delegation: Annotated[str, typer.Argument(help="Its id, as serinus access delegations lists it.")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """End a delegation now. Whoever lent the role may, and whoever has it lent."""
    found = Access(existing_home(home)).take_back(delegation, by=current_identity(acting), reason=reason)
    if output is Output.json:
        print_json(found)
        return
    typer.echo(f"{found.to} no longer has {found.role} from {found.by}.")


def rbac(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where people act: of the RoleBindings.")
    ],
    prefix: Annotated[
        str, typer.Option(help="The chart's release; its ClusterRoles begin with it.")
    ] = "serinus",
    policy: PolicyOption = None,
    home: HomeOption = None,
) -> None:
    """Print the policy as RBAC: a ClusterRole for each role, and RoleBindings for who has it. YAML for kubectl apply.

    Names and groups must be those that the cluster's authenticator gives. Lent roles are left out, since
    RBAC knows no end.
    """
    found = Access(existing_home(home, needed=False), policy).policy()
    documents = [*cluster_roles(found, prefix), *bindings(found, prefix, namespace)]
    typer.echo(yaml.safe_dump_all(documents, sort_keys=False), nl=False)


def _version(home: Home, subject: str) -> Version:
    model, _, number = subject.rpartition("/")
    if not (model and number):
        raise click.UsageError(f"--subject {subject} is not MODEL/VERSION")
    return Registry(home).get(model, number)


def _own_work(version: Version, ruling: Ruling, who: str) -> str | None:
    """Why an approval of the version would be refused although the role allows it, or None."""
    if ruling.right is None:
        return None
    subject = f"{version.model}/{version.version}"
    for person in (who, ruling.right.on_behalf_of):
        try:
            check_approval(
                subject, built_by=version.built_by, started_by=None, by=person, reason="a question"
            )
        except SerinusError as error:
            return error.what
    return None


def _known(action: str) -> None:
    if action not in ACTIONS:
        raise click.UsageError(f"{action} is no action; known are {', '.join(ACTIONS)}")


def _asked(policy: AccessPolicy) -> list[str]:
    lines: list[str] = []
    for tier, asked in sorted(policy.approvals.items()):
        words = [f"one {role}" for role in asked.roles]
        if asked.people > len(asked.roles):
            more = asked.people - len(asked.roles)
            words.append(f"{more} {'other ' if words else ''}{'person' if more == 1 else 'people'}")
        name = "No tier" if tier == "none" else f"Tier {tier}"
        said = " and ".join(words) or "no word beyond what a rollout's steps ask for"
        lines.append(f"{name}: {said}{f'; a word holds for {asked.expire}' if asked.expire else ''}")
    override = policy.override
    lines.append(f"Override: one {override.role} with a justification; it holds for {override.lasts}")
    return lines


def _state(given: Delegation, now: float) -> str:
    if given.ended is not None:
        return "taken back"
    return "in force" if given.holds(now) else "to come" if now < given.since else "over"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


def _time(text: str, flag: str, begin: float) -> float:
    """Unix seconds of an ISO 8601 time (UTC, if it names no zone), or of a duration from ``begin``."""
    try:
        return begin + parse_duration(text)
    except ValueError:
        pass
    try:
        return moment(text).timestamp()
    except ValueError:
        raise click.UsageError(
            f"{flag} {text} is neither a time (2026-12-24T18:00) nor a duration (7d)"
        ) from None
