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


# What the rules let pass, and what is next to it and stays a fault.
_ROWS = files(group="g:x:5:amy,bob\nh:x:6:\n", gshadow="g:!::amy,bob\n", passwd="", shadow="s\n", subuid="a:1:1\n")


def judged_split(
    tool: str, local: dict[str, File], image: dict[str, File], after: dict[str, File], touched: str = ""
) -> list[str]:
    """The faults of a split run of a tool that changes nothing on a classic machine."""
    case = Case("made/up", Command(tool, []), State(_ROWS), State(_ROWS), 0, b"", b"")
    before = State(local, image)
    return judge_split(case, before, Outcome(0, b"", b"", State(after, image), set(touched.split()), [], 0.0)).faults


@pytest.mark.parametrize(
    ("tool", "row", "touched", "fault"),
    [
        ("grpconv", "g:!::bob,amy", "gshadow", ""),
        # No order of the join, not grpconv's to change, another field, a file that has nothing to do with it.
        ("grpconv", "g:!::amy, bob", "gshadow", "untouched gshadow line"),
        ("grpck", "g:!::bob,amy", "gshadow", "untouched gshadow line"),
        ("grpconv", "g:!:,:bob,amy", "gshadow", "untouched gshadow line"),
        ("grpconv", "g:!::bob,amy", "gshadow group", "these files were written: group"),
    ],
)
def test_grpconv_may_copy_members_in_the_order_of_the_join(tool: str, row: str, touched: str, fault: str) -> None:
    local = {**_ROWS, **files(group="g:x:5:bob\n")}
    image = files(group="g:x:5:amy\nh:x:6:\n")
    faults = judged_split(tool, local, image, local | files(gshadow=row + "\n"), touched)
    assert any(fault in text for text in faults) if fault else not faults


@pytest.mark.parametrize(
    ("tool", "name", "mode", "good"),
    [
        ("pwconv", "passwd-", 0o600, True), ("pwconv", "passwd-", 0o644, False), ("pwconv", "passwd-", 0o640, False),
        ("pwunconv", "passwd-", 0o600, False), ("pwconv", "shadow-", 0o600, False), ("pwck", "passwd-", 0o644, True),
    ],
)  # fmt: skip
def test_only_pwconv_takes_rights_from_an_old_backup(tool: str, name: str, mode: int, good: bool) -> None:
    before = State(_ROWS | {name: File(b"older\n")})
    recorded = State(_ROWS | {name: File(_ROWS[name[:-1]].data, mode)})
    left = State(_ROWS | {name: File(b"older\n", mode)})
    case = Case("made/up", Command(tool, []), before, recorded, 0, b"", b"")
    assert judge_classic(case, before, Outcome(0, b"", b"", left, set(), [], 0.0)).ok == good


@pytest.mark.parametrize(
    ("old", "new", "good"),
    [
        # A new file is as the image's; one that was there keeps its rights, or gets fewer.
        (None, (0o640, 0, 42), True), (None, (0o600, 0, 0), True), (None, (0o644, 0, 42), False),
        (None, (0o640, 0, 0), False), ((0o600, 0, 0), (0o640, 0, 42), False), ((0o600, 0, 0), (0o400, 0, 0), True),
        ((0o644, 0, 0), (0o644, 0, 0), True), ((0o644, 0, 0), (0o640, 0, 42), False),
    ],
)  # fmt: skip
def test_rights_of_a_new_file_are_the_images(
    old: tuple[int, int, int] | None, new: tuple[int, int, int], good: bool
) -> None:
    row, changed = b"a:!:1::::::\n", b"a:*:1::::::\n"
    local = {"shadow": File(b"b:!:1::::::\n", *old)} if old else {}
    own = b"b:!:1::::::\n" if old else b""
    case = Case(
        "made/up", Command("usermod", []), State({"shadow": File(row + own, 0o600)}),
        State({"shadow": File(changed + own, 0o600)}), 0, b"", b"",
    )  # fmt: skip
    before = State(local, {"shadow": File(row, 0o640, 0, 42)})
    after = {"shadow": File(own + changed, *new), "accounts/base": File(b"shadow:" + row, 0o600)}
    verdict = judge_split(case, before, Outcome(0, b"", b"", State(after, before.image), set(after), [], 0.0))
    assert verdict.ok == good, verdict.faults


@pytest.mark.parametrize(
    ("base", "good"),
    [(File(b"group:h:x:6:\n", 0o600), True), (File(b"group:h:x:6:\n", 0o644), False),
     (File(b"group:h:x:7:\n", 0o600), False), (File(b"gshadow:h:x:6:\n", 0o600), False)],
)  # fmt: skip
def test_base_holds_rows_of_the_image_for_root_alone(base: File, good: bool) -> None:
    image = files(group="h:x:6:\n")
    local = {**_ROWS, **files(group="g:x:5:amy,bob\n")}
    assert (judged_split("grpck", local, image, local | {"accounts/base": base}) == []) == good


def test_what_was_hidden_before_is_lost_no_more_and_nothing_else() -> None:
    image = files(passwd="a:x:1:1::/:\n", group="g:x:5:b\n", shadow="a:*:1::::::\n", gshadow="g:!::\n")
    hidden = {"accounts/hidden": File(b"passwd:a\ngroup:g\nshadow:a\ngshadow:g\n")}
    assert inexpressible(image, view(image, hidden, hide=True), view({}, {})) == []
    # Where NSS does not honour the file, and where it names something else, all four are lost.
    assert len(inexpressible(image, view(image, hidden), view({}, {}))) == 4
    other = {"accounts/hidden": File(b"passwd:g\ngroup:a\nshadow:g\n")}
    assert len(inexpressible(image, view(image, other, hide=True), view({}, {}))) == 4


@pytest.mark.parametrize(("row", "good"), [("g:x:5:b", False), ("g:x:5:", True), ("g:x:6:b", True)])
def test_a_hidden_row_is_not_written_as_the_image_has_it(row: str, good: bool) -> None:
    image, hidden = files(group="g:x:5:b\n"), {"accounts/hidden": File(b"group:g\n")}
    after = hidden | files(group=row + "\n")
    assert (delta_faults(image, hidden | files(group="g:x:7:\n"), after, hide=True) == []) == good
