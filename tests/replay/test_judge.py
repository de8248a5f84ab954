# SPDX-License-Identifier: MIT
"""The judge itself: splitting keeps the view, and what breaks the law is found."""

from __future__ import annotations

import pytest

from tests.replay.compare import Verdict, judge_classic, judge_split
from tests.replay.layout import LAYOUTS, split
from tests.support.hashes import method, same_hash, sha_rounds
from tests.support.recordings import Case, load_recordings
from tests.support.state import Command, File, Node, Outcome, State
from tests.support.view import delta_faults, inexpressible, view


def files(**texts: str) -> dict[str, File]:
    """Account files by name."""
    return {name: File(text.encode()) for name, text in texts.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_split_state_gives_the_same_view(layout: str) -> None:
    moved = 0
    for case in load_recordings():
        state = split(case.before, case.name, layout)
        assert not view({}, case.before.etc).differences(view(state.image, state.etc, state.merge)), case.name
        assert not delta_faults(state.image, {}, state.etc, state.merge), case.name
        moved += bool(state.image)
    assert moved > 2500


@pytest.mark.parametrize(
    ("image", "local", "name", "expected"),
    [
        ("video:x:44:sys", "video:x:44:alice", b"video", ((b"video", b"x", b"44"), {b"sys", b"alice"})),
        ("video:x:44:sys", "video:x:45:alice", b"video", ((b"video", b"x", b"45"), {b"alice"})),
        ("video:x:44:sys", "video:x:4a:alice", b"video", ((b"video", b"x", b"44"), {b"sys"})),
        ("video:x:44:sys", "#video:x:44:alice", b"video", ((b"video", b"x", b"44"), {b"sys"})),
        ("video:x:44:sys", "video:!:044:", b"video", ((b"video", b"!", b"44"), {b"sys"})),
        ("", "a:x:1:b\na:x:1:c", b"a", ((b"a", b"x", b"1"), {b"b"})),
        ("a:x:1", "", b"a", ((b"a", b"x", b"1"), set())),
    ],
)
def test_group_view(image: str, local: str, name: bytes, expected: tuple[tuple[bytes, ...], set[bytes]]) -> None:
    entry = view(files(group=image), files(group=local)).entries["group"][name]
    assert (entry.fields, set(entry.lists[0])) == expected


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("video:x:44:sys", "needless"),
        ("video:x:44:", "member row without members"),
        ("video:x:44:sys,alice", "repeats"),
        ("video:x:44:alice", ""),
        ("video:!:44:sys,alice", ""),
    ],
)
def test_delta_faults(row: str, fault: str) -> None:
    faults = delta_faults(files(group="video:x:44:sys\n"), {}, files(group=row + "\n"))
    assert [fault in text for text in faults] == ([True] if fault else [])


def test_an_empty_file_over_an_image_is_a_fault() -> None:
    assert delta_faults(files(group="a:x:1:\n"), files(group="b:x:2:\n"), files(group=""))
    assert not delta_faults({}, files(group="b:x:2:\n"), files(group=""))


def test_inexpressible_names_the_three_kinds() -> None:
    image = files(passwd="a:x:1:1::/:\nb:x:2:2::/:\n", group="g:x:5:a,b\nh:x:6:\n", shadow="a:*:1::::::\n")
    before = view(image, {})
    after = view({}, files(passwd="a:x:1:9::/new:\nb:x:3:2::/:\n", group="g:x:5:a\n"))
    assert inexpressible(image, before, after) == [
        "image user's UID changed: b",
        "image-listed member removed: b from g",
        "image group deleted or renamed: h",
        "image's shadow row removed: a",
    ]


# One command that adds bob to the image's video group of a machine with a local user.
_BEFORE = State(etc=files(group="video:x:44:\nbob:x:1000:\n# note\n", passwd="bob:x:1000:1000::/h:/s\n"))
_AFTER = State(etc=files(group="video:x:44:bob\nbob:x:1000:\n# note\n", passwd="bob:x:1000:1000::/h:/s\n"))
_CASE = Case("made/up", Command("usermod", [b"-aG", b"video", b"bob"]), _BEFORE, _AFTER, 0, b"", b"")
_SPLIT = State(
    etc=files(group="bob:x:1000:\n# note\n", passwd="bob:x:1000:1000::/h:/s\n"),
    image=files(group="video:x:44:\n"),
)
_GOOD = "bob:x:1000:\n# note\nvideo:x:44:bob\n"


