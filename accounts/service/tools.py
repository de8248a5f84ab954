# SPDX-License-Identifier: MIT
"""org.stateless-accounts.self: the tools that are set-uid elsewhere, run for the caller to the letter."""

from __future__ import annotations

from accounts.service.errors import ClientGone, VarlinkError
from accounts.service.interfaces import SELF
from accounts.service.session import Dialogue, Method, Session, take
from accounts.service.varlink import SERVICE, Message, invalid_parameter
from accounts.system.pamapp import ERROR_MSG, PROMPT_ECHO_OFF, PROMPT_ECHO_ON
from accounts.text import fsdecode, fsencode

TOOLS = ("passwd", "chsh", "chfn", "chage", "expiry", "gpasswd")
# A text of one reply, in characters, and of all together: what a tool prints of its own user is never more.
PIECE, LIMIT = 8192, 1 << 20
STREAMS = {1: "stdout", 2: "stderr"}


class ToolDialogue(Dialogue):
    """Output is kept until there is a prompt, or the end: no client can have a tool wait while it holds a lock."""

    def __init__(self, session: Session, more: bool, terminal: bool) -> None:
        self._session = session
        self._more = more
        self._texts: list[tuple[int, str]] = []
        self._length = 0
        self.is_terminal = terminal

    def write(self, fd: int, text: str) -> None:
        self._length += len(text)
        if text and self._length <= LIMIT:
            self._texts.append((fd, text))

    def ask(self, kind: str, prompt: str) -> bytes | None:
        self.flush()
        if not self._session.send({"parameters": {"reply": {"prompt": to_text(fsencode(prompt)), "read": kind}}}):
            raise ClientGone
        (line,) = take(self._session.wait_for(f"{SELF}.Answer"), line=(str, None))
        return None if line is None else from_text(line, "line")

    def speak(self, style: int, text: bytes) -> bytes | None:
        """As misc_conv(3)."""
        if style in (PROMPT_ECHO_OFF, PROMPT_ECHO_ON):
            return self.ask("secret" if style == PROMPT_ECHO_OFF else "reply", fsdecode(text))
        self.write(2 if style == ERROR_MSG else 1, fsdecode(text) + "\n")
        return None

    def flush(self) -> None:
        """Send what has been written. Raises ClientGone."""
        texts, self._texts = self._texts, []
        for fd, text in texts if self._more else ():
            shown = to_text(fsencode(text))
            for start in range(0, len(shown), PIECE):
                reply = {"reply": {STREAMS[fd]: shown[start : start + PIECE]}}
                if not self._session.send({"parameters": reply, "continues": True}):
                    raise ClientGone


def to_text(data: bytes) -> str:
    """A character for each byte."""
    return data.decode("latin-1")


def from_text(text: str, name: str) -> bytes:
    """The bytes of such a text. Raises VarlinkError."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise invalid_parameter(name) from None


def run(session: Session, parameters: Message, more: bool) -> Message:
    """Run a tool with its arguments for the peer, who is not root: root has the tools."""
    tool, arguments, terminal = take(parameters, tool=str, arguments=list, terminal=bool)
    if not more:
        raise VarlinkError(f"{SERVICE}.ExpectedMore")
    if session.is_root:
        raise VarlinkError(f"{SERVICE}.PermissionDenied")
    if tool not in TOOLS:
        raise invalid_parameter("tool")
    words = []
    for word in arguments:
        if not isinstance(word, str) or "\0" in word:
            raise invalid_parameter("arguments")
        words.append(from_text(word, "arguments"))
    dialogue = ToolDialogue(session, more, terminal)
    outcome = session.run_tool(tool, words, dialogue)
    dialogue.flush()
    return {"reply": {"status": outcome.status}}


def answer(session: Session, parameters: Message, more: bool) -> Message:
    """An answer that nobody has asked for."""
    raise VarlinkError(f"{SERVICE}.PermissionDenied")


METHODS: dict[str, Method] = {f"{SELF}.Run": run, f"{SELF}.Answer": answer}
