#!/usr/bin/env python3
"""Turns the Free Spoken Digit Dataset (3,000 recordings of 6 speakers, 8 kHz) into a folder for each speaker.

    speech.py ARCHIVE.tar.gz FOLDER     -> SPEAKER/{audio-idx1-short,labels-idx1-ubyte,takes-idx1-ubyte}.gz, SPEAKER/index.csv,
                                           manifest.csv

Zohar Jackson and contributors, CC BY-SA 4.0.  A speaker's recordings lie one after the other, digit by digit and take
by take; takes 0 to 4 are the authors' test part.  Python's standard library alone.
"""
import hashlib
import io
import os
import re
import struct
import sys
import tarfile
import wave

from idx_file import idx, run, write_gz

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
DIGITS, TAKES, TEST_TAKES = 10, 50, 5
RATE_HZ = 8000
# Audio and labels of all speakers in order, as IDX files one after the other.
CONTENT_SHA256 = "5538b5300f7cbdd72a6b46135f4b4c84c121a570bb6176085cf5a274c8984eef"


def recordings(path):
    """-> {(speaker, digit, take): samples as little-endian int16}"""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            match = re.fullmatch(r"(\d)_([a-z]+)_(\d+)\.wav", os.path.basename(member.name))
            if not match or match.group(2) not in SPEAKERS:
                continue
            with wave.open(io.BytesIO(archive.extractfile(member).read())) as sound:
                if (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) != (1, 2, RATE_HZ):
                    raise SystemExit("spoken-digits: %s is not 8 kHz, mono, 16 bit" % member.name)
                found[match.group(2), int(match.group(1)), int(match.group(3))] = sound.readframes(sound.getnframes())
    return found


def convert(path, folder):
    found, content, manifest = recordings(path), hashlib.sha256(), ["speaker,id,recordings,samples,seconds"]
    for number, speaker in enumerate(SPEAKERS):
        home = os.path.join(folder, speaker)
        os.makedirs(home, exist_ok=True)
        audio, labels, takes, lines, offset = [], [], [], ["digit,take,split,offset,samples"], 0
        for digit in range(DIGITS):
            for take in range(TAKES):
                if (speaker, digit, take) not in found:
                    raise SystemExit("spoken-digits: no recording %d_%s_%d.wav" % (digit, speaker, take))
                body = found[speaker, digit, take]
                samples = len(body) // 2
                audio.extend(struct.unpack("<%dh" % samples, body))
                labels.append(digit)
                takes.append(take)
                lines.append("%d,%d,%s,%d,%d" % (digit, take, "test" if take < TEST_TAKES else "train", offset, samples))
                offset += samples
        files = {"audio-idx1-short": idx("h", (offset,), audio),
                 "labels-idx1-ubyte": idx("B", (len(labels),), labels)}
        for name, data in files.items():
            content.update(data)
            write_gz(home, name, data)
        write_gz(home, "takes-idx1-ubyte", idx("B", (len(takes),), takes))
        with open(os.path.join(home, "index.csv"), "w") as out:
            out.write("\n".join(lines) + "\n")
        manifest.append("%s,%d,%d,%d,%.1f" % (speaker, number, len(labels), offset, offset / RATE_HZ))
    with open(os.path.join(folder, "manifest.csv"), "w") as out:
        out.write("\n".join(manifest) + "\n")
    return content.hexdigest()


if __name__ == "__main__":
    run(convert, "spoken-digits", "recordings have", CONTENT_SHA256, __doc__, sys.argv[1:])