def judged(group: str = _GOOD, exit: int = 0, stderr: bytes = b"", extra: dict[str, File] | None = None) -> Verdict:
    """The judgement over a split run that left this group file."""
    etc = _SPLIT.etc | files(group=group) | (extra or {})
    touched = {name for name in etc if etc[name] != _SPLIT.etc.get(name)}
    return judge_split(_CASE, _SPLIT, Outcome(exit, b"", stderr, State(etc, _SPLIT.image), touched, [], 0.0))


def test_the_right_delta_is_accepted() -> None:
    assert judged().faults == []


@pytest.mark.parametrize(
    ("verdict", "fault"),
    [
        (judged(_SPLIT.etc["group"].data.decode()), "group video"),
        (judged("bob:x:1000:\nvideo:x:44:bob\n"), "untouched group line"),
        (judged("bob:x:1000:0\n# note\nvideo:x:44:bob\n"), "group bob"),
        (judged(exit=1), "exit"),
        (judged(stderr=b"usermod: no\n"), "stderr"),
        (judged(extra={"extra": File(b"")}), "extra"),
        (judged(extra={"passwd-": File(b"other\n")}), "passwd- is not the old passwd"),
        (judged(extra={"subuid": File(b"")}), "subuid"),
        (judged(exit=6, stderr=b"usermod: refused: bob is in the image\n"), "refused, but a delta can"),
        (judged(extra=files(gshadow="video:!::\n")), "gshadow video"),
    ],
)
def test_what_breaks_the_law_is_found(verdict: Verdict, fault: str) -> None:
    assert any(text.startswith(fault) or fault in text.split("\n")[0] for text in verdict.faults)


def test_a_refusal_needs_a_reason_and_an_unchanged_root() -> None:
    case = Case("made/up", Command("groupdel", [b"video"]), _BEFORE, State(), 0, b"", b"")
    etc = _SPLIT.etc
    refusal = b"groupdel: video is a group of the image\n"
    good = judge_split(case, _SPLIT, Outcome(8, b"", refusal, _SPLIT, {".pwd.lock"}, [], 0.0))
    assert good.ok and good.refused == ["image group deleted or renamed: video"]
    changed = Outcome(8, b"", refusal, State(etc | files(group="x"), _SPLIT.image), {"group"}, [], 0.0)
    assert not judge_split(case, _SPLIT, changed).ok
    silent = Outcome(0, b"", b"", State(etc, {}), set(), ["/usr/lib/group"], 0.0)
    faults = "\n".join(judge_split(case, _SPLIT, silent).faults)
    assert "a refusal is expected" in faults and "wrote where it must not: /usr/lib/group" in faults


def test_classic_is_byte_for_byte() -> None:
    def faults(**changes: File) -> list[str]:
        after = State(_AFTER.etc | changes)
        return judge_classic(_CASE, _BEFORE, Outcome(0, b"", b"", after, set(), [], 0.0)).faults

    assert faults() == []
    assert faults(group=File(_AFTER.etc["group"].data + b"\n"))
    assert faults(group=_AFTER.etc["group"]._replace(mode=0o600))
    assert faults(shadow=File(b""))
    moved = Outcome(0, b"", b"", State(_AFTER.etc, tree={"/home/x": Node("d", 0o755, 0, 0)}), set(), [], 0.0)
    assert judge_classic(_CASE, _BEFORE, moved).faults == ["tree /home/x: expected nothing, got d 755 0:0 0"]


def test_hashes() -> None:
    assert method(b"$6$jOmYI571LOnFuBHL$jc") == (b"$6$", b"")
    assert method(b"$5$rounds=9706$ud3$Wq") == (b"$5$", b"9706")
    assert method(b"$y$j9T$abc$def") == (b"$y$", b"j9T")
    assert method(b"!") is None
    assert sha_rounds(b"#x\nSHA_CRYPT_MIN_ROUNDS 10\nSHA_CRYPT_MAX_ROUNDS 20\n") == (10, 20)
    one, two = b"$1$abc$BXBqpb9BZcZhXLgbee.0s/", b"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"
    assert not same_hash(one, two, {b"wrong"})
    assert not same_hash(one, b"$6$saltsalt$x", {b"password"})
    assert same_hash(two, two, {b"password"})
