"""Small changes to a module's source, each of which its tests should notice.

Comparisons, arithmetic, ``and`` and ``or`` become their neighbors, numbers are off
by one, conditions lose or gain a ``not``, calls lose a keyword, statements are left
out, and functions return None or have another default. ``mutants_of`` makes them all.
"""

import ast
import re
from collections import Counter

OPERATORS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
DROPPED = (ast.Assign, ast.AugAssign, ast.Expr, ast.Raise, ast.Break)


def swaps(node):
    """Yield (field, other value) for every way to change one node.

    >>> [(field, value) for field, value in swaps(ast.Constant(3))]
    [('value', 4), ('value', 2)]
    """
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        yield from (("op", other()) for other in OPERATORS.get(type(node.op), ()))
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in OPERATORS[type(op)]:
                yield "ops", [*node.ops[:i], other(), *node.ops[i + 1 :]]
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "value", not node.value
        elif isinstance(node.value, (int, float)):
            yield from (("value", node.value + step) for step in (1, -1))
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield "id", NAMES[node.id]
    if isinstance(node, (ast.If, ast.IfExp)) and not is_swapped(node.test):
        yield "test", ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.Call):
        for i in range(len(node.keywords)):
            yield "keywords", node.keywords[:i] + node.keywords[i + 1 :]
    if isinstance(node, ast.Return) and node.value is not None:
        yield "value", ast.Constant(None)
    for field, child in ast.iter_fields(node):
        if is_not_or_minus(child):
            yield field, child.operand
        for i, part in enumerate(child if isinstance(child, list) else ()):
            if is_not_or_minus(part):
                yield field, [*child[:i], part.operand, *child[i + 1 :]]
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        for i, statement in enumerate(block if isinstance(block, list) else ()):
            if isinstance(statement, DROPPED) and not is_docstring(statement):
                yield field, [*block[:i], ast.Pass(), *block[i + 1 :]]
    if isinstance(node, ast.arguments):
        for field in ("defaults", "kw_defaults"):
            values = getattr(node, field)
            for i, value in enumerate(values):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield field, [*values[:i], ast.Constant("?"), *values[i + 1 :]]


def is_not_or_minus(node):
    """Say whether a node is ``not x`` or ``-x``."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub))


def is_swapped(test):
    """Say whether a condition has its opposite among the other changes."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return not isinstance(test.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE))
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def is_docstring(node):
    """Say whether a statement is a mere string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def mutable(node, *, inside=False):
    """Yield the nodes of all functions and classes, but not what only names types."""
    for field, child in ast.iter_fields(node):
        if field in ("annotation", "returns", "format_spec"):
            continue
        for part in child if isinstance(child, list) else [child]:
            if isinstance(part, ast.AST):
                within = inside or isinstance(part, (ast.FunctionDef, ast.ClassDef))
                if within or assigns_constant(part):
                    yield part
                    yield from mutable(part, inside=True)


def assigns_constant(node):
    """Say whether a statement gives a module a value other than ``__all__``."""
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) != "__all__"


def stored(node):
    """Return the variables that a node, or what is below it, gives a value."""
    names = (n for n in ast.walk(node) if isinstance(n, ast.Name))
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def only_bound(tree):
    """Return the assignments without which a name would be unknown, caught at once."""
    found = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            inside = list(ast.walk(function))
            bound = Counter(stored(function))
            bound.update(node.arg for node in inside if isinstance(node, ast.arg))
            for node in inside:
                if isinstance(node, ast.Assign):
                    if any(bound[name] == 1 for name in stored(node)):
                        found.add(node)
    return found


def mutants_of(source):
    """Return {name: (line, changed source)}; a name tells function and both lines.

    >>> list(mutants_of("def f(x): return -x"))
    ['f: return -x → return None', 'f: return -x → return x']
    """
    tree = ast.parse(source)
    needed = only_bound(tree)
    before = ast.unparse(tree).splitlines()
    scopes, found, seen = scopes_of(before), {}, set()
    for node in list(mutable(tree)):
        for field, value in list(swaps(node)):
            kept, line = getattr(node, field), line_of(node)
            if isinstance(kept, list) and isinstance(value, list):
                gone = [a for a, b in zip(kept, value, strict=False) if a is not b]
                if any(statement in needed for statement in gone):
                    continue
                line = (line_of(gone[0]) if gone else 0) or line
            setattr(node, field, value)
            after = ast.unparse(tree)
            setattr(node, field, kept)
            lines = enumerate(zip(before, after.splitlines(), strict=True))
            changed = [(i, old, new) for i, (old, new) in lines if old != new]
            if changed:
                ((i, old, new),) = changed
                name = f"{scopes[i]}: {old.strip()} → {new.strip()}"
                same = sum(n == name or n.startswith(name + " #") for n in found)
                if after not in seen:
                    seen.add(after)
                    found[name + (f" #{same + 1}" if same else "")] = line, after
    return found


def line_of(node):
    """Return the line on which a node, or the first that has one below it, stands."""
    return next((n.lineno for n in ast.walk(node) if hasattr(n, "lineno")), 0)


def scopes_of(lines):
    """Return, for each line of unparsed source, the function or class it is in."""
    scopes, stack = [], []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line.strip():
            stack = [(d, name) for d, name in stack if d < depth]
        match = re.match(r"\s*(?:def|class) (\w+)", line)
        if match:
            stack.append((depth, match[1]))
        scopes.append(".".join(name for _, name in stack) or "module")
    return scopes
