# SPDX-License-Identifier: MIT
"""Odd account files on which our module must answer as glibc's `files` does.

Pure data and a seeded generator. Every table holds whole files (bytes); `compare.c`
asks both services for every row, name, id and group list they suggest.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

PASSWD = [
    b"",
    b"\n\n\n",
    b"root:x:0:0:root:/root:/bin/bash\n",
    b"root:x:0:0:root:/root:/bin/bash",  # no final newline
    b"a:x:1:1::/:/bin/sh\r\nb:x:2:2::/:/bin/sh\r\n",
    b" \t\v\f\ra:x:1:1::/:\n",
    b"# comment\n  # blanks, then a comment\n#a:x:1:1::/:\na:x:2:2::/:\n",
    b"a\na:\na:x\na:x:\na:x:1\na:x:1:\na:x:1:2\nb:x:1:2:\nc:x:1:2::\nd:x:1:2:::\ne:x:1:2::::::\n",
    b"a:x::1::/:\na:x:1:::/:\na:x: :1::/:\na:x:1: ::/:\n",
    b"a:x: 1:\t2::/:\nb:x:+3:+4::/:\nc:x:-1:-2::/:\nd:x:007:0x8::/:\ne:x:5 :6::/:\nf:x:5:6 ::/:\n",
    b"a:x:4294967295:1::/:\nb:x:4294967296:1::/:\nc:x:99999999999999999999999:1::/:\nd:x:-99999999999999999999:1::/:\n",
    b"a:x:0000000000000000001:1::/:\nb:x:00000000005:1::/:\nc:x:-18446744073709551615:1::/:\n",
    b"a:x:one:1::/:\nb:x:1:one::/:\nc:x:1e3:1::/:\nd:x:--1:1::/:\n",
    b":x:1:1::/:\n::::::\n:\n:::\n",
    b"a:x:1:1::/:\na:x:2:2::/:\nb:x:1:3::/:\n",  # duplicates: the first one wins
    b"+\n-\n+:\n+::::::\n-a\n-a:x\n-a:x:\n+a:x:1:\n+a:x:1:2\n+a:x::::/:\n+a:x:y:::/:\n+@net:x:5:6:::/bin/false\n",
    b"a\0b:x:1:1::/:\n\0\n\0a:x:1:1::/:\nb:x:2\0:2::/:\nc:x:3:3:\0:/:\nd:x:4:4::/:/bin/sh\0/no\ne:x:5:5::/:\n",
    b"a:x:1:1::/:\0",
    b"a:\xff:1:1:\xc3\xa9\xff:/:\n\xe9t\xe9:x:2:2::/:\n\xa0b:x:3:3::/:\n\x85c:x:4:4::/:\n",
    b"a:x:1:1::/:/bin/sh:more:fields\n",
    b"name with blanks :x:1:1: g :/ : sh \n",
    b"a:x:1:1::/:\n" + b"long:x:2:2:" + b"g" * 5000 + b":/:\nb:x:3:3::/:\n",
    b"#" * 40000 + b"\na:x:1:1::/:\n",
    b"x" * 12000 + b"\na:x:1:1::/:\n",
]

GROUP = [
    b"",
    b"a:x:1:\nb:x:2:u\nc:x:3:u,v\nd:x:4:v,u\n",
    b"a:x:1:u",
    b"a:x:1:u\r\nb:x:2:u,v\r\n",
    b"a\na:\na:x\na:x:\na:x:1\nb:x:2:\nc:x::u\nd:x: :u\ne:x:z:u\nf:x:1z:u\n",
    b"a:x:1:,\nb:x:2:,,u,,v,,\nc:x:3: u , v \nd:x:4: , ,u\ne:x:5:\tu,\v\fv\ng:x:6:uu,u v,u\n",
    b"a:x:1:u:v\nb:x:2:u,v:w\nc:x:3:u:\nd:x:4::u\n",
    b"a:x:7:u\nb:x:7:u\nc:x:8:u\nd:x:8:u\n",  # 7 is the primary group that compare.c asks with
    b"a:x:1:u,u,u\nb:x:1:u\n",
    b"a:x:1:a\nu:x:2:\nu:x:3:x\nxu:x:4:xu,ux\n",
    b"a:x:-1:u\nb:x:4294967295:u\nc:x:4294967296:u\nd:x:+5:u\ne:x: 6:u\n",
    b"+\n-\n+:::\n+:::u\n+a:x:5:u\n-a:x::u\n+a:x\n+a:x:\n+a:x:y:u\n",
    b"a:x:1:u\0,v\nb:x:2:\0u\nc:x:3:v,u\0v\nd:x\0:4:u\n\0e:x:5:u\nf:x:6:u\n",
    b"# a:x:1:u\n  a:x:1:u\n\n \n\t#b:x:2:u\n",
    b"a:x:1:\xff,\xe9t\xe9,u\n",
    b"a:x:1:" + b",".join(b"user%d" % i for i in range(900)) + b"\nb:x:2:user899\n",
    b":x:1:u\n::2:u\n:::\n",
    b"*:x:1:u\na::2:u\na b:x:3:u\n",
]

SHADOW = [
    b"",
    b"root:*:19000:0:99999:7:::\n",
    b"a:!:19000:0:99999:7:::\nb:$y$j9T$x/:1:2:3:4:5:6:7\nc::::::::\n",
    b"a\na:\na:x\na:x:\na:x:1\na:x:1:\na:x:1:2\na:x:1:2:\n",
    b"b:x:1:2:3\nc:x:1:2:3:\nd:x:1:2:3: \ne:x:::\nf:x::: \n",
    b"a:x:1:2:3:4\nb:x:1:2:3:4:\nc:x:1:2:3:4:5\nd:x:1:2:3:4:5:\n",
    b"e:x:1:2:3:4:5:6\nf:x:1:2:3:4:5:6:\ng:x:1:2:3:4:5:6:7\n",
    b"a:x:1:2:3:4:5:6:7:\nb:x:1:2:3:4:5:6:7:8\nc:x:1:2:3:4:5:6: \n",
    b"d:x:1:2:3:4:5:6: 7\ne:x:1:2:3:4:5:6:z\nf:x:1:2:3:4:5:6:::\n",
    b"a:x:-1:-2:-3:-4:-5:-6:-7\nb:x:99999999999:4294967295:2147483648:2147483647::::\n",
    b"a:x: 1:+2:\t3:4:5:6:7\nb:x:1 :2:3:4:5:6:7\nc:x:z:2:3:4:5:6:7\nd:x: :2:3:4:5:6:7\n",
    b"a:x:1:2:3:\t\v4:5:6:7\nb:x:1:2:3: :5:6:7\nc:x:1:2:3:  #\n",
    b"+\n-\n+:\n+a:x\n+::::::::\n-a:x:1:2:3:4:5:6:7\n",
    b"a:x:1:2:3:4:5:6\0:7\nb:x:1:2:3:\0\n\0c:x:1:2:3:4:5:6:7\n",
    b"a:x:1:2:3:4:5:6:7\r\n\r\n",
    b"a:x:1:2:3:4:5:6:7",
    b"a:x:1:2:3:4:5:6:7\na:y:1:2:3:4:5:6:7\n",
    b"  a:x:1:2:3:4:5:6:7\n# a\n",
]

GSHADOW = [
    b"",
    b"a:!::\nb:*:adm:u,v\nc:x:u,v:\n",
    b"a\nb:\nc:x\nd:x:\ne:x::\nf:x:u\ng:x:u:\nh:x:u,v:u\n",
    b"a:x:,:,\nb:x:,,u,,:,,v,,\nc:x: u , v : w , x \nd:x: : \ne:x:u,:v\nf:x: ,u:,v\n",
    b"a:x::u:v\nb:x:u:v:w\nc:x:::\nd:x:::u\n",
    b"+\n-\n+:\n+a\n+a:x:u:v\n-::\n",
    b"a\0:x:u:v\nb:x:u\0:v\nc:x:u,v\0w:x\n\0\n",
    b"a:x:u:v\r\n",
    b"a:x:u:v",
    b":\n::\n:::\n",
    b" # no\n  a:x:u:v\n",
    b"a:x:%b:%b\n" % (b",".join(b"a%d" % i for i in range(500)), b",".join(b"m%d" % i for i in range(500))),
]

TABLES = {"passwd": PASSWD, "group": GROUP, "shadow": SHADOW, "gshadow": GSHADOW}

# What a random row is made of: mostly plausible, often not.
_NAMES = [b"a", b"b", b"u", b"uu", b"root"]
_NAMES += [b"u-1", b"", b"+", b"-", b"+u", b"-u", b"#u", b" u", b"\xe9", b"u v"]
_NUMBERS = [b"0", b"1", b"7", b"42"]
_NUMBERS += [b"007", b"", b" ", b" 5", b"5 ", b"\t6", b"-1", b"+2", b"z", b"3z"]
_NUMBERS += [b"2147483648", b"4294967295", b"4294967296", b"99999999999999999999"]
_TEXTS = [b"", b"x", b"!", b"/", b"/bin/sh", b"g,g", b" ", b"\xff"]
_SEPARATORS = [b",", b",", b",", b",,", b", ", b" ,", b",\t", b":"]
_NOISE = [b":", b"\0", b"\n", b"\r", b" ", b"#", b",", b"+"]
_ENDS = [b"\n"] * 12 + [b"\r\n", b"\n\n", b"\n#\n", b""]
_FIELDS = {"passwd": "NTiiTTT", "group": "NTiL", "shadow": "NTiiiiiii", "gshadow": "NTLL"}


def _field(rng: random.Random, kind: str) -> bytes:
    if kind == "i":
        return rng.choice(_NUMBERS if rng.random() < 0.5 else _NUMBERS[:4])
    if kind == "N":
        return rng.choice(_NAMES if rng.random() < 0.5 else _NAMES[:5])
    if kind == "T":
        return rng.choice(_TEXTS)
    names = [rng.choice(_NAMES) + rng.choice(_SEPARATORS) for _ in range(rng.randrange(4))]
    return b"".join(names) + rng.choice(_NAMES)


def _line(rng: random.Random, fields: str) -> bytes:
    line = b":".join(_field(rng, kind) for kind in fields)
    while rng.random() < 0.15:  # damage it
        at = rng.randrange(len(line) + 1)
        line = line[:at] + rng.choice(_NOISE) + line[at + rng.randrange(3) :]
    if rng.random() < 0.1:
        line = line[: rng.randrange(len(line) + 1)]
    return line + rng.choice(_ENDS)


# glibc moves a line with leading blanks without its final NUL (nss_readline.c), so where
# no newline stops the parser the last bytes appear twice. Not a bug to be compatible with.
_GLIBC_READS_TAIL_TWICE = re.compile(rb"^[ \t\v\f\r]+[^\n]*(\0|\Z)", re.MULTILINE)


def random_files(database: str, count: int, seed: int, rows: int = 6) -> Iterator[bytes]:
    """Yield `count` reproducible random files of so many rows at most."""
    rng = random.Random(f"{database} {seed}")
    while count:
        text = b"".join(_line(rng, _FIELDS[database]) for _ in range(rng.randrange(1, rows + 1)))
        if not _GLIBC_READS_TAIL_TWICE.search(text):
            count -= 1
            yield text
