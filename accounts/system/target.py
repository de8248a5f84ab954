# SPDX-License-Identifier: MIT
"""A root directory whose accounts are worked on: its files, its settings, its NSS policy. Hot path.

Never reads the host's files for another root. Only what is not there counts as not there: a configuration file
that cannot be read ends a tool, as an unreadable login.defs ends the real ones.
"""

from __future__ import annotations

import _stat as stat
import errno
import posix

from accounts.errors import ConfigError, FileError
from accounts.model.policy import SUBIDS, Policy, default_policy, parse_nsswitch
from accounts.model.release import DEFAULT, parse_release
from accounts.system.shield import REFUSED
from accounts.text import fsdecode, fsencode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from accounts.model.release import Release

# Where vendor copies of configuration files are looked for, below the root, after /etc.
VENDOR_DIRS = (b"usr/etc", b"usr/share/accounts", b"usr/lib")
LOGIN_DEFS = b"login.defs"
READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOCTTY | posix.O_NONBLOCK
# Bytes. An account file of the greatest size has some four million rows; a sparse one must not fill the memory.
MAX_ACCOUNT_FILE = 1 << 28
MAX_CONFIG = 1 << 24
# In place of the descriptor of a root that is not there.
_NOWHERE = -1
_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def read_fd(fd: int, limit: int = MAX_ACCOUNT_FILE) -> bytes:
    """All bytes of a regular file; closes fd. OSError: EFBIG for more than limit, EISDIR, EINVAL."""
    try:
        size = _size_of(fd)
        if size <= limit:
            # A byte more than there is: what comes shorter than asked for is all of it.
            data = posix.read(fd, size + 1)
            if len(data) == size:
                return data
            pieces, size = [data], len(data)
            while size <= limit and (piece := posix.read(fd, 65536)):
                pieces.append(piece)
                size += len(piece)
            if size <= limit:
                return b"".join(pieces)
        raise OSError(errno.EFBIG, posix.strerror(errno.EFBIG))
    finally:
        posix.close(fd)


def _size_of(fd: int) -> int:
    """Bytes of a regular file; 0 where fstat(2) is refused, and it takes reading to find out. OSError as read_fd()."""
    try:
        status = posix.fstat(fd)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        return 0
    if stat.S_ISREG(status.st_mode):
        return status.st_size
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, posix.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "not a regular file")


