# SPDX-License-Identifier: MIT
"""Writes the shells' completions: `python3 scripts/completions.py DIRECTORY`, which gets bash/, zsh/ and fish/.

Of `accounts` and of every tool, made of the same tables as the manuals: options, values that are one of a few, names
of users, groups and files where an argument is one.
"""

from __future__ import annotations

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from accounts.cli.main import COMMANDS  # noqa: E402
from scripts.commandlines import CommandLine, Row, find_commands, find_tool, list_rows  # noqa: E402
from scripts.shims import TOOLS  # noqa: E402

# What an argument is called in usage texts -> what it is.
KINDS = {
    "GROUP": "group", "GROUPS": "groups", "USER": "user", "USERS": "user", "LOGIN": "user", "NAME": "user",
    "SHELL": "file", "ROOT": "directory", "DIR": "directory", "FILE": "file", "OLD": "directory", "NEW": "directory",
    "CHROOT_DIR": "directory", "PREFIX_DIR": "directory", "PREFIX_DI": "directory", "BASE_DIR": "directory",
    "HOME_DIR": "directory", "SKEL_DIR": "directory", "ROOT|FILE": "file", "[FORMAT=]FILE": "file",
}  # fmt: skip
# What the operand of a tool is; () of those that have none, or take whatever there is.
OPERANDS = {
    "chage": "user", "chfn": "user", "chsh": "user", "gpasswd": "group", "groupdel": "group", "groupmod": "group",
    "newgrp": "group", "passwd": "user", "sg": "group", "userdel": "user", "usermod": "user", "newusers": "file",
}  # fmt: skip
BASH = {
    "user": "-u", "group": "-g", "groups": "-g", "file": "-f", "directory": "-d", "": "-W ''",
}  # fmt: skip
ZSH = {"user": "_users", "group": "_groups", "groups": "_groups", "file": "_files", "directory": "_files -/", "": ""}
FISH = {
    "user": "__fish_complete_users", "group": "__fish_complete_groups", "groups": "__fish_complete_groups",
    "directory": "__fish_complete_directories", "file": "__fish_complete_path", "": "",
}  # fmt: skip


def kind_of(row: Row) -> str:
    """What the argument of an option or an operand is, "" for what nobody knows."""
    return KINDS.get(row.argument.rstrip("."), "")


def operand_of(name: str, rows: list[Row]) -> str:
    """What the words without a dash are."""
    return next((kind_of(row) for row in rows if not row.names), OPERANDS.get(name, ""))


def quote(text: str) -> str:
    """A word for any of the shells."""
    return "'" + text.replace("'", "'\\''") + "'"


def lines_of() -> dict[str, dict[str, CommandLine]]:
    """Program -> word that comes first ("" for none, two words of `accounts image`) -> its command line."""
    found: dict[str, dict[str, CommandLine]] = {
        name: {"": find_tool(name)} for name in sorted(TOOLS) if "/" not in name
    }
    found["accounts"] = find_commands()
    return found


# bash


def format_bash(program: str, lines: dict[str, CommandLine]) -> str:
    """A completion function, and `complete` with it."""
    cases = []
    for word, line in lines.items():
        rows = list_rows(line)
        takes = [
            f"            {'|'.join(row.names)}) COMPREPLY=($(compgen {bash_action(row)} -- \"$cur\")); return ;;"
            for row in rows if row.names and row.argument
        ]  # fmt: skip
        options = " ".join(name for row in rows for name in row.names)
        operand = BASH[operand_of(program, rows)]
        cases.append(
            f"    {quote(word)})\n"
            + ("        case $prev in\n" + "\n".join(takes) + "\n        esac\n" if takes else "")
            + f'        [[ $cur == -* ]] && COMPREPLY=($(compgen -W {quote(options)} -- "$cur")) ||\n'
            + f'            COMPREPLY=($(compgen {operand} -- "$cur")) ;;'
        )
    return (
        f"# Completion of {program} for bash, made by scripts/completions.py of stateless-accounts.\n"
        f"_stateless_{program}() {{\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word=\n"
        + bash_words(lines)
        + "    case $word in\n" + "\n".join(cases) + "\n    esac\n}\n"
        f"complete -F _stateless_{program} {program}\n"
    )  # fmt: skip


def bash_action(row: Row) -> str:
    return f"-W {quote(' '.join(row.choices))}" if row.choices else BASH[kind_of(row)]


def first_words(lines: dict[str, CommandLine]) -> dict[str, list[str]]:
    """What may come first, and what behind that: {"status": [], "image": ["seed", ...]}; {} without such words."""
    found: dict[str, list[str]] = {}
    for word in filter(None, lines):
        first, _, second = word.partition(" ")
        found.setdefault(first, [])
        if second:
            found[first].append(second)
    return found


