"""What the site changes in docstrings before they are rendered.

Docstrings name code as Sphinx does, as in ``:class:`DataError```; on the site these names become code, and so do
sessions of the interpreter. The fields of a dataclass, which have a sentence each, become one table instead of a
heading for each.
"""

import re

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")
_SESSION = re.compile(r"^>>> .*(?:\n.+)*", re.M)


class Docstrings(griffe.Extension):
    """Changes docstrings; mkdocstrings loads it by the path of this file."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Turn the roles and the sessions in a docstring into code."""
        if obj.docstring:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = _SESSION.sub(r"```pycon\n\g<0>\n```", text)

    def on_class(self, *, cls: griffe.Class, **_: object) -> None:
        """Move the sentences of a class's fields into a table in its own docstring."""
        fields = [each for each in cls.attributes.values() if each.docstring and not each.is_private]
        if not fields or not cls.docstring:
            return
        lines = []
        for field in fields:
            text = _ROLE.sub(r"`\1`", field.docstring.value) if field.docstring else ""
            first, *others = text.splitlines()
            lines += [f"    {field.name}: {first}", *(f"        {line}" for line in others)]
            field.docstring = None
        cls.docstring.value += "\n\nAttributes:\n" + "\n".join(lines)
