# SPDX-License-Identifier: MIT
"""The programs that call account tools, with what each is made to do, and the run of them in both roots."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from tests.support.overlay import in_child
from tests.support.roots.debian import DebianRoot, Result, Tree, View, debian_root

# Packages whose maintainer scripts create users or groups, as they need each other: PostgreSQL alone takes a while.
FEW_PACKAGES = ("openssh-server", "chrony", "tcpdump")
PACKAGES = (
    *FEW_PACKAGES,
    *("avahi-daemon", "dnsmasq", "dovecot-core", "mariadb-server", "memcached", "mosquitto", "nsd", "plocate"),
    *("postfix", "postgresql", "prometheus-node-exporter", "redis-server", "rpcbind", "stunnel4"),
    *("unbound", "usbmuxd", "vsftpd"),
)
APT = "apt-get -q -y --no-install-recommends --no-download -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io"
# What is worth comparing of what apt prints: the words of the account tools, and complaints.
APT_WORDS = re.compile(r"\b(user|group|usermod|passwd|adduser|addgroup|member|[Ww]arning|[Ee]rror|fail)")

# crypt(3) of "secret" with a salt that tells it from those that the tools made.
PASSWORD_HASH = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
HASH_OF_SECRET = "import crypt, spwd, sys; h = spwd.getspnam(sys.argv[1]).sp_pwdp; print(crypt.crypt('secret', h) == h)"


@dataclass(frozen=True)
class Step:
    """A shell command; whether its output is compared."""

    command: str
    stdin: str = ""
    compared: re.Pattern[str] | None = field(default_factory=lambda: re.compile(""))


@dataclass(frozen=True)
class Client:
    """A program that calls the tools: what is placed in the root for it, and what it runs."""

    name: str
    steps: tuple[Step, ...]
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What one client left in one root."""

    results: list[Result]
    view: View
    tree: Tree
    needless: list[str]
    seconds: float


def _steps(text: str) -> tuple[Step, ...]:
    return tuple(Step(line.strip()) for line in text.strip().splitlines())


ADDUSER = Client(
    "Debian adduser, addgroup, deluser, delgroup",
    (
        *_steps("""
        adduser --disabled-password --gecos 'Alice Doe,1,2,3' alice
        adduser --disabled-password --gecos '' --uid 2000 --shell /bin/bash --home /srv/carol carol
        adduser --disabled-login --gecos '' --ingroup users --no-create-home bob
        adduser --system svc
        adduser --system --group --home /var/lib/svc2 --shell /bin/sh --gecos Service svc2
        adduser --system --ingroup daemon --no-create-home svc3
        addgroup devs
        addgroup --gid 3000 ops
        addgroup --system sysgroup
        adduser alice devs
        adduser alice video
        adduser alice audio
        adduser carol video
        adduser www-data audio
        adduser alice
        adduser alice nosuch
        adduser --system svc
        addgroup devs
        addgroup video
        adduser alice video
        adduser --disabled-password --gecos '' 'Bad:Name'"""),
        Step("env -u SOURCE_DATE_EPOCH adduser --gecos '' dave", "secret\nsecret\n"),
        Step(f'/usr/bin/python3 -Wignore -c "{HASH_OF_SECRET}" dave'),
        *_steps("""
        for user in alice carol www-data; do id -Gn $user | tr " " "\\n" | sort; done
        deluser alice devs
        deluser alice video
        deluser alice video
        deluser www-data audio
        deluser nosuch
        deluser --remove-home carol
        deluser svc
        deluser --system svc2
        delgroup --only-if-empty devs
        delgroup ops
        delgroup nosuch
        deluser --group sysgroup
        deluser bob"""),
    ),
)

# Each line of sysusers.d(5), with groups and users of the image and without.
SYSUSERS = Client(
    "systemd-sysusers",
    _steps("""
    systemd-sysusers
    systemd-sysusers
    getent passwd nodaemon; id worker"""),
    {
        "/usr/lib/sysusers.d/test.conf": """\
u nodaemon - "A daemon" /var/lib/nodaemon /usr/sbin/nologin
u worker 450 "Works" / /bin/sh
g makers -
g makers2 460
u inuse 451:460
u! locked -
m worker makers
m nodaemon makers2
u www-data 33 "again"
g video 44
r - 470-480
u ranged -
"""
    },
)

PLAYS = {
    "play": (
        "group: {name: devs}",
        "group: {name: ops, gid: 3100}",
        "group: {name: sysops, system: yes}",
        "user: {name: erin, comment: Erin, shell: /bin/bash, groups: [devs, video]}",
        f"user: {{name: frank, uid: 2500, group: ops, password: {PASSWORD_HASH}, groups: audio, append: yes}}",
        "user: {name: daemon9, system: yes, create_home: no, home: /nonexistent, shell: /usr/sbin/nologin}",
        "user: {name: www-data, groups: [video, devs], append: yes}",
        "user: {name: backup, comment: Backups, shell: /bin/sh}",
        "user: {name: news, password_lock: yes}",
        "user: {name: irc, expires: 1600000000}",
        f"user: {{name: list, password: {PASSWORD_HASH}, password_expire_max: 90, password_expire_min: 1}}",
    ),
    "change": (
        "user: {name: erin, groups: [ops], shell: /bin/sh}",
        "user: {name: frank, groups: [devs, video], append: yes, password_lock: yes, expires: 1700000000}",
        "user: {name: www-data, groups: devs}",
        "user: {name: irc, expires: -1}",
        "user: {name: daemon9, state: absent, remove: yes}",
        "group: {name: sysops, state: absent}",
        "group: {name: ops, gid: 3200}",
    ),
    "remove": (
        "user: {name: frank, state: absent}",
        "user: {name: erin, state: absent, remove: yes}",
        "group: {name: devs, state: absent}",
    ),
}
PLAY_HEAD = "- hosts: all\n  gather_facts: no\n  tasks:\n"
PLAYBOOK = "ANSIBLE_PIPELINING=1 ANSIBLE_NOCOLOR=1 ansible-playbook -i localhost, -c local"
ANSIBLE = Client(
    "ansible-core user, group",
    # Each twice: the second time it must find nothing to change.
    tuple(Step(f"{PLAYBOOK} /tmp/{name}.yml") for name in PLAYS for _ in range(2)),
    {f"/tmp/{name}.yml": PLAY_HEAD + "".join(f"    - {task}\n" for task in play) for name, play in PLAYS.items()},
)