def bash_words(lines: dict[str, CommandLine]) -> str:
    words = first_words(lines)
    if not words:
        return ""
    text = (
        f"    ((COMP_CWORD == 1)) && {{ COMPREPLY=($(compgen -W {quote(' '.join([*words, '--help', '--version']))} "
        '-- "$cur")); return; }\n    word=${COMP_WORDS[1]}\n'
    )
    for first, seconds in words.items():
        if seconds:
            text += (
                f"    if [[ $word == {first} ]]; then\n        ((COMP_CWORD == 2)) && {{ COMPREPLY=($(compgen -W "
                f'{quote(" ".join(seconds))} -- "$cur")); return; }}\n'
                f'        word="{first} ${{COMP_WORDS[2]}}"\n    fi\n'
            )
    return text


# zsh


def format_zsh(program: str, lines: dict[str, CommandLine]) -> str:
    """A function that is found as _PROGRAM."""
    head = f"#compdef {program}\n# Made by scripts/completions.py of stateless-accounts.\n"
    words = first_words(lines)
    if not words:
        return head + "_arguments -s " + " \\\n    ".join(zsh_specs(program, lines[""])) + "\n"
    cases = []
    for word, line in lines.items():
        cases.append(f"    {quote(word)}) _arguments -s " + " \\\n        ".join(zsh_specs(program, line)) + " ;;")
    text = head + "local word=$words[2]\n"
    firsts = " ".join(quote(f"{first}:{purpose_of(first)}") for first in words)
    text += f"local -a commands=({firsts})\n"
    text += "if ((CURRENT == 2)); then _describe command commands; return; fi\n"
    text += "shift words; ((CURRENT--))\n"
    for first, seconds in words.items():
        if seconds:
            text += f"if [[ $word == {first} ]]; then\n"
            text += f"    if ((CURRENT == 2)); then compadd {' '.join(seconds)}; return; fi\n"
            text += f'    word="{first} $words[2]"; shift words; ((CURRENT--))\nfi\n'
    return text + "case $word in\n" + "\n".join(cases) + "\nesac\n"


def purpose_of(first: str) -> str:
    return COMMANDS[first][1]


def zsh_specs(program: str, line: CommandLine) -> list[str]:
    specs = []
    rows = list_rows(line)
    for row in rows:
        text = row.text.replace("[", "(").replace("]", ")").replace(":", "\\:")
        action = f"({' '.join(row.choices)})" if row.choices else ZSH[kind_of(row)]
        argument = f":{row.argument.replace(':', '')}:{action}" if row.argument else ""
        specs += [quote(f"{name}[{text}]{argument}") for name in row.names]
    operand = operand_of(program, rows)
    specs.append(quote(f"*:{operand or 'argument'}:{ZSH[operand] or ' '}"))
    return specs


# fish


def format_fish(program: str, lines: dict[str, CommandLine]) -> str:
    """Lines `complete -c PROGRAM ...`."""
    text = f"# Completion of {program} for fish, made by scripts/completions.py of stateless-accounts.\n"
    text += f"complete -c {program} -f\n"
    words = first_words(lines)
    for first in words:
        text += f"complete -c {program} -n __fish_use_subcommand -a {first} -d {quote(purpose_of(first))}\n"
    for first, seconds in words.items():
        if seconds:
            none = f"__fish_seen_subcommand_from {first}; and not __fish_seen_subcommand_from {' '.join(seconds)}"
            text += f"complete -c {program} -n {quote(none)} -a {quote(' '.join(seconds))}\n"
    for word, line in lines.items():
        when = "; and ".join(f"__fish_seen_subcommand_from {part}" for part in word.split())
        start = f"complete -c {program}" + (f" -n {quote(when)}" if when else "")
        rows = list_rows(line)
        for row in rows:
            if not row.names:
                continue
            flags = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in row.names)
            values = quote(" ".join(row.choices)) if row.choices else quote(f"({FISH[kind_of(row)]})")
            takes = f" -x -a {values}" if row.choices or FISH[kind_of(row)] else " -x" if row.argument else ""
            text += f"{start} {flags}{takes if row.argument else ''} -d {quote(row.text)}\n"
        operand = FISH[operand_of(program, rows)]
        if operand:
            text += f"{start} -a {quote(f'({operand})')}\n"
    return text


def files() -> dict[str, str]:
    """Path below the directory of completions -> the file."""
    found = {}
    for program, lines in lines_of().items():
        found[f"bash/{program}"] = format_bash(program, lines)
        found[f"zsh/_{program}"] = format_zsh(program, lines)
        found[f"fish/{program}.fish"] = format_fish(program, lines)
    return found


def main() -> None:
    """Write all of them."""
    for name, text in files().items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
