# SPDX-License-Identifier: MIT
"""The pages of the documentation that are made of tables: a hook of mkdocs (mkdocs.yml), which calls on_files().

The manuals are those of scripts/manuals.py, turned into Markdown by mandoc(1).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from accounts.image.findings import RULES  # noqa: E402
from scripts.commandlines import find_tool  # noqa: E402
from scripts.manuals import pages, section_of, statuses_of  # noqa: E402
from scripts.shims import TOOLS  # noqa: E402


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those of docs/."""
    from mkdocs.structure.files import File

    for name, text in make_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def make_pages() -> dict[str, str]:
    """Path below docs/ -> Markdown."""
    manuals = pages()
    names = {Path(path).name for path in manuals}
    made = {f"reference/man/{Path(path).name}.md": format_manual(path, text, names) for path, text in manuals.items()}
    made["reference/manuals.md"] = format_index(manuals)
    made["reference/statuses.md"] = format_statuses()
    made["reference/json.md"] = format_schemas()
    made["reference/image-findings.md"] = format_findings()
    made["reference/decisions.md"] = format_decisions()
    return made


def format_manual(path: str, text: str, ours: Collection[str]) -> str:
    """A manual. ours: the names of all; those that it refers to become links."""
    done = subprocess.run(["mandoc", "-T", "markdown"], input=text, capture_output=True, text=True, check=True)
    body = done.stdout.split("\n", 2)[2].rsplit("\n", 2)[0]
    name = Path(path)

    def link(match: re.Match[str]) -> str:
        other = f"{match[1]}.{match[2]}".replace("\\", "")
        return f"[{match[0]}]({other}.md)" if other in ours and other != name.name else match[0]

    body = re.sub(r"([a-z][\w.\\-]*)\((\d)\)", link, body)
    body = re.sub(r"^# ", "## ", body, flags=re.MULTILINE)
    return f"# {name.stem}({name.suffix[1:]})\n\n{body}\n"


def format_index(manuals: dict[str, str]) -> str:
    """All manuals, by what they are about."""
    titles = ("The `accounts` command", "The tools of shadow-utils", "Files and modules")
    groups: dict[str, list[str]] = {title: [] for title in titles}
    for path, text in sorted(manuals.items()):
        name = Path(path)
        purpose = next(line[4:] for line in text.split("\n") if line.startswith(".Nd ")).replace("\\", "")
        if name.suffix == ".5" or name.stem in ("nss_altfiles", "pam_accounts"):
            title = titles[2]
        else:
            title = titles[not name.stem.startswith("accounts")]
        groups[title].append(f"- [{name.stem}({name.suffix[1:]})](man/{name.name}.md): {purpose}")
    text = "".join(f"\n## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in groups.items())
    return f"# Manuals\n\n`make install-doc` installs them; `man accounts` is where to begin.\n{text}"


def format_statuses() -> str:
    """Exit statuses of the tools, then those of `accounts`."""
    rows = []
    for name in sorted(TOOLS):
        if "/" in name:
            continue
        tool = find_tool(name)
        told = "; ".join(f"{number} {text}" for number, text in sorted(statuses_of(tool).items()))
        rows.append(f"| [{name}](man/{name}.{section_of(name)}.md) | {told} |")
    return f"""# Exit statuses

Of the tools they are shadow's, so that scripts go on working:

| | |
|---|---|
{chr(10).join(rows)}

Of `accounts` commands:

| | machine | `accounts image` |
|---|---|---|
| 0 | nothing to say, or done | done |
| 1 | findings, differences or conflicts | findings that fail the build |
| 2 | wrong usage | wrong usage |
| 3 | bad input, or an error of the system | bad input, or an error of the system |

`accounts set-password` and `accounts serve` have others: see their manuals.
"""


def format_schemas() -> str:
    """The JSON that each command prints."""
    rows = []
    for path in sorted((TOP / "docs/schemas").glob("*.json")):
        schema = json.loads(path.read_text())
        rows.append(f"| [{path.name}](../schemas/{path.name}) | {schema['title']} | {schema.get('description', '')} |")
    return f"""# JSON

`--json` prints the result of a command as JSON on standard output; errors are lines on standard error all the same.
The forms are described by JSON Schema (2020-12). Fields may be added, none changes its meaning.

| schema | of | what |
|---|---|---|
{chr(10).join(rows)}
"""


def format_findings() -> str:
    """The rules of `accounts image check`."""
    rows = "\n".join(f"| `{name}` | {severity} | {text} |" for name, (severity, text) in RULES.items())
    return f"""# Findings of an image

`accounts image check` and `accounts image seed` look for these. `--severity NAME=SEVERITY` makes one fail, warn or be
ignored.

| rule | unless told otherwise | what it finds |
|---|---|---|
{rows}
"""


def format_decisions() -> str:
    """Why it is built this way: the titles of docs/decisions."""
    lines = []
    for path in sorted((TOP / "docs/decisions").glob("*.md")):
        title = next(line for line in path.read_text().split("\n") if line.startswith("# "))
        lines.append(f"- [{title[2:]}](../decisions/{path.name})")
    return "# Decisions\n\nWhy it is built this way.\n\n" + "\n".join(lines) + "\n"
