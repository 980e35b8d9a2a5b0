"""What the site changes in docstrings before they are rendered.

Docstrings name code as Sphinx does, as in ``:class:`DataError```; on the site these names become code. The fields of a
dataclass, which have a sentence each, become one table instead of a heading for each.
"""

import re

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Changes docstrings; mkdocstrings loads it by the path of this file."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Turn the roles in a docstring into code."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)

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
