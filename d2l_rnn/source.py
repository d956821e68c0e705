"""Showing a function's own source in a chapter, so that it exists only once."""

import ast
import inspect
from pathlib import Path

from IPython.display import Markdown

__all__ = ["show_source"]

_ROOT = Path(__file__).resolve().parent.parent


def show_source(thing, *, doc=False):
    """Return a function's or class's source as highlighted Markdown.

    Parameters
    ----------
    thing : function or class
        Anything of this package that Python code defines. The decorators that wrap a
        function are left out: they only check its arguments.
    doc : bool
        Whether to keep the docstring; chapters explain in their own words.

    Returns
    -------
    IPython.display.Markdown
        File and first line, then the code.

    >>> from d2l_rnn.clipping import global_norm
    >>> print(show_source(global_norm).data.splitlines()[2])
    ```python
    """
    try:
        if not (inspect.isroutine(thing) or inspect.isclass(thing)):
            raise TypeError
        lines, first = _definition(thing)
    except (TypeError, OSError) as error:
        raise TypeError(
            f"thing must be a function or class written in Python, got {thing!r}"
        ) from error
    path = Path(inspect.getsourcefile(thing)).resolve()
    name = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path.name
    code = inspect.cleandoc("\n" + "".join(lines))
    if not doc:
        code = _without_docstring(code)
    return Markdown(f"`{name}`, line {first}\n\n```python\n{code.rstrip()}\n```")


def _definition(thing):
    """Return the lines of a definition, from ``def`` or ``class`` on, and the first."""
    lines, first = inspect.getsourcelines(thing)
    if not hasattr(thing, "__wrapped__"):
        return lines, first
    tree = ast.parse(inspect.cleandoc("\n" + "".join(lines)))
    skipped = tree.body[0].lineno - 1
    return lines[skipped:], first + skipped


def _without_docstring(code):
    """Cut the docstring of the outermost definition out of its source."""
    definition = ast.parse(code).body[0]
    if ast.get_docstring(definition) is None:
        return code
    docstring = definition.body[0]
    lines = code.splitlines()
    del lines[docstring.lineno - 1 : docstring.end_lineno]
    return "\n".join(lines)
