#!/usr/bin/env python3
"""Turns 36 plays of Shakespeare (a file each, MIT edition) into the text of each role.

    plays.py ARCHIVE.tar.gz FOLDER     -> text.bin.gz, clients.tsv

In the files a role's name stands at the left margin, what it says below it, indented, and so do stage directions.  Lines
that begin as directions do (Enter, Exit, Aside ...) are left out; a few others stay.  A client is a role of a play with at
least 200 characters; its first 80 %, to the end of the line, are for training, the rest for the test, as in LEAF (Caldas
et al. 2018).  ASCII only.  Python's standard library alone.
"""
import gzip
import io
import os
import re
import sys
import tarfile

LEAST = 200
PLAYS = 30      # fewer are not the archive that is meant
DIRECTION = re.compile(r"(Enter|Re-enter|Exit|Exeunt|Aside|Flourish|Alarum|Alarums|Sennet|Trumpets?|Drums?|Sings|Reads|Dies"
                       r"|Kneels?|Rises|Within|Music|Retreat|Thunder|Stabs|They fight|Writes|Draws)\b")


def roles_of(text):
    """-> {role: lines}"""
    roles, role = {}, None
    for line in text.splitlines():
        if not line.strip() or line.startswith("****"):
            continue
        if line[0] not in " \t":
            role = line.strip()
        elif role is not None and not DIRECTION.match(line.strip()):
            roles.setdefault(role, []).append(line.strip())
    return roles


def training_length(text):
    """80 %, then on to the end of the line; all but the last line where that is the last"""
    at = text.find("\n", len(text) * 4 // 5)
    return at + 1 if 0 <= at < len(text) - 1 else len(text) * 4 // 5


def convert(path, folder):
    plays = {}
    with tarfile.open(path) as archive:
        for member in archive:
            parts = member.name.split("/")
            if member.isfile() and "data" in parts and parts[-1].endswith(".txt"):
                plays[parts[-1][:-4]] = archive.extractfile(member).read().decode("utf-8", "replace")
    if len(plays) < PLAYS:
        raise SystemExit("shakespeare: %s holds %d plays, not 36" % (path, len(plays)))
    body, table = io.StringIO(), ["client\tplay\trole\toffset\tlength\ttrain_length\tlines"]
    for play in sorted(plays):
        for role, lines in sorted(roles_of(plays[play]).items()):
            text = "\n".join(lines).encode("ascii", "ignore").decode() + "\n"
            if len(text) < LEAST:
                continue
            table.append("%d\t%s\t%s\t%d\t%d\t%d\t%d" % (
                len(table) - 1, play, role, body.tell(), len(text), training_length(text), len(lines)))
            body.write(text)
    with open(os.path.join(folder, "text.bin.gz"), "wb") as out:
        out.write(gzip.compress(body.getvalue().encode(), mtime=0))
    with open(os.path.join(folder, "clients.tsv"), "w") as out:
        out.write("\n".join(table) + "\n")
    return len(table) - 1


def main(arguments):
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    print("shakespeare: %d roles" % convert(*arguments), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
