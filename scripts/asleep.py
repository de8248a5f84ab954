# SPDX-License-Identifier: MIT
"""What most runs do not need: functions and classes that leave a module's code, and come when they are asked for.

A function's place is taken by a sleeper, which has its name and nothing else; at its first call accounts/__init__.py
gives it the code, which is elsewhere in the pack. Functions at the top of a module and methods of the classes there can
sleep, if their defaults have the same values later.

A class is left out altogether: it is made when the module is asked for the attribute, so whoever names the class, in
this module or in one that imports it, asks the module. Classes can sleep whose name nothing else in those modules has.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from types import CodeType

from scripts.lean import compile_tree, relocate

# What calls what it decorates, and looks at nothing but its name.
DECORATORS = {"property", "staticmethod", "classmethod", "contextmanager"}
_CONSTANT = (
    ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.Attribute, ast.operator, ast.unaryop, ast.expr_context
)  # fmt: skip


def find_functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Qualified name -> definition, of the functions of a module that can sleep."""
    bound = Counter(_bound_names(tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            bound.update(node.names)
    found = {}
    for scope, prefix in _scopes(tree):
        own, loaded = Counter(_bound_names(scope.body)), _loaded_names(scope.body)
        for node in scope.body:
            if (
                isinstance(node, ast.FunctionDef)
                and own[node.name] == 1
                and (scope is tree or node.name not in loaded)
                and all(isinstance(name, ast.Name) and name.id in DECORATORS for name in node.decorator_list)
                and all(_is_constant(value, bound, None if scope is tree else own) for value in _defaults(node))
            ):
                found[prefix + node.name] = node
    return found


def find_classes(tree: ast.Module, bound: Counter[str]) -> dict[str, ast.ClassDef]:
    """Name -> definition, of the classes of a module that can sleep. bound: of count_bindings()."""
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {node.name: node for node in classes if not node.decorator_list and bound[node.name] == 1}


def count_bindings(tree: ast.Module) -> Counter[str]:
    """How often each name is bound in a module, in any scope."""
    names: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] += 1
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names[node.id] += 1
        elif isinstance(node, ast.alias):
            names[(node.asname or node.name).partition(".")[0]] += 1
        elif isinstance(node, ast.arg):
            names[node.arg] += 1
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names[node.name] += 1
        elif isinstance(node, ast.Global | ast.Nonlocal):
            names.update(node.names)
    return names


def _scopes(tree: ast.Module) -> Iterator[tuple[ast.Module | ast.ClassDef, str]]:
    yield tree, ""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node, f"{node.name}."


def _outside_functions(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of a scope itself: of functions and classes in it the decorators, defaults and bases."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef):
            waiting += [*node.decorator_list, *_defaults(node)]
        elif isinstance(node, ast.ClassDef):
            waiting += [*node.decorator_list, *node.bases, *node.keywords]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _bound_names(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a scope itself binds, each as often as it does."""
    for node in _outside_functions(body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _loaded_names(body: list[ast.stmt]) -> set[str]:
    nodes = _outside_functions(body)
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _defaults(node: ast.FunctionDef) -> list[ast.expr]:
    return [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]


def _is_constant(value: ast.expr, bound: Counter[str], inner: Counter[str] | None) -> bool:
    """Whether a default has the same value whenever it is evaluated in the module. inner: what its class binds."""
    for node in ast.walk(value):
        if isinstance(node, ast.Name):
            if bound[node.id] != 1 or (inner is not None and inner[node.id]):
                return False
        elif not isinstance(node, _CONSTANT) or (isinstance(node, ast.Attribute) and not node.attr.isupper()):
            return False
    return True


def find_codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """(qualified name, code) of the functions at the top of a module's code and of those in its classes."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant.co_qualname, constant
            if "." not in constant.co_qualname:
                yield from find_codes(constant)


def compile_defaults(node: ast.FunctionDef, path: str) -> CodeType | None:
    """The code of (__defaults__, __kwdefaults__), None for a function without."""
    if not _defaults(node):
        return None
    arguments = node.args
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    named = {argument.arg: value for argument, value in pairs if value is not None}
    nothing = ast.Constant(None)
    both = [
        ast.Tuple(arguments.defaults, ast.Load()) if arguments.defaults else nothing,
        ast.Dict([ast.Constant(name) for name in named], list(named.values())) if named else nothing,
    ]
    return compile_tree(ast.copy_location(ast.Expression(ast.Tuple(both, ast.Load())), node), path, "eval")


def replace_functions(tree: ast.Module, places: Mapping[str, int]) -> None:
    """Put sleepers in the place of functions. places: qualified name -> where in the pack the code of each is."""
    for scope, prefix in list(_scopes(tree)):
        asleep = [node for node in scope.body if isinstance(node, ast.FunctionDef) and prefix + node.name in places]
        if not asleep:
            continue
        words = tuple(word for node in asleep for word in (node.name, places[prefix + node.name]))
        names = "".join(f"{node.name}, " for node in asleep)
        made = ast.parse(f"{names} = __asleep__(globals(), {words!r})").body[0]
        body: list[ast.stmt] = [relocate(made, asleep[0])]
        for node in scope.body:
            if node not in asleep:
                body.append(node)
            elif isinstance(node, ast.FunctionDef) and node.decorator_list:
                value: ast.expr = ast.Name(node.name, ast.Load())
                for decorator in reversed(node.decorator_list):
                    value = ast.Call(decorator, [value], [])
                body.append(relocate(ast.Assign([ast.Name(node.name, ast.Store())], value), node))
        scope.body = body


class AskModules(ast.NodeTransformer):
    """In place of the names of sleeping classes the attributes of their modules. names: name -> module, class."""

    def __init__(self, names: Mapping[str, tuple[str, str]]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._names:
            return node
        module, name = self._names[node.id]
        asked = ast.parse(f"__modules__[{module!r}].{name}", mode="eval").body
        for inner in ast.walk(asked):
            ast.copy_location(inner, node)
        return asked
