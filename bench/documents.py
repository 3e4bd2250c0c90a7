"""Tables that programs write into the documents, each between two comments that name the command."""

import sys


def replace_part(path, command, lines):
    """Puts lines between <!-- command: --> and <!-- :command -->."""
    begin, end = f"<!-- {command}: -->", f"<!-- :{command} -->"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        sys.exit(f"{path}: wants one '{begin}' and one '{end}' behind it")
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + begin + "\n" + "\n".join(lines).strip("\n") + "\n" + end + tail)
