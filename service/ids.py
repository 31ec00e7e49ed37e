"""Ids in paths: `{some_id:id}` matches what can be an id, and so no `ID.mid`, which is another resource."""

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


register_url_convertor("id", IdConvertor())
