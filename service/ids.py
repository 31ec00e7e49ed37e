"""Ids in paths: `{some_id:id}` matches what can be an id, and so no `ID.mid`, which is another resource.

A model is also found by its name, which may have dots: `{model_id:model}` matches all but `curve.png` and `default`,
which are resources of their own.
"""

from starlette.convertors import Convertor, register_url_convertor


class IdConvertor(Convertor[str]):
    """An id, as it is."""

    regex = "[A-Za-z0-9_-]+"

    def convert(self, value: str) -> str:
        """From the path."""
        return value

    def to_string(self, value: str) -> str:
        """Into a path."""
        return value


class ModelConvertor(IdConvertor):
    """The id or the name of a model."""

    regex = r"(?!(?:curve\.png|default)$)[^/]+"


register_url_convertor("id", IdConvertor())
register_url_convertor("model", ModelConvertor())
