# SPDX-License-Identifier: MIT
"""What becomes of each entry of an image's /etc: rule files, parsed and linted. Pure but for load_rules().

The format is described in docs/rules.md. One entry a line, the first rule that matches a path takes it:

    # why
    rm PATTERN|/PATH...
    mv PATTERN... [-> TARGET] [as=link|copy] [relink=yes]
    factory PATTERN... [as=copy|link] [before=UNIT,...]
    d PATTERN...
    keep PATTERN...
    write TARGET TEXT
    include FILE
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from accounts.image.errors import RulesError

DOC_DIR = "/usr/share/doc/etc"
FACTORY_DIR = "/usr/share/factory/etc"
# What the reason of an entry begins with that nobody has thought about yet (suggest.py).
DRAFT = "FIXME"
_OPTIONS = {"mv": {"as", "relink"}, "factory": {"as", "before"}}
_KINDS = ("rm", "mv", "factory", "d", "keep", "write", "include")
# These run before systemd-tmpfiles-setup.service, by their own Before= or by what it comes After=
# (systemd 252): ordering it before one of them is a cycle, which systemd resolves by dropping a job.
_BEFORE_TMPFILES = {
    "systemd-sysusers.service",
    "systemd-journald.service",
    "systemd-remount-fs.service",
    "systemd-tmpfiles-setup-dev.service",
    "local-fs.target",
    "local-fs-pre.target",
    "swap.target",
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Pattern:
    """An fnmatch(3) pattern below /etc, matched component by component; `**` is any number of components.

    text: as written. only_directory: written with a final slash (or in a `d` entry): the directory itself
    is meant, not what is in it. Every other pattern takes a directory with all that is below.
    """

    text: str
    only_directory: bool = False

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The components of the pattern."""
        return tuple(self.text.split("/"))

    @cached_property
    def literal(self) -> bool:
        """Whether it can match one path only."""
        return not any(c in self.text for c in "*?[")

    def matches(self, path: str) -> bool:
        """Whether `path` (relative to /etc) is meant itself; see Rules.find() for what is below it."""
        return path == self.text if self.literal else _match(self.parts, path.split("/"))

    def covers(self, other: Pattern) -> bool:
        """Whether surely every path that `other` can match is taken by this pattern. May miss some."""
        if self.text == other.text:
            return not self.only_directory or other.only_directory
        if self.only_directory:
            return False
        if not other.literal and ("?" in self.text or "[" in self.text):
            return False  # their single characters would have to be compared with the other's wild ones
        if "**" in other.parts and "**" not in self.parts and "**" in other.parts[: len(self.parts)]:
            return False
        return any(_match(self.parts, other.parts[:n]) for n in range(1, len(other.parts) + 1))


def _match(pattern: tuple[str, ...] | list[str], path: tuple[str, ...] | list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_match(pattern[1:], path[n:]) for n in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _match(pattern[1:], path[1:])


@dataclass(frozen=True)
class Rule:
    """One entry of a rule file.

    target: mv and write: where to, an absolute path inside the image; mv's ends with a slash when it names
    the directory to move into. link: leave a tmpfiles.d link at the old place (mv), or link to the factory
    file instead of copying it (factory). copy: leave a copy there (mv). relink: links elsewhere in the image
    follow the move. before: units that need the factory file. text: what to write. outside: what rm removes
    outside of /etc, absolute paths. source, line: where the entry stands. reason: the comment right above it,
    empty without one.
    """

    kind: str
    patterns: tuple[Pattern, ...]
    target: str | None = None
    link: bool = False
    copy: bool = False
    relink: bool = False
    before: tuple[str, ...] = ()
    text: str = ""
    outside: tuple[str, ...] = ()
    source: str = ""
    line: int = 0
    reason: str = ""

    @property
    def comes_back(self) -> bool:
        """Whether the old path is there again after a boot: mv's as=."""
        return self.kind == "mv" and (self.link or self.copy)

    def destination(self, top: str, path: str) -> str:
        """Where `path` goes when `top`, it or a directory above it, is what a pattern matched."""
        if self.kind == "factory":
            return f"{FACTORY_DIR}/{path}"
        if self.target is None:
            return f"{DOC_DIR}/{path}"
        base = self.target
        if base.endswith("/"):
            base += posixpath.basename(top)
        return base + path[len(top) :]

    def __str__(self) -> str:
        words = [p.text for p in self.patterns] or [self.target or ""]
        return f"{self.source}:{self.line}: {self.kind} {' '.join(words)}"


@dataclass(frozen=True)
class Match:
    """The rule that takes a path, its place in the order, and the path that its pattern matched."""

    order: int
    rule: Rule
    top: str


@dataclass(frozen=True)
class Rules:
    """Rules in order; the first one that matches a path, or a directory above it, takes it."""

    entries: tuple[Rule, ...] = ()

    def __add__(self, other: Rules) -> Rules:
        return Rules(self.entries + other.entries)

    @cached_property
    def _literal(self) -> dict[str, list[tuple[int, bool]]]:
        found: dict[str, list[tuple[int, bool]]] = {}
        for order, rule in enumerate(self.entries):
            for pattern in rule.patterns:
                if pattern.literal:
                    found.setdefault(pattern.text, []).append((order, pattern.only_directory))
        return found

    @cached_property
    def _wild(self) -> list[tuple[int, Pattern]]:
        return [(order, p) for order, rule in enumerate(self.entries) for p in rule.patterns if not p.literal]

    def find(self, path: str) -> Match | None:
        """Return which rule takes `path` (relative to /etc), or None."""
        parts = path.split("/")
        best: tuple[int, str] | None = None
        for n in range(1, len(parts) + 1):
            top = "/".join(parts[:n])
            itself = n == len(parts)
            orders = [order for order, only in self._literal.get(top, ()) if itself or not only]
            wild = [(order, p) for order, p in self._wild if itself or not p.only_directory]
            orders += [order for order, p in wild if _match(p.parts, parts[:n])]
            if orders and (best is None or min(orders) < best[0]):
                best = min(orders), top
        return None if best is None else Match(best[0], self.entries[best[0]], best[1])


@dataclass(frozen=True)
class RuleFault:
    """One fault that lint_rules() found. code: reason, order, dead, clash or cycle."""

    source: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.message} [{self.code}]"


