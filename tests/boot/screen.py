"""
screen: the work of screen.sh. What the display shows is read back by QEMU: VGA's text from its memory, a framebuffer as a picture whose cells
are looked up in the font. All that the log says from the screen's first line on must stand there, in order, and nothing else.
"""
import importlib.machinery
import importlib.util
import os
import struct
import sys
import tempfile
import time

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
from lab.host import BUILD, Host
from lab.line import Silence
from lab.operator import Wrong
from lab.rig import Rig
from lab.trial import right

SECONDS, LOOK_SECONDS = 100, 0.5
TEXT_AT, TEXT_COLUMNS, TEXT_ROWS = 0xb8000, 80, 25
GLYPH_WIDTH, GLYPH_HEIGHT = 8, 16
WORDS = "console=com1 log=com2"
MEBIBYTES = 512


def load_font():
    """{rows of a glyph: character}, by the tool that makes Ringmur's."""
    loader = importlib.machinery.SourceFileLoader("make_font", os.path.join(TOP, "tools/make-font"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_font", loader))
    loader.exec_module(module)
    with open(os.path.join(BUILD, "deps/font/font.psf"), "rb") as f:
        return {rows: chr(c) for c, rows in module.read_font(f.read()).items()}


FONT = load_font()


# ---- what the display shows ----

def dump(path):
    with open(path, "rb") as f:
        return f.read()


def text_rows(rig):
    path = os.path.join(rig.scratch, "text")
    rig.qmp.execute("pmemsave", val=TEXT_AT, size=TEXT_COLUMNS * TEXT_ROWS * 2, filename=path)
    cells = struct.iter_unpack("BB", dump(path))
    text = "".join(chr(c) if colours == 7 else "\N{REPLACEMENT CHARACTER}" for c, colours in cells)
    return [text[i:i + TEXT_COLUMNS] for i in range(0, len(text), TEXT_COLUMNS)]


def picture_rows(rig):
    """White on black, and only glyphs of the font; anything else comes out as a character that no log has."""
    path = os.path.join(rig.scratch, "picture")
    rig.qmp.execute("screendump", filename=path)
    data = dump(path)
    magic, size, most, pixels = data.split(b"\n", 3)
    width, height = map(int, size.split())
    if magic != b"P6" or most != b"255" or len(pixels) != width * height * 3:
        raise Wrong("the picture of the screen is no picture")
    bits = {b"\0\0\0": 0, b"\xff\xff\xff": 1}

    def glyph(x, y):
        rows = bytearray()
        for line in range(y * GLYPH_HEIGHT, (y + 1) * GLYPH_HEIGHT):
            row = 0
            for i in range(GLYPH_WIDTH):
                at = (line * width + x * GLYPH_WIDTH + i) * 3
                row = row << 1 | bits.get(pixels[at:at + 3], 0x100)
            rows += bytes([row & 0xff]) if row < 0x100 else b"?"
        return FONT.get(bytes(rows), "\N{REPLACEMENT CHARACTER}")

    return ["".join(glyph(x, y) for x in range(width // GLYPH_WIDTH)) for y in range(height // GLYPH_HEIGHT)]


# ---- what it is to show ----

def wanted_rows(log, columns, rows):
    """From the screen's first line on, cut where the display ends, going round; the line after the newest is blank."""
    lines = log[log.rindex("screen: "):].splitlines()  # UEFI and GRUB have written there before
    pieces = [line[i:i + columns] for line in lines for i in range(0, max(len(line), 1), columns)] + [""]
    shown = [""] * rows
    for i, piece in enumerate(pieces):
        shown[i % rows] = piece
        shown[(i + 1) % rows] = ""
    return [line.ljust(columns) for line in shown]


def await_log(rig, text):
    limit = time.monotonic() + SECONDS
    while text not in rig.log_text():
        if time.monotonic() > limit:
            raise Silence(f"the log does not say '{text}' within {SECONDS} s")
        time.sleep(LOOK_SECONDS)


def await_screen(rig, rows_of, what):
    """It is drawn a little later than the log is written; but then it is all there."""
    limit = time.monotonic() + SECONDS
    while True:
        shown, log = rows_of(rig), rig.log_text()
        wanted = wanted_rows(log, len(shown[0]), len(shown))
        if shown == wanted or time.monotonic() > limit:
            break
        time.sleep(LOOK_SECONDS)
    if shown != wanted:
        print("\n".join(f"  | {line.rstrip()}" for line in shown))
    right(what, shown == wanted)
    return log


# ---- the machines ----

def describe(scratch, boot, words):
    lines = os.path.join(scratch, "vms")
    with open(lines, "w") as f:
        f.write('vm name=amber mem=64M kernel=hold cmdline="amber"\n')
    host = Host(1, MEBIBYTES, f"{WORDS} {words}", [(lines, "vms"), (os.path.join(BUILD, "guests/hold.elf"), "hold")])
    host.boot, host.vga = boot, True
    return host


def booted(boot, words, test):
    with tempfile.TemporaryDirectory(prefix="ringmur-") as scratch, Rig(describe(scratch, boot, words), scratch, scratch) as rig:
        try:
            test(rig)
        except (Wrong, Silence, RuntimeError) as wrong:
            print(f"FAIL: {boot}: {wrong}")
            print("\n".join(rig.log_text().splitlines()[-30:]))
            return False
    return True


def machines_come_and_go(kind, rows_of, rounds):
    def test(rig):
        await_log(rig, "vm amber: ")
        await_screen(rig, rows_of, f"{kind}: the start and the first machine")
        for _ in range(rounds):
            rig.operator.command("destroy amber")
            rig.operator.wait_state("amber", "off", SECONDS)
            rig.operator.command("start amber")
            rig.operator.wait_state("amber", "running", SECONDS)
        log = await_screen(rig, rows_of, f"{kind}: what machines that come and go leave in the log")
        if rounds * 3 > len(rows_of(rig)):
            right(f"{kind}: it has gone round", len(log.splitlines()) > len(rows_of(rig)))

    return test


def refusal_stays(rig):
    await_log(rig, "error: ")
    log = await_screen(rig, text_rows, "text: a refused start is told")
    right("text: by a sentence that names it", "there is no option frobnicate" in log)
    time.sleep(2)
    right("text: and stays to be read", rig.process.poll() is None)


def hidden(rig):
    await_log(rig, "vm amber: ")
    right("screen=no: the log does not name it", "screen: " not in rig.log_text())
    right("screen=no: nor does the display", not any("vm amber" in row for row in text_rows(rig)))


def main():
    held = booted("grub", "operator=yes", machines_come_and_go("text", text_rows, 10))
    held &= booted("grub-efi", "operator=yes", machines_come_and_go("pixels", picture_rows, 2))
    held &= booted("grub", "frobnicate=1", refusal_stays)
    held &= booted("grub", "operator=yes screen=no", hidden)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
