# SPDX-License-Identifier: MIT
"""Parses recipes with BitBake's own library and runs their functions: `python bitbake.py < request > answer`.

The library is that of PyPI's bitbake-setup. A process of its own, because BitBake changes logging, signals
and the environment of the process it is in. The request is JSON: file (a recipe), bbpath (directories with
classes/ and conf/), set (variables before parsing), get (variables), flags ([variable, flag]), hash (a task) and
exec (a function to run). The answer has the values, the task's base hash and the checksums of files that go into its
signature, the log and whether the function failed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import types
from typing import Any

# Left out of the package; only asked for with hash equivalence, which parsing does not use.
for module in ("hashserv", "hashserv.client"):
    sys.modules[module] = types.ModuleType(module)

import bb.build  # noqa: E402
import bb.data  # noqa: E402
import bb.fetch2  # noqa: E402
import bb.parse  # noqa: E402
import bb.siggen  # noqa: E402


class Log(logging.Handler):
    """Keeps (level, message)."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.messages: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((record.levelname, record.getMessage()))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what the request says."""
    log = Log()
    logger = logging.getLogger("BitBake")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(log)
    data = bb.data.init()
    bb.parse.siggen = bb.siggen.init(data)
    data.setVar("BBPATH", ":".join(request["bbpath"]))
    data.setVar("__bbclasstype", "recipe")  # as BitBake sets it: where classes are looked for
    for name, value in request["set"].items():
        data.setVar(name, value)
    variants = bb.parse.handle(request["file"], data)
    results: dict[str, Any] = {"variants": sorted(variants)}
    data = variants[request.get("variant", "")]
    results["get"] = {name: data.getVar(name) for name in request.get("get", ())}
    results["flags"] = {name: data.getVarFlag(name, flag) for name, flag in request.get("flags", ())}
    if task := request.get("hash"):
        data.setVar("__exportlist", set())  # as bitbake.conf's exports make it
        tasks, needs, values = bb.data.generate_dependencies(data, set())
        _, hashes = bb.data.generate_dependency_hash(tasks, needs, values, set(), "file")
        files = data.getVarFlag(task, "file-checksums") or ""
        results["hash"] = [hashes[f"file:{task}"], bb.fetch2.get_file_checksums(files, data.getVar("PN"), [])]
    if function := request.get("exec"):
        os.makedirs(data.getVar("T"), exist_ok=True)
        try:
            bb.build.exec_func(function, data)
            results["failed"] = False
        except Exception as error:  # whatever ends the function fails the task
            results["failed"] = True
            log.messages.append(("EXCEPTION", str(error)))
    results["log"] = log.messages
    return results


if __name__ == "__main__":
    # What functions print is not the answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump(answer(json.load(sys.stdin)), out)
