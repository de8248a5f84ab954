# SPDX-License-Identifier: MIT
"""`accounts apply`, `export` and `import-delta`: accounts that come from files.

Exit statuses as accounts.cli.machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from accounts.cli import machine
from accounts.cli.commands import parse_path
from accounts.cli.console import write_out
from accounts.cli.machine import Commands, MachineRun, add_dry_run
from accounts.errors import Usage
from accounts.machine import outcome
from accounts.machine.outcome import MachineOutcome
from accounts.text import fsdecode


def _add_apply(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument(
        "--check", action="store_true", help="only tell whether anything is to be done: then exit with 1"
    )
    parser.add_argument(
        "--with", dest="extra", type=parse_path, action="append", default=[], metavar="FILE",
        help="with --check or --dry-run: as if this drop-in were in /etc/accounts.d, in place of one of its name",
    )  # fmt: skip
    parser.add_argument(
        "--boot",
        action="store_true",
        help="what credentials of systemd declared once, and do no more, is gone; else such accounts stay",
    )
    parser.add_argument(
        "--to", type=parse_path, metavar="DIR",
        help="write the files that change into DIR and leave /etc alone: for an overlay, or a confext's etc",
    )  # fmt: skip
    parser.add_argument(
        "directories", type=parse_path, nargs="*", metavar="DIR",
        help="directories of drop-ins in place of /etc/accounts.d and so on; files of a later one replace an earlier's",
    )  # fmt: skip


def _apply(run: MachineRun) -> MachineOutcome:
    from accounts.machine.applyrun import Apply

    arguments = run.arguments
    told = arguments.check or arguments.dry_run
    if arguments.to is not None and arguments.check:
        raise Usage("--check writes nothing, so that --to has no meaning")
    if arguments.extra and not told:
        raise Usage("--with is for --check and --dry-run: else put the file into /etc/accounts.d")
    command = Apply(run.change, arguments.directories, arguments.extra, has_credentials=arguments.boot)
    for note in command.result.notes:
        run.warn(note)
    if arguments.to is not None:
        result = command.write(arguments.to, arguments.dry_run)
    else:
        result = command.tell() if told else command.run()
    return outcome.tell_applied(result, told, arguments.check)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=parse_path, metavar="FILE", help="write it there (mode 0600), not to standard output"
    )
    parser.add_argument(
        "--sign", type=parse_path, metavar="KEY", help="sign it with an ssh key, into FILE.sig (ssh-keygen -Y sign)"
    )


def _export(run: MachineRun) -> MachineOutcome | None:
    from accounts.machine.deltafile import write_delta
    from accounts.machine.edits import read
    from accounts.machine.travel import format_delta

    path, key = run.arguments.output, run.arguments.sign
    if key is not None and path is None:
        raise Usage("--sign needs --output")
    if run.arguments.json and path is None:
        raise Usage("--json needs --output: what standard output gets is the delta")
    data = format_delta(read(run.change))
    if path is None:
        write_out(fsdecode(data))
        return None
    write_delta(data, path, key)
    return outcome.tell_export(path, data.count(b"\n") - 2, key is not None)


def _add_import(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    parser.add_argument("file", type=parse_path, metavar="FILE", help="what accounts export has written")
    parser.add_argument(
        "--allowed-signers",
        type=parse_path,
        metavar="FILE",
        help="take it only if FILE.sig is the signature of one of these",
    )
    parser.add_argument("--identity", metavar="NAME", help="which of the allowed signers it has to be")
    parser.add_argument("--signature", type=parse_path, metavar="FILE", help="the signature, by default FILE.sig")


def _import(run: MachineRun) -> MachineOutcome:
    from accounts.machine.deltafile import read_delta
    from accounts.machine.edits import edit_files
    from accounts.machine.errors import Contradicted
    from accounts.machine.travel import Import

    arguments = run.arguments
    if arguments.allowed_signers is None and (arguments.identity or arguments.signature):
        raise Usage("--identity and --signature need --allowed-signers")
    lines, signer = read_delta(arguments.file, arguments.allowed_signers, arguments.identity, arguments.signature)
    dry_run = arguments.dry_run
    try:
        done, written = edit_files(
            run.change, "import-delta", lambda database: Import(database, lines).run().done, list, dry_run
        )
    except Contradicted as error:
        return outcome.tell_contradicted(error.conflicts, signer)
    return outcome.tell_import(done, written, signer, dry_run)


COMMANDS: Commands = {
    "apply": (_add_apply, _apply),
    "export": (_add_export, _export),
    "import-delta": (_add_import, _import),
}


def main(argv: Sequence[str]) -> int:
    """Run `accounts ARGV`, the command first; returns the exit status."""
    return machine.main(argv, COMMANDS)