def install(package: str) -> Client:
    """apt-get install of a package."""
    return Client(f"apt-get install {package}", (Step(f"{APT} install {package}", compared=APT_WORDS),))


def purge(packages: tuple[str, ...]) -> Client:
    """apt-get purge of packages."""
    names = " ".join(packages)
    return Client("apt-get purge " + names, (Step(f"{APT} purge {names}", compared=APT_WORDS),))


def run_clients(stateless: bool, clients: list[Client]) -> tuple[View, list[Outcome]]:
    """Run the clients one after the other in one root: the view before, and what each left."""
    return in_child(_run_clients, stateless, clients)  # type: ignore[no-any-return]


def _run_clients(stateless: bool, clients: list[Client]) -> tuple[View, list[Outcome]]:
    with debian_root(stateless) as root:
        return root.view(), [_run_client(root, client) for client in clients]


@dataclass(frozen=True)
class Comparison:
    """A client in both roots."""

    client: Client
    classic: Outcome
    ours: Outcome
    failures: list[str]
    differences: list[str]


def compare(clients: list[Client]) -> list[Comparison]:
    """Run the clients in a classic root with Debian's tools, then in a stateless one with ours."""
    start, classic = run_clients(False, clients)
    our_start, ours = run_clients(True, clients)
    assert start == our_start, "the roots do not start out with the same accounts"
    compared = []
    for client, old, new in zip(clients, classic, ours, strict=True):
        compared.append(Comparison(client, old, new, failures(client, old, start), differences(client, old, new)))
        start = old.view
    return compared


def _run_client(root: DebianRoot, client: Client) -> Outcome:
    for path, text in client.files.items():
        with open(root.path + path, "w") as file:
            file.write(text)
    begin = time.monotonic()
    results = [root.run(step.command, step.stdin) for step in client.steps]
    seconds = time.monotonic() - begin
    return Outcome(results, root.view(), root.tree(), root.needless(), seconds)


def differences(client: Client, classic: Outcome, ours: Outcome) -> list[str]:
    """Where the two outcomes differ, in words; [] when they agree."""
    found = []
    for step, old, new in zip(client.steps, classic.results, ours.results, strict=True):
        if old.status != new.status:
            found.append(f"{step.command}: exit {old.status} -> {new.status}\n{old.output}\n--- ours:\n{new.output}")
        elif step.compared is not None and (before := _told(step, old)) != (after := _told(step, new)):
            found.append(f"{step.command}: prints {before!r} -> {after!r}")
    for database in classic.view:
        old_rows, new_rows = classic.view[database], ours.view[database]
        for name in sorted(old_rows.keys() | new_rows.keys()):
            if old_rows.get(name) != new_rows.get(name):
                found.append(f"{database} {name}: {old_rows.get(name)} -> {new_rows.get(name)}")
    found += [f"needless in /etc: {row}" for row in ours.needless]
    for path in sorted(classic.tree.keys() | ours.tree.keys()):
        if classic.tree.get(path) != ours.tree.get(path):
            found.append(f"{path}: {classic.tree.get(path)} -> {ours.tree.get(path)}")
    return found


def _told(step: Step, result: Result) -> list[str]:
    assert step.compared is not None
    return [line for line in result.output.splitlines() if step.compared.search(line)]


def failures(client: Client, outcome: Outcome, before: View) -> list[str]:
    """What went wrong in a root whatever the tools were: a client that did nothing compares well, too."""
    if outcome.view == before:
        return ["no account was changed"]
    if client.name.startswith("apt-get"):
        return [result.output for result in outcome.results if result.status]
    if client is ANSIBLE:
        found = [result.output for result in outcome.results if result.status]
        again = outcome.results[1::2]
        return found + [result.output for result in again if not re.search(r"changed=0 .*failed=0", result.output)]
    return [] if outcome.results[0].status == 0 else [outcome.results[0].output]


def short() -> list[Client]:
    """Enough for every test run: ansible-core's own modules are in tests/ansible there."""
    return [ADDUSER, SYSUSERS, *map(install, FEW_PACKAGES), purge(FEW_PACKAGES[:1])]


def full() -> list[Client]:
    """All of them."""
    gone = ("openssh-server", "avahi-daemon", "postgresql*", "redis-server", "mosquitto", "unbound", "mariadb-server")
    return [ADDUSER, SYSUSERS, ANSIBLE, *map(install, PACKAGES), purge(gone)]