class Target:
    """A root directory whose accounts are worked on.

    root, etc: directory descriptors; path: of the root, with the prefix; prefix: what --prefix gave, put before
    "/etc/..." in messages (with the slash that shadow has there); live: whether it is the running system's own root.
    """

    def __init__(self, root: bytes = b"/", prefix: bytes = b"") -> None:
        """Raises OSError when the root, or the prefix inside of it, cannot be opened.

        For a prefix that is not there nothing is there, as for shadow, which puts it before each path.
        """
        self.prefix = prefix
        self.path = root.rstrip(b"/") + prefix or b"/"
        self.live = self.path == b"/"
        self._etc: int | None = None
        self._conf: dict[bytes, bytes] | None = None
        self._policy: Policy | None = None
        # Where the caller's own paths start, when that is not where the kernel has them start.
        self._outer: int | None = None
        if root.rstrip(b"/"):
            self._outer = posix.open(root, _DIRECTORY)
        try:
            if self._outer is None:
                self.root = posix.open(self.path, _DIRECTORY)
            elif prefix:
                from accounts.system.paths import open_beneath

                self.root = open_beneath(self._outer, prefix, _DIRECTORY, any_link=True)
            else:
                self.root = self._outer
        except FileNotFoundError:
            if not prefix:
                raise
            self.root = _NOWHERE

    @property
    def etc(self) -> int:
        """Directory descriptor of /etc. Raises FileNotFoundError, and FileError when it cannot be opened."""
        if self._etc is None:
            try:
                self._etc = self.open(b"etc", _DIRECTORY)
            except FileNotFoundError as error:
                error.filename = self.path.rstrip(b"/") + b"/etc"
                raise
            except OSError as error:
                try:
                    # Names in it can be worked on all the same; its fsync(2) is left out (shield.sync).
                    self._etc = self.open(b"etc", _DIRECTORY | posix.O_PATH)
                except OSError:
                    message = f"cannot open {self.shown('')}: {error.strerror}"
                    raise FileError("passwd", "find", message=message) from None
        return self._etc

    def shown(self, name: str) -> str:
        """The path of a file of /etc as messages name it."""
        path = f"/etc/{name}" if name else "/etc"
        return f"{fsdecode(self.prefix)}/{path}" if self.prefix else path

    # Files

    def open(self, path: bytes, flags: int, mode: int = 0o600) -> int:
        """open(2) of a path below the root, whether it begins with a slash or not. Raises OSError."""
        if self.live:
            return posix.open(path, flags | posix.O_CLOEXEC, mode, dir_fd=self.root)
        self._check_root(path)
        from accounts.system.paths import open_beneath

        return open_beneath(self.root, b"/" + path, flags, mode, any_link=True)

    def open_named(self, path: bytes, flags: int) -> int:
        """open(2) of a file that the command line names: inside --root, not below --prefix. Raises OSError."""
        if self._outer is None:
            return posix.open(path, flags | posix.O_CLOEXEC)
        from accounts.system.paths import open_beneath

        return open_beneath(self._outer, b"/" + path, flags, any_link=True)

    def stat(self, path: bytes) -> posix.stat_result:
        """stat(2) of a path below the root, as open(). Raises OSError."""
        if self.live:
            return posix.stat(path, dir_fd=self.root)
        self._check_root(path)
        from accounts.system.paths import stat_beneath

        return stat_beneath(self.root, b"/" + path, any_link=True)

    def _check_root(self, path: bytes) -> None:
        if self.root == _NOWHERE:
            raise OSError(errno.ENOENT, posix.strerror(errno.ENOENT), path)

    def is_accessible(self, path: bytes, mode: int) -> bool:
        """access(2) for root, F_OK or X_OK; on the live system relative to the working directory."""
        if self.live:
            return posix.access(path, mode)
        try:
            bits = self.stat(path).st_mode
        except OSError:
            return False
        # For root: every directory, and what anybody may execute.
        return mode == posix.F_OK or stat.S_ISDIR(bits) or bool(bits & 0o111)

    def path_of(self, name: bytes) -> bytes:
        """The path, free of links below the root, by which a program outside of the root finds a file of /etc."""
        if self.live:
            return b"/etc/" + name
        from accounts.system.paths import real_path

        return self.path.rstrip(b"/") + real_path(self.root, b"/etc", any_link=True) + b"/" + name

    def read(self, path: bytes, limit: int = MAX_CONFIG) -> bytes | None:
        """The bytes of a configuration file below the root, None when it is not there. Raises ConfigError."""
        try:
            return read_fd(self.open(path, READ), limit)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise self.unreadable(path, error) from None

    def unreadable(self, path: bytes, error: OSError) -> ConfigError:
        """The error of a configuration file that is there, but not to be read."""
        shown = fsdecode(self.prefix + b"/" + path)
        if path.endswith(LOGIN_DEFS):
            # shadow's words, which it tells syslog alone.
            return ConfigError(f"cannot open login definitions {shown} [{error.strerror}]")
        return ConfigError(f"cannot read {shown}: {error.strerror}")

    def read_layered(self, name: bytes) -> bytes | None:
        """The bytes of /etc/NAME, else of the vendor's copy of it, or None. Raises ConfigError."""
        for directory in (b"etc", *VENDOR_DIRS):
            text = self.read(directory + b"/" + name)
            if text is not None:
                return text
        return None

    def read_drop_ins(self, directory: bytes, ending: bytes) -> list[bytes]:
        """The bytes of all files DIRECTORY/*ENDING by name; one of /etc stands for those of its name at the vendors'.

        Raises ConfigError.
        """
        found: dict[str, bytes] = {}
        for top in (*reversed(VENDOR_DIRS), b"etc"):
            path = top + b"/" + directory
            try:
                fd = self.open(path, _DIRECTORY)
            except OSError as error:
                if error.errno in NOT_THERE:
                    continue
                raise self.unreadable(path, error) from None
            try:
                found |= {name: path for name in posix.listdir(fd) if fsencode(name).endswith(ending)}
            finally:
                posix.close(fd)
        texts = (self.read(found[name] + b"/" + fsencode(name)) for name in sorted(found) if name[:1] != ".")
        return [text for text in texts if text is not None]

    def find_layered(self, name: bytes) -> bytes:
        """The path below the root of /etc/NAME, else of the vendor's copy of it; /etc/NAME if none is there."""
        for directory in (b"etc", *VENDOR_DIRS):
            try:
                self.stat(directory + b"/" + name)
            except OSError as error:
                if error.errno in NOT_THERE:
                    continue
            return b"/" + directory + b"/" + name
        return b"/etc/" + name

    # Settings

    def setting(self, key: bytes, default: bytes) -> bytes:
        """A value of accounts.conf: /etc/accounts/accounts.conf over /usr/share/accounts/accounts.conf.

        Raises ConfigError.
        """
        if self._conf is None:
            conf = {}
            for path in (b"usr/share/accounts/accounts.conf", b"etc/accounts/accounts.conf"):
                try:
                    text = read_fd(self.open(path, READ), MAX_CONFIG)
                except OSError as error:
                    # In a directory that is root's alone, as earlier versions made it: sg and newgrp go on.
                    hidden = error.errno == errno.EACCES and posix.geteuid()
                    if error.errno not in NOT_THERE and not hidden:
                        raise self.unreadable(path, error) from None
                    text = b""
                for line in text.split(b"\n"):
                    name, equals, value = line.strip().partition(b"=")
                    if equals and not name.startswith(b"#"):
                        conf[name.strip()] = value.strip().strip(b"\"'")
            self._conf = conf
        return self._conf.get(key, default)

    def settings(self) -> dict[bytes, bytes]:
        """All that accounts.conf says, whether it means something or not. Raises ConfigError."""
        self.setting(b"", b"")
        return dict(self._conf or {})

    def image_dir(self) -> bytes:
        """IMAGE_DIR of accounts.conf, relative to the root. Raises ConfigError."""
        path = self.setting(b"IMAGE_DIR", b"/usr/lib")
        if not path.startswith(b"/"):
            raise ConfigError(f"accounts.conf: IMAGE_DIR must be an absolute path: '{fsdecode(path)}'")
        if b".." in path.split(b"/") or b"\0" in path:
            raise ConfigError(f"accounts.conf: IMAGE_DIR must be a path without '..': '{fsdecode(path)}'")
        return path.strip(b"/") or b"."

    def policy(self) -> Policy:
        """The NSS policy: GROUP_POLICY, else nsswitch.conf of the target, else the vendor's, else merge.

        Raises ConfigError.
        """
        wanted = self.setting(b"GROUP_POLICY", b"auto")
        if wanted not in (b"auto", b"merge", b"first"):
            raise ConfigError(f"accounts.conf: GROUP_POLICY must be auto, merge or first: '{fsdecode(wanted)}'")
        if self._policy is None:
            text = self.read_layered(b"nsswitch.conf")
            policy = default_policy() if text is None else parse_nsswitch(text)
            if wanted != b"auto":
                # It is about groups: whom libsubid asks is said in nsswitch.conf alone.
                fixed = default_policy(wanted == b"merge")
                asked = {name: policy.image[name] for name in SUBIDS}
                policy = Policy(fixed.image | asked, fixed.merge_groups, fixed.others)
            self._policy = policy
        return self._policy

    def check_hide(self) -> None:
        """Raise ConfigError for a HIDE in accounts.conf that is none of auto, yes and no."""
        wanted = self.setting(b"HIDE", b"auto")
        if wanted not in (b"auto", b"yes", b"no"):
            raise ConfigError(f"accounts.conf: HIDE must be auto, yes or no: '{fsdecode(wanted)}'")

    def honours_hides(self) -> bool:
        """Whether NSS leaves out the image's rows that /etc/accounts/hidden names: HIDE of accounts.conf.

        auto asks the root's own NSS module, so this is called only where it matters.
        """
        wanted = self.setting(b"HIDE", b"auto")
        if wanted == b"auto":
            from accounts.system.module import honours_hides

            return honours_hides(self)
        return wanted == b"yes"

    def asks_nss(self, database: str) -> bool:
        """Whether NSS may know more of a database than the two layers: only on the live system."""
        return self.live and (self.policy().others[database] or self.image_dir() != b"usr/lib")

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in {self._etc, self.root, self._outer}:
            if fd is not None:
                posix.close(fd)
        self._etc = None


def find_release(target: Target) -> Release:
    """The release of shadow-utils that the callers of this machine's tools expect, whatever root they work on.

    SHADOW_COMPAT of the running system's accounts.conf, or of the environment in tests. target: read anyway, when it
    is the running system. Raises ConfigError.
    """
    text = posix.environ.get(b"ACCOUNTS_SHADOW_COMPAT")
    if text is None:
        if target.live:
            text = target.setting(b"SHADOW_COMPAT", b"")
        else:
            host = Target()
            try:
                text = host.setting(b"SHADOW_COMPAT", b"")
            finally:
                host.close()
    release = parse_release(text) if text else DEFAULT
    if release is None:
        raise ConfigError(f"accounts.conf: SHADOW_COMPAT must be a release from 4.13 to 4.20: '{fsdecode(text)}'")
    return release