def parse_rules(text: bytes | str, source: str, include: Callable[[str], Rules] | None = None) -> Rules:
    """Parse the text of one rule file.

    source: what to call it in messages. include: gives the rules of a file named by an `include` entry.
    Raises RulesError, "SOURCE:LINE: what is wrong".
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    entries: list[Rule] = []
    reason: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if line.startswith("#"):
            reason.append(line.lstrip("# \t"))
            continue
        if line:
            try:
                rule = _parse_entry(line, source, number, " ".join(reason).strip())
                if rule.kind == "include":
                    if include is None:
                        raise RulesError("include is possible in a file only")
                    entries += include(rule.text).entries
                entries.append(rule)
            except RulesError as error:
                if error.message and error.message.startswith(f"{source}:{number}: "):
                    raise
                raise RulesError(f"{source}:{number}: {error.message}")
        reason = []
    return Rules(tuple(entries))


def load_rules(files: Iterable[str | Path]) -> Rules:
    """Read rule files in order, with the files they include (relative to the including one).

    Raises RulesError, also for a file that cannot be read or that includes itself.
    """
    rules = Rules()
    for file in files:
        rules += _load(Path(file), ())
    return rules


def _load(file: Path, above: tuple[Path, ...]) -> Rules:
    if file.resolve() in above:
        raise RulesError(f"{file} includes itself")
    try:
        text = file.read_bytes()
    except OSError as error:
        raise RulesError(f"{file}: {error.strerror}")
    inside = (*above, file.resolve())
    return parse_rules(text, str(file), lambda name: _load(file.parent / name, inside))


def _parse_entry(line: str, source: str, number: int, reason: str) -> Rule:
    kind, *rest = line.split(None, 1)
    if kind not in _KINDS:
        raise RulesError(f"{kind!r} is none of {', '.join(_KINDS)}")
    if not rest:
        raise RulesError(f"{kind} needs a path")
    if kind == "include":
        rule = Rule(kind, (), text=rest[0])
    elif kind == "write":
        target, *content = rest[0].split(None, 1)
        if not content:
            raise RulesError("write needs a target and a text")
        rule = Rule(kind, (), _target(target), text=_unescape(content[0]))
    else:
        rule = _parse_patterns(kind, rest[0].split())
    return replace(rule, source=source, line=number, reason=reason)


def _parse_patterns(kind: str, words: list[str]) -> Rule:
    options = dict(word.split("=", 1) for word in words if "=" in word)
    words = [word for word in words if "=" not in word]
    target: str | None = None
    if "->" in words:
        if kind != "mv" or words.index("->") != len(words) - 2:
            raise RulesError("-> TARGET belongs at the end of mv")
        target = _target(words[-1])
        words = words[:-2]
    if not words:
        raise RulesError(f"{kind} needs a path")
    outside = tuple(_target(word) for word in words if kind == "rm" and word.startswith("/"))
    if any(path.endswith("/") for path in outside):
        raise RulesError("outside of /etc only files can be removed")
    patterns = tuple(_pattern(word, kind) for word in words if kind != "rm" or not word.startswith("/"))
    if target is not None and not target.endswith("/") and (len(patterns) > 1 or not patterns[0].literal):
        raise RulesError("several things can only be moved into a directory: end the target with a slash")
    for name in options:
        if name not in _OPTIONS.get(kind, ()):
            raise RulesError(f"{kind} has no option {name}=")
    style = options.get("as", "")
    if style not in ("", "link", "copy"):
        raise RulesError(f"{kind} cannot be as={style}")
    if options.get("relink", "yes") != "yes":
        raise RulesError("relink= can be yes only")
    if style and kind == "mv" and target is None:
        raise RulesError(f"as={style} needs a target: nothing may depend on /usr/share/doc")
    if style and "relink" in options:
        raise RulesError(f"as={style} brings the old path back, so no other link has to follow: drop relink=")
    before = tuple(options["before"].split(",")) if "before" in options else ()
    if any("." not in unit or "/" in unit for unit in before):
        raise RulesError("before= needs unit names, like sshd.service,dbus.service")
    copy = kind == "mv" and style == "copy"
    return Rule(kind, patterns, target, style == "link", copy, "relink" in options, before, outside=outside)


def _pattern(word: str, kind: str) -> Pattern:
    text = word.rstrip("/")
    if not text or text.startswith("/") or any(part in ("", ".", "..") for part in text.split("/")):
        raise RulesError(f"{word!r} is not a path below /etc (written without the /etc/)")
    if word.endswith("/") and kind not in ("keep", "d"):
        raise RulesError(f"{word!r}: only keep and d can mean a directory without its content")
    return Pattern(text, kind == "d" or word.endswith("/"))


def _target(word: str) -> str:
    if not word.startswith("/") or ".." in word.split("/"):
        raise RulesError(f"target {word!r} is not an absolute path")
    path = posixpath.normpath("/" + word.lstrip("/"))
    if path in ("/", "/etc") or path.startswith("/etc/"):
        raise RulesError(f"target {word!r} is not outside of /etc")
    return path + "/" * word.endswith("/")


def _unescape(text: str) -> str:
    known = {"n": "\n", "t": "\t", "\\": "\\", "s": " "}

    def one(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise RulesError(f"\\{match[1]} is none of \\n \\t \\s \\\\")
        return known[match[1]]

    text = _ESCAPE.sub(one, text)
    return text if text.endswith("\n") else text + "\n"


def lint_rules(rules: Rules) -> list[RuleFault]:
    """Return the faults of rules that parse: none when all is well, else in the order of the entries.

    reason: no comment with a letter in it right above the entry, or a draft's. order: a narrower entry after the wider
    one that takes its paths. dead: an entry, or one of its patterns, that says what an earlier one says.
    clash: two entries that write the same path. cycle: a unit that comes before tmpfiles anyway.
    """
    findings = []
    for order, rule in enumerate(rules.entries):

        def fault(code: str, message: str, rule: Rule = rule) -> None:
            findings.append(RuleFault(rule.source, rule.line, code, message))

        if not any(c.isalpha() for c in rule.reason) or rule.reason.startswith(DRAFT):
            fault("reason", f"{rule.kind} without a comment right above it that gives the reason")
        for at, pattern in enumerate(rule.patterns):
            if any(pattern.text == p.text for p in rule.patterns[:at]):
                fault("dead", f"{pattern.text} is here twice")
            for earlier in rules.entries[:order]:
                cover = next((p for p in earlier.patterns if p.covers(pattern)), None)
                if cover is None:
                    continue
                where = f"{earlier.kind} {cover.text} in {earlier.source}:{earlier.line}"
                same = earlier.kind == rule.kind and _same_effect(earlier, rule)
                if same or cover.text == pattern.text:
                    fault("dead", f"{rule.kind} {pattern.text} is never reached: {where} takes it")
                else:
                    fault("order", f"{rule.kind} {pattern.text} has to come before {where}, which takes it")
                break
        for earlier in rules.entries[:order]:
            for path in sorted(_destinations(rule) & _destinations(earlier)):
                fault("clash", f"{path} is also the target of {earlier.source}:{earlier.line}")
        for unit in rule.before:
            if unit in _BEFORE_TMPFILES:
                fault("cycle", f"{unit} runs before systemd-tmpfiles-setup.service: it cannot come after")
    return findings


def _same_effect(one: Rule, other: Rule) -> bool:
    return (one.target, one.link, one.copy, one.relink) == (other.target, other.link, other.copy, other.relink)


def _destinations(rule: Rule) -> set[str]:
    """The exact paths a mv or write is known to write, whatever is in the image."""
    if rule.kind == "write" and rule.target:
        return {rule.target}
    if rule.kind == "mv" and rule.target is not None:
        return {rule.destination(p.text, p.text) for p in rule.patterns if p.literal}
    return set()
