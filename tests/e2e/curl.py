"""The few options of curl that the documentation uses, performed with httpx: no test needs curl itself.

-X METHOD, -H HEADER, -d DATA, -F NAME=TEXT or NAME=@FILE, -o FILE; -D and -N only change what curl prints.
"""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from string import Template

import httpx

HOST = "localhost:8000"
_parser = ArgumentParser(prog="curl", allow_abbrev=False, exit_on_error=False)
_parser.add_argument("url")
_parser.add_argument("-X", dest="method")
_parser.add_argument("-d", dest="data")
_parser.add_argument("-H", dest="headers", action="append", default=[])
_parser.add_argument("-F", dest="form", action="append", default=[])
_parser.add_argument("-o", dest="output")
_parser.add_argument("-D", dest="dumped_to")
_parser.add_argument("-N", dest="unbuffered", action="store_true")


def substituted(line: str, variables: Mapping[str, str]) -> str:
    """The line as a shell would have it: $NAME is replaced unless it stands in single quotes. Raises KeyError."""
    parts = re.split(r"('[^']*')", line)
    return "".join(part if part.startswith("'") else Template(part).substitute(variables) for part in parts)


def curl(http: httpx.Client, line: str, folder: Path) -> httpx.Response:
    """What the line's request is answered with; its files are read from the folder and written there."""
    program, *arguments = shlex.split(line)
    assert program == "curl", line
    args = _parser.parse_args(arguments)
    host, slash, path = args.url.partition("/")
    assert host == HOST, line
    headers = dict(re.split(r":\s*", header, maxsplit=1) for header in args.headers)
    body = {}
    if args.form:
        body = {"files": [_field(field, folder) for field in args.form]}
    elif args.data is not None:
        body = {"content": args.data.encode()}
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    method = args.method or ("POST" if body else "GET")
    response = http.request(method, slash + path, headers=headers, **body)
    if args.output:
        (folder / args.output).write_bytes(response.content)
    return response


def _field(field: str, folder: Path) -> tuple[str, tuple[str | None, bytes]]:
    name, _, value = field.partition("=")
    if value.startswith("@"):
        return name, (value[1:], (folder / value[1:]).read_bytes())
    return name, (None, value.encode())
