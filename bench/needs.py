"""What modules of a checkout import that is not installed, read from their sources: nothing is run."""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]


def missing(path: Path) -> list[str]:
    """Packages that a module cannot be loaded without, itself or what it imports of the checkout."""
    return _not_there(_at_loading(_tree(path).body))


def missing_by_test(path: Path) -> dict[str, list[str]]:
    """Of a module of tests, those that import by themselves what is not there."""
    tests = (node for node in _tree(path).body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))
    found = {test.name: _not_there(ast.walk(test)) for test in tests}
    return {name: packages for name, packages in found.items() if packages}


def _not_there(nodes: Iterable[ast.AST]) -> list[str]:
    """Packages that are missing for what these nodes import, and for what that imports."""
    names, seen, packages = list(_imported(nodes)), set[Path](), set[str]()
    while names:
        name = names.pop()
        path = _file(name)
        if path is None:
            packages.add(name.split(".")[0])
        elif path not in seen:
            seen.add(path)
            names += _imported(_at_loading(_tree(path).body))
    return sorted(package for package in packages if not _is_there(package))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _at_loading(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """All of a module but its functions, what is for type checkers, and attempts, which it does without."""
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Try):
            yield from ast.walk(statement)


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Dotted names; those of `pytest.importorskip` too, as a test that is left out is to be named."""
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                inner = [name for alias in names if _file(name := f"{module}.{alias.name}")]
                yield from [module, *inner]
            case ast.Call(func=ast.Attribute(attr="importorskip"), args=[ast.Constant(value=str(name)), *_]):
                yield name


def _file(name: str) -> Path | None:
    """The source of a module of the checkout; None of another."""
    place = ROOT.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _is_there(package: str) -> bool:
    return package in sys.stdlib_module_names or find_spec(package) is not None
