# SPDX-License-Identifier: MIT
"""The one way of a change through the account files. Hot path.

check -> lock -> recover -> load -> check again -> edit -> commit -> publish; or, where any of it fails, the failure
goes to syslog and audit. What is checked and edited is the request's (accounts.edit), which files and locks there are
is the store's. Nothing here prints: a Listener hears what there is to say.

    with Change("/mnt/root") as change:
        change.do(AddUser(name=b"alice"))
"""

from __future__ import annotations

import posix

from accounts.edit.request import Report
from accounts.errors import AccountsError, Done
from accounts.model.release import NO_MIN
from accounts.system.known import Facts
from accounts.system.notify import LOG_INFO, flush_caches, set_ident, syslog
from accounts.system.target import READ, Target, find_release, read_fd
from accounts.text import fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from accounts.edit.request import Record, Request, Step
    from accounts.model.release import Release


class Listener:
    """Hears what a change has to say, and keeps it. ident, prog: who is at work, for syslog and for messages."""

    ident = prog = "accounts"

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, line: str) -> None:
        """A line, without newline."""
        self.said.append(line)

    def complain(self, text: str) -> None:
        """A text of shadow's that goes without the tool's name, as it is."""
        self.said.append(text)

    def print(self, text: str) -> None:
        """A text that is no complaint."""

    def status(self, error: AccountsError) -> int:
        """The exit status that an error is going to have, for syslog."""
        return 1


class Change:
    """Changes of the accounts of one root, one request after the other. facts: what is known of it."""

    def __init__(
        self,
        root: bytes | str = b"/",
        prefix: bytes | str = b"",
        *,
        target: Target | None = None,
        listener: Listener | None = None,
        release: Release | None = None,
    ) -> None:
        """root, prefix: as --root and --prefix; target: in their place. release: by default this machine's.

        Raises OSError when the root cannot be opened, and ConfigError.
        """
        if target is None:
            target = Target(*(path if isinstance(path, bytes) else fsencode(path) for path in (root, prefix)))
        self.target = target
        self.listener = listener = listener or Listener()
        self.facts = Facts(target, release or find_release(target), listener.warn, listener.complain)
        self.store = self.facts.store
        # Of the last request.
        self.report = Report()
        self._audited: bool | None = None
        self._add_user_failed = False
        set_ident(listener.ident)

    def __enter__(self) -> Change:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self.target.close()

    def do(self, request: Request, ask: Any = None) -> Report:
        """Take a request all the way; what came of it, which is nothing where there is nothing to do.

        ask: whom the request asks under the locks, where it says that it does.
        Raises AccountsError; then no account file has changed, unless a step after the commit is what failed.
        """
        report = self.report = Report()
        report.performer = self._perform
        self.facts.ask = ask
        request.validate(self.facts)
        hooks = request.HOOKS if self.facts.release >= request.HOOKS_SINCE else ""
        if hooks and not request.HOOKS_LATE:
            self.run_hooks(hooks, "pre", request.name)
        try:
            self._commit(request, report, hooks if request.HOOKS_LATE else "")
            self._publish(request, report)
        except Done as done:
            if done.message is not None:
                self.listener.print(f"{self.listener.prog}: {done.message}\n")
            return report
        except AccountsError as error:
            self._tell_failure(error, report)
            raise
        finally:
            self.release()
            self.facts.forget()
        if hooks:
            self.run_hooks(hooks, "post", request.name)
        return report

    def _commit(self, request: Request, report: Report, hooks: str) -> None:
        facts = self.facts
        try:
            plan = request.look(facts, report)
        finally:
            self._warn(report)
        if hooks:
            self.run_hooks(hooks, "pre", request.name)
        locked = False
        try:
            names, read = request.files(plan, facts)
            database = facts.database = self.store.open(names, read, request.CREATES, request.SPLITS)
            locked = True
            database.shadow.drops_min = facts.release >= NO_MIN
            # The second check tells its failures itself.
            report.failed.clear()
            plan = request.check(facts, report, plan)
            request.edit(database, plan, facts, report)
            self._warn(report)
            self._run_steps(report.before)
            report.changed = self.store.commit(database, request.no_backup(report), request.BACKS_UP)
        except Done:
            raise
        except AccountsError as error:
            self._warn(report)
            request.give_up(error, locked, facts, report)
            raise

    def _warn(self, report: Report) -> None:
        for line in report.warnings:
            self.listener.warn(line)
        report.warnings = []

    def _publish(self, request: Request, report: Report) -> None:
        if not request.COVERS_STEPS:
            report.failed.clear()
        self.release()
        if report.changed:
            flush_caches(self.target.live, self.listener.warn)
        for line in report.log:
            syslog(LOG_INFO, line)
        for record in report.audit:
            self.audit(record)
        self._run_steps(report.steps)

    def _run_steps(self, steps: list[Step]) -> None:
        for name, arguments in steps:
            self._perform(name, arguments)

    def _perform(self, name: str, arguments: tuple[Any, ...]) -> Any:
        import accounts.publish as publish

        return getattr(publish, name)(self.facts, self.report, self.audit, *arguments)

    def _tell_failure(self, error: AccountsError, report: Report) -> None:
        for entry in reversed(report.failed):
            if len(entry) == 3:
                priority, text, with_status = entry
                syslog(priority, f"{text}{self.listener.status(error)}" if with_status else text)
            else:
                self.audit(entry)

    def audit(self, record: Record) -> None:
        """A record to the kernel's audit, as accounts.system.audit.audit(), of a change of the live system.

        The kernel drops it unless auditing is on: only a running auditd, or a caller who came through a login,
        makes it worth loading what sends it.
        """
        if self._audited is None:
            self._audited = self.target.live and (
                posix.access("/run/auditd.pid", posix.F_OK) or _login_uid() != b"4294967295"
            )
        if self._audited:
            from accounts.system.audit import audit
            from accounts.system.audit_words import later_record

            worded = later_record(record, self.facts.release)
            # The failure of useradd has several reasons, and since 4.17 one record.
            if worded is not None and not (worded[1] == "add-user" and not worded[4] and self._add_user_failed):
                self._add_user_failed = worded[1] == "add-user" and not worded[4]
                audit(*worded)

    def run_hooks(self, tool: str, when: str, subject: bytes) -> None:
        """The programs in /etc/shadow-maint/TOOL-pre.d or -post.d of the target; raises AccountsError if one fails.

        Under --prefix none are run: they are programs of the target, which need not run here.
        """
        target = self.target
        if target.prefix:
            return
        directory = f"/etc/shadow-maint/{tool}-{when}.d".encode()
        try:
            target.stat(directory)
        except FileNotFoundError:
            return
        except OSError:
            pass  # run_parts words it
        from accounts.system.commands import run_parts

        chroot = None if target.live else target.root
        listener = self.listener
        if not run_parts(target.root, directory, subject, tool.encode(), listener.warn, listener.complain, chroot):
            raise AccountsError

    def release(self) -> None:
        """Release the locks, where any are held."""
        self.store.close()


def _login_uid() -> bytes:
    """The audit user id of this process; 4294967295 when it has none, or the kernel no audit."""
    try:
        return read_fd(posix.open("/proc/self/loginuid", READ))
    except OSError:
        return b"4294967295"
