"""Reading the source of a method, and compiling an edited version of it that takes the method's place.

The new function shares the globals, closure cells, defaults and decorators of the old one: whatever somebody
changes in the module later is seen by both.
"""

from __future__ import annotations

import ast
import copy
import dis
import inspect
import linecache
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType
from typing import Any

# The flags of `from __future__ import ...`, which compile() must repeat.
_FUTURE = 0x1FF0000


@dataclass(frozen=True, order=True)
class Span:
    """A piece of source as Python's code objects give it: lines from 1, columns in UTF-8 bytes from 0."""

    line: int
    column: int
    end_line: int
    end_column: int

    @classmethod
    def of(cls, node: ast.expr) -> Span:
        """Return the place of a parsed expression."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return cls(node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)

    def __contains__(self, other: Span | None) -> bool:
        return other is not None and (
            (self.line, self.column) <= (other.line, other.column)
            and (other.end_line, other.end_column) <= (self.end_line, self.end_column)
        )


@dataclass(frozen=True)
class Edit:
    """Replace the source at ``span`` by ``text``."""

    span: Span
    text: str


class UnreadableMethod(Exception):
    """The source of a method is absent or is not what the method was compiled from."""


@dataclass(frozen=True)
class Method:
    """A method of a class; ``layers`` is what the class holds, its decorators from the outside in, and the function."""

    owner: type
    name: str
    layers: tuple[FunctionType, ...]

    @property
    def function(self) -> Any:  # mypy takes a FunctionType here for a method of this class
        """The function as it was written, inside of its decorators."""
        return self.layers[-1]

    @property
    def self_name(self) -> str:
        """What the method calls its module; nearly always ``self``."""
        return self.layers[-1].__code__.co_varnames[0]

    @property
    def file(self) -> str:
        """The source file."""
        return self.layers[-1].__code__.co_filename


def methods_of(owner: type) -> Iterator[Method]:
    """Yield the methods in the body of a class whose function can be found inside of their decorators."""
    for name, value in vars(owner).items():
        if isinstance(value, FunctionType):
            layers = _layers(value, f"{owner.__qualname__}.{name}")
            if layers and layers[-1].__code__.co_argcount:
                yield Method(owner, name, layers)


def _layers(
    function: FunctionType, qualified_name: str, outside: tuple[FunctionType, ...] = ()
) -> tuple[FunctionType, ...]:
    """A decorated function and what it wraps, down to the one that was written under that name; empty if none was."""
    if function.__code__.co_qualname == qualified_name:
        return (function,)
    for inner in _closure_functions(function):
        if inner not in outside:  # a wrapper may refer to itself
            rest = _layers(inner, qualified_name, (*outside, function))
            if rest:
                return (function, *rest)
    return ()


def _closure_functions(function: FunctionType) -> Iterator[FunctionType]:
    for cell in function.__closure__ or ():
        content = _content(cell)
        # A decorator keeps the function that it wraps, which carries its name.
        if isinstance(content, FunctionType) and content is not function and content.__name__ == function.__name__:
            yield content


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled
        return None


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those of the functions written inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested_codes(constant)


def parse(method: Method) -> ast.FunctionDef:
    """Return the syntax tree of a method, with the line numbers of its file.

    Raises UnreadableMethod when there is no source or it is not what was compiled.
    """
    tree = _definition(_source(method), method)
    if _gist(method.function.__code__) != _gist(_compile(tree, method)):
        raise UnreadableMethod("its source file is not what it was compiled from")
    return tree


def _gist(code: CodeType) -> list[tuple[str, object]]:
    """The instructions, less what Python chooses by other parts of the file (imported names are not called by
    LOAD_METHOD) and less the distances of jumps, which follow from that."""
    return [
        (instruction.opname.replace("LOAD_METHOD", "LOAD_ATTR"), _operand(instruction))
        for instruction in dis.get_instructions(code)
        if instruction.opname not in {"PUSH_NULL", "EXTENDED_ARG"}
    ]


def _operand(instruction: dis.Instruction) -> object:
    if "JUMP" in instruction.opname or instruction.opname in {"FOR_ITER", "SEND"}:
        return None
    value = instruction.argval
    return _gist(value) if isinstance(value, CodeType) else repr(value)


def rewrite(method: Method, edits: Iterable[Edit]) -> FunctionType:
    """Return the method, decorators included, with its source edited. Raises UnreadableMethod."""
    source = _edited(_source(method), edits, method.function.__code__.co_firstlineno)
    file = f"<gelu_patch {method.owner.__module__}.{method.owner.__qualname__}.{method.name}>"
    code = _compile(_definition(source, method), method, file)
    # inspect.getsource and tracebacks then show what really runs.
    lines = ["\n"] * (code.co_firstlineno - 1) + source
    linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    return _decorated(method.layers, _like(method.function, code))


def _source(method: Method) -> list[str]:
    try:
        lines, _ = inspect.getsourcelines(method.function.__code__)
    except (OSError, TypeError, IndentationError, SyntaxError) as error:
        raise UnreadableMethod(f"its source cannot be read ({error})") from error
    return lines


def _definition(lines: list[str], method: Method) -> ast.FunctionDef:
    # Inside a class, which keeps the indentation, and the names with two underscores as the class has them.
    owner = method.function.__code__.co_qualname.split(".")[-2]
    try:
        tree = ast.parse(f"class {owner}:\n{''.join(lines)}")
    except SyntaxError as error:
        raise UnreadableMethod(f"its source cannot be parsed ({error.msg})") from error
    definition = tree.body[0].body[0] if isinstance(tree.body[0], ast.ClassDef) else None
    if not isinstance(definition, ast.FunctionDef):
        raise UnreadableMethod("its source is no plain method")
    ast.increment_lineno(definition, method.function.__code__.co_firstlineno - 2)
    return definition


def _compile(definition: ast.FunctionDef, method: Method, file: str | None = None) -> CodeType:
    original = method.function.__code__
    bare = copy.deepcopy(definition)
    _strip(bare)
    owner = ast.parse(f"class {original.co_qualname.split('.')[-2]}: pass").body[0]
    assert isinstance(owner, ast.ClassDef)
    owner.body = [bare]
    free = [name for name in original.co_freevars if name != "__class__"]
    outer = ast.parse(f"def _({', '.join(free)}): pass")
    assert isinstance(outer.body[0], ast.FunctionDef)
    outer.body[0].body = [owner]
    compiled = compile(outer, file or original.co_filename, "exec", original.co_flags & _FUTURE, dont_inherit=True)
    code = next(code for code in nested_codes(compiled) if code.co_name == method.function.__code__.co_name)
    return code.replace(co_qualname=original.co_qualname, co_firstlineno=original.co_firstlineno)


def _strip(definition: ast.FunctionDef) -> None:
    """Decorators, defaults and annotations belong to the old function, and are taken over from it."""
    arguments = definition.args
    definition.decorator_list, definition.returns = [], None
    extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra):
        argument.annotation = None
    none = ast.Constant(None, lineno=definition.lineno, col_offset=0)
    arguments.defaults = [none for _ in arguments.defaults]
    arguments.kw_defaults = [none if default else None for default in arguments.kw_defaults]


def _edited(lines: list[str], edits: Iterable[Edit], first_line: int) -> list[str]:
    text = [line.encode() for line in lines]
    for edit in sorted(edits, key=lambda edit: edit.span, reverse=True):
        start, end = edit.span.line - first_line, edit.span.end_line - first_line
        head, tail = text[start][: edit.span.column], text[end][edit.span.end_column :]
        # The lines of a longer piece stay, empty, so that all later lines keep their numbers.
        text[start : end + 1] = [head + edit.text.encode() + b"\\\n" * (end - start) + tail]
        text[start : start + 1] = text[start].splitlines(keepends=True)
    return [line.decode() for line in text]


def _like(function: FunctionType, code: CodeType) -> FunctionType:
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return _dressed(function, FunctionType(code, function.__globals__, function.__name__, None, _cells(code, cells)))


def _cells(code: CodeType, cells: dict[str, CellType]) -> tuple[CellType, ...]:
    return tuple(cells[name] for name in code.co_freevars)


def _dressed(old: FunctionType, new: FunctionType) -> FunctionType:
    new.__defaults__, new.__kwdefaults__ = old.__defaults__, old.__kwdefaults__
    new.__annotations__, new.__doc__, new.__qualname__ = old.__annotations__, old.__doc__, old.__qualname__
    new.__module__ = old.__module__
    new.__dict__.update(old.__dict__)
    return new


def _decorated(layers: tuple[FunctionType, ...], new: FunctionType) -> FunctionType:
    """Copy the decorators' functions so that they wrap ``new``; they stay as they are for others."""
    for outer, old in zip(reversed(layers[:-1]), reversed(layers[1:]), strict=True):
        cells = (CellType(new) if _content(cell) is old else cell for cell in outer.__closure__ or ())
        copied = FunctionType(outer.__code__, outer.__globals__, outer.__name__, None, tuple(cells))
        _dressed(outer, copied)
        if vars(outer).get("__wrapped__") is old:
            vars(copied)["__wrapped__"] = new
        new = copied
    return new
