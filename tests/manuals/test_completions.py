# SPDX-License-Identifier: MIT
"""The completions in the real shells: what a person gets who presses TAB."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.completions import files

TOP = Path(__file__).resolve().parents[2]
# What is on the line -> what is among the answers, and what is not.
LINES = {
    "accounts st": (["status"], ["seed"]),
    "accounts image se": (["seed"], ["status"]),
    "accounts rebase --take ": (["image", "local"], ["root"]),
    "accounts image check --r": (["--rules"], ["--json"]),
    "accounts show roo": (["root"], ["status"]),
    "usermod --app": (["--append"], ["--shell"]),
    "usermod -g daemo": (["daemon"], ["--shell"]),
    "usermod roo": (["root"], []),
    "groupdel daemo": (["daemon"], []),
    "passwd --sta": (["--status"], ["--stdin"]),
}
BASH = """
source "$1/bash/$2"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2)) COMPREPLY=()
"_stateless_$2"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# zsh completes on a terminal only: one of its own, in which TAB lists what there is.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
send() { zpty -w shell "$1"; }
send "PS1=; PROMPT_EOL_MARK=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=($1/zsh \$fpath)"
send "autoload -Uz compinit; compinit -u -d $1/dump; zstyle ':completion:*' menu no; setopt auto_list no_list_beep"
send "zstyle ':completion:*' insert-unambiguous false; bindkey '^I' list-choices; echo REA''DY"
zpty -r shell out '*READY*'
zpty -w -n shell "$2"$'\t'
sleep 0.3
zpty -w -n shell $'\C-a\C-k'
send "echo DO''NE"
zpty -r shell out '*DONE*'
print -r -- $out
"""


@pytest.fixture(scope="module")
def completions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of completions."""
    place = tmp_path_factory.mktemp("completions")
    subprocess.run(["python3", TOP / "scripts/completions.py", place], check=True)
    return place


def run(*command: object) -> str:
    """What a shell prints."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("line", LINES)
def test_bash(completions: Path, line: str) -> None:
    answers = run("bash", "-c", BASH, "bash", completions, *line.split(" ")).split()
    assert set(LINES[line][0]) <= set(answers) and not set(LINES[line][1]) & set(answers)


@pytest.mark.parametrize("line", LINES)
def test_fish(completions: Path, line: str) -> None:
    program = line.split()[0]
    script = f"source {completions}/fish/{program}.fish; complete -C '{line}'"
    answers = [answer.split("\t")[0] for answer in run("fish", "--no-config", "-c", script).splitlines()]
    assert set(LINES[line][0]) <= set(answers) and not set(LINES[line][1]) & set(answers)


@pytest.mark.parametrize("line", ["accounts st", "accounts image se", "accounts image check --r", "usermod --app"])
def test_zsh(completions: Path, line: str) -> None:
    shown = run("zsh", "-f", "-c", ZSH, "zsh", completions, line)
    for answer in LINES[line][0]:
        assert answer in shown, shown


def test_all_of_them_are_read_without_a_fault(completions: Path) -> None:
    for name in files():
        shell = name.partition("/")[0]
        subprocess.run([shell, "-n", completions / name], check=True, timeout=60)
