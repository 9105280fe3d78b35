"""Draws small JPEG files in class folders, by choosing their coefficients, so that nothing but the standard library is needed."""

import random
import struct
from pathlib import Path

# Tables K.3 and K.5 of the standard (ITU-T T.81): codes of each length, and what they stand for.
DC = ((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0), tuple(range(12)))
AC_COUNTS = (0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125)
AC_SYMBOLS = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a4344"
    "45464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
    "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa")
AC = (AC_COUNTS, tuple(AC_SYMBOLS))
SIDE = 32
NUM_CLASSES = 10


def codes(table):
    """Symbol to code and length."""
    counts, symbols = table
    found, code, place = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            found[symbols[place]] = (code, length)
            code, place = code + 1, place + 1
        code <<= 1
    return found


DC_CODES, AC_CODES = codes(DC), codes(AC)


class Bits:
    def __init__(self):
        self.bytes, self.value, self.count = bytearray(), 0, 0

    def put(self, value, length):
        self.value, self.count = self.value << length | value, self.count + length
        while self.count >= 8:
            self.count -= 8
            byte = self.value >> self.count & 0xFF
            self.bytes.append(byte)
            if byte == 0xFF:
                self.bytes.append(0)
        self.value &= (1 << self.count) - 1

    def number(self, value):
        """Size of a coefficient, and the bits that tell it among those of this size."""
        size = abs(value).bit_length()
        return size, value if value >= 0 else value + (1 << size) - 1

    def block(self, step, coefficients):
        """A difference of DC, and the first AC coefficients in zigzag order."""
        size, bits = self.number(step)
        self.put(*DC_CODES[size])
        self.put(bits, size)
        run = 0
        for value in coefficients:
            if value == 0:
                run += 1
                continue
            size, bits = self.number(value)
            self.put(*AC_CODES[run << 4 | size])
            self.put(bits, size)
            run = 0
        self.put(*AC_CODES[0])


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def drawing(pick, kind):
    """One file: bands, checks or blots, by its kind, in colours of its own."""
    bits, blocks = Bits(), SIDE // 8
    levels = [[pick.randrange(-40, 41) for _ in range(2)] for _ in range(3)]
    before = [0, 0, 0]
    for row in range(blocks):
        for column in range(blocks):
            side = (row, column, row + column, row * column, row ^ column)[kind % 5] & 1
            for channel in range(3):
                level = levels[channel][side] + pick.randrange(-3, 4)
                texture = [pick.randrange(-6, 7) if index == kind // 5 or index == 2 + kind % 3 else 0 for index in range(6)]
                bits.block(level - before[channel], texture if channel == 0 else [])
                before[channel] = level
    bits.put(0x7F, 7)
    frame = struct.pack(">BHHB", 8, SIDE, SIDE, 3) + b"".join(bytes((n, 0x11, 0)) for n in (1, 2, 3))
    tables = b"".join(bytes((kind,)) + bytes(counts) + bytes(symbols) for kind, (counts, symbols) in ((0, DC), (0x10, AC)))
    scan = bytes((3,)) + b"".join(bytes((n, 0)) for n in (1, 2, 3)) + bytes((0, 63, 0))
    return (b"\xff\xd8" + segment(0xDB, b"\0" + bytes([12] * 64)) + segment(0xC0, frame) + segment(0xC4, tables) + segment(0xDA, scan)
            + bytes(bits.bytes) + b"\xff\xd9")


def draw(folder, number=3000):
    """`number` files of ten classes, the same ones always."""
    folder, pick = Path(folder), random.Random("drawings")
    for index in range(number):
        path = folder / f"class{index % NUM_CLASSES}" / f"{index:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawing(pick, index % NUM_CLASSES))
    return folder
