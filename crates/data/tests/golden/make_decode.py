"""Writes decode.bin: image files of every kind with the pixels that Pillow shows, for tests/decodes_as_pillow.rs.

    apt install libjpeg-turbo-progs && pip install pillow numpy && python make_decode.py

The file is one zlib stream of cases: length of the name and the name (1 byte, UTF-8), length of the image file and the
file (4 bytes, little-endian), width and height (2 bytes each), and the RGB bytes. Kinds that Pillow does not scale (more
than 8 bits, floating point) or not read have their pixels from the values that the file was made of.
"""

import io
import itertools
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

CASES = []


def pillow(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def add(name, data, pixels=None):
    pixels = np.asarray(pillow(data) if pixels is None else pixels).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, -1)
    CASES.append((name, data, pixels))


def picture(width, height):
    """Smooth colours, a disc with an edge, and a little roughness, from whole numbers."""
    y, x = np.mgrid[:height, :width]
    values = np.stack([40 + x * 170 // width, 200 - y * 150 // height, 60 + (x + y) * 120 // (width + height)], -1)
    values = values + ((x * 7 + y * 13 + x * y * 3) % 9)[..., None]
    values[(2 * x - width) ** 2 + (2 * y - height) ** 2 < min(width, height) ** 2 // 3] = (220, 40, 60)
    return Image.fromarray(values.astype(np.uint8))


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tool(name, data, *options, scans=None):
    if scans:
        Path("/tmp/scans.txt").write_text(scans)
        options = [*options, "-scans", "/tmp/scans.txt"]
    return subprocess.run([name, *options], input=data, capture_output=True, check=True).stdout


# JPEG: samplings and layouts of scans.
SAMPLINGS = {
    "444": "1x1,1x1,1x1", "422": "2x1,1x1,1x1", "420": "2x2,1x1,1x1", "440": "1x2,1x1,1x1", "411": "4x1,1x1,1x1",
    "410": "4x2,1x1,1x1", "441": "1x4,1x1,1x1", "2x2-2x1-1x2": "2x2,2x1,1x2", "1x1-2x2-1x1": "1x1,2x2,1x1",
    "2x2-2x2-1x1": "2x2,2x2,1x1", "1x2-all": "1x2,1x2,1x2", "311": "3x1,1x1,1x1",
}
LAYOUTS = {
    "interleaved": None,
    "three-scans": "0;\n1;\n2;\n",
    "luma-chroma": "0;\n1 2;\n",
    "reversed": "2;\n1;\n0;\n",
    "progressive": "0 1 2: 0-0, 0, 1;\n0: 1-5, 0, 2;\n2: 1-63, 0, 1;\n1: 1-63, 0, 1;\n0: 6-63, 0, 2;\n0: 1-63, 2, 1;\n"
    "0 1 2: 0-0, 1, 0;\n2: 1-63, 1, 0;\n1: 1-63, 1, 0;\n0: 1-63, 1, 0;\n",
    "progressive-apart": "0: 0-0, 0, 0;\n1: 0-0, 0, 0;\n2: 0-0, 0, 0;\n0: 1-63, 0, 0;\n1: 1-63, 0, 0;\n2: 1-63, 0, 0;\n",
}


def jpeg_layouts():
    sizes = {"420": [(1, 1), (8, 8), (16, 16), (17, 33), (40, 24)], "422": [(8, 3), (33, 16)], "440": [(5, 17), (24, 32)]}
    for (name, factors), (layout, scans) in itertools.product(SAMPLINGS.items(), LAYOUTS.items()):
        for width, height in [(19, 21), *sizes.get(name, [])]:
            for restart in (0, 2) if (width, height) == (19, 21) else (0,):
                options = ["-quality", "85", "-sample", factors, *(["-restart", f"{restart}B"] if restart else [])]
                data = tool("cjpeg", saved(picture(width, height), "PPM"), *options, scans=scans)
                add(f"jpeg {name} {layout} {width}x{height} restart {restart}", data)


def jpeg_colors():
    """What the channels mean: by Adobe's segment, by JFIF, by their identifiers."""
    image = picture(19, 21)
    for subsampling in (0, 2):
        ycc = saved(image, "JPEG", quality=85, subsampling=subsampling)
        jfif = ycc.index(b"JFIF") - 4
        bare = ycc[:jfif] + ycc[jfif + 18:]
        adobe = [bare[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([n]) + bare[2:] for n in (0, 1)]
        cmyk = saved(image.convert("CMYK"), "JPEG", quality=85, subsampling=subsampling)
        place = cmyk.index(b"Adobe")
        ycck = cmyk[:place + 11] + b"\2" + cmyk[place + 12:]
        kinds = {"no marker": bare, "Adobe RGB": adobe[0], "Adobe YCbCr": adobe[1], "CMYK": cmyk, "YCCK": ycck,
                 "CMYK without Adobe": cmyk[:place - 4] + cmyk[place + 12:]}
        if subsampling == 0:
            kinds["RGB identifiers"] = saved(image, "JPEG", quality=85, keep_rgb=True)
        for name, data in kinds.items():
            scans = "".join(f"{channel};\n" for channel in range(4 if "K" in name else 3))
            for layout, options in {"interleaved": {}, "three-scans": {"scans": scans}}.items():
                add(f"jpeg {name} subsampling {subsampling} {layout}", tool("jpegtran", data, **options))
            add(f"jpeg {name} subsampling {subsampling} progressive", tool("jpegtran", data, "-progressive"))
    grey = tool("cjpeg", saved(image, "PPM"), "-grayscale", "-sample", "2x2")
    add("jpeg grey 2x2", grey)
    add("jpeg grey 2x2 progressive", tool("jpegtran", grey, "-progressive"))


# TIFF.
SIZES = {1: "B", 3: "H", 4: "I", 5: "II", 7: "B"}


def tiff(fields, chunks, order="<", big=False, tiles=False, counts=True):
    """A TIFF of fields {tag: (type, values)}, with the tags of its strips or tiles added."""
    fields = dict(fields)
    fields[324 if tiles else 273] = (4, [0] * len(chunks))
    if counts:
        fields[325 if tiles else 279] = (4, [len(chunk) for chunk in chunks])
    inline, width = (8, "Q") if big else (4, "I")
    start = 16 if big else 8
    place = start + (8 + 20 * len(fields) + 8 if big else 2 + 12 * len(fields) + 4)

    def packed(kind, values):
        return b"".join(struct.pack(order + SIZES[kind], *(v if kind == 5 else [v])) for v in values)

    places = {}
    for tag, (kind, values) in sorted(fields.items()):
        length = len(packed(kind, values))
        if length > inline:
            places[tag] = place
            place += length + length % 2
    offsets = [place + sum(map(len, chunks[:index])) for index in range(len(chunks))]
    fields[324 if tiles else 273] = (4, offsets)
    out = b"II" if order == "<" else b"MM"
    out += struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    out += struct.pack(order + ("Q" if big else "H"), len(fields))
    extra = b""
    for tag, (kind, values) in sorted(fields.items()):
        content = packed(kind, values)
        if tag in places:
            extra += content + b"\0" * (len(content) % 2)
            content = struct.pack(order + width, places[tag])
        out += struct.pack(order + "HH" + width, tag, kind, len(values)) + content.ljust(inline, b"\0")
    return out + b"\0" * inline + extra + b"".join(chunks)


def basic(width, height, bits, samples, photometric, **more):
    fields = {256: (3, [width]), 257: (3, [height]), 258: (3, [bits] * samples), 259: (3, [1]),
              262: (3, [photometric]), 277: (3, [samples])}
    return fields | {int(tag[1:]): value for tag, value in more.items()}


def bit_rows(values, bits):
    """Rows of values of any depth, the first in the highest bits."""
    out = b""
    for row in values.reshape(values.shape[0], -1):
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        out += bytes(int(text[at:at + 8], 2) for at in range(0, len(text), 8))
    return out


REVERSED = bytes(int(format(byte, "08b")[::-1], 2) for byte in range(256))


def tiffs():
    width, height = 19, 21
    image = picture(width, height)
    rgb, grey = np.asarray(image).astype(int), np.asarray(image.convert("L")).astype(int)
    alpha = (np.mgrid[:height, :width].sum(0) * 11) % 256

    def basic_of(bits, samples, photometric, **more):
        return basic(width, height, bits, samples, photometric, **more)

    for bits, (photometric, source) in itertools.product((1, 2, 4, 8, 10, 12, 14, 16), ((0, grey), (1, grey), (2, rgb))):
        most = (1 << bits) - 1
        levels = (source * most + 127) // 255
        expected = (levels * 255 + most // 2) // most
        samples = 3 if photometric == 2 else 1
        stored = most - levels if photometric == 0 else levels
        for order in "<>":
            data = stored.astype(order + "u2").tobytes() if bits == 16 else bit_rows(stored, bits)
            add(f"tiff {bits} bits photometric {photometric} {order}",
                tiff(basic_of(bits, samples, photometric), [data], order), expected)
    for bits in (1, 2, 4, 8):
        colors = image.quantize(1 << bits)
        index = np.asarray(colors).astype(int)
        table = np.zeros((1 << bits, 3), int)
        given = np.array(colors.getpalette()).reshape(-1, 3)[:1 << bits]
        table[:len(given)] = given
        fields = basic_of(bits, 1, 3, _320=(3, list((table.T.ravel() * 257))))
        plain = tiff(fields, [bit_rows(index, bits)])
        add(f"tiff palette of {bits} bits", plain)
        reversed_bits = [bit_rows(index, bits).translate(REVERSED)]
        add(f"tiff palette of {bits} bits fill order 2", tiff(fields | {266: (3, [2])}, reversed_bits), pillow(plain))
    raw = rgb.astype(np.uint8).tobytes()
    for order in "<>":
        add(f"tiff BigTIFF {order}", tiff(basic_of(8, 3, 2), [raw], order, big=True), rgb)
    add("tiff without byte counts", tiff(basic_of(8, 3, 2), [raw], counts=False))
    strips = [raw[at:at + width * 3 * 4] for at in range(0, len(raw), width * 3 * 4)]
    add("tiff strips", tiff(basic_of(8, 3, 2, _278=(3, [4])), strips))
    add("tiff strips deflated fill order 2", tiff(
        basic_of(8, 3, 2, _278=(3, [4]), _266=(3, [2])) | {259: (3, [8])},
        [zlib.compress(strip).translate(REVERSED) for strip in strips]), rgb)
    for name, samples, photometric, values in (("grey", 1, 1, grey), ("RGB", 3, 2, rgb)):
        data = values.astype(np.uint8).tobytes().translate(REVERSED)
        add(f"tiff {name} fill order 2", tiff(basic_of(8, samples, photometric, _266=(3, [2])), [data]), values)
    # Planes and tiles.
    planes = [rgb[..., channel].astype(np.uint8).tobytes() for channel in range(3)]
    add("tiff planes", tiff(basic_of(8, 3, 2, _284=(3, [2])), planes))

    def tiles_of(values):
        padded = np.pad(values, ((0, -height % 16), (0, -width % 16)) + ((0, 0),) * (values.ndim - 2))
        return [padded[y:y + 16, x:x + 16].astype(np.uint8).tobytes() for y in range(0, height, 16) for x in range(0, width, 16)]

    tiled = {"_322": (3, [16]), "_323": (3, [16])}
    add("tiff tiles", tiff(basic_of(8, 3, 2, **tiled), tiles_of(rgb), tiles=True))
    add("tiff planes in tiles", tiff(basic_of(8, 3, 2, _284=(3, [2]), **tiled),
                                    sum((tiles_of(rgb[..., c]) for c in range(3)), []), ">", tiles=True), rgb)
    # Alpha and other samples.
    for kind, name in ((0, "unspecified"), (1, "associated"), (2, "unassociated")):
        colors = rgb * alpha[..., None] // 255 if kind == 1 else rgb
        data = np.dstack([colors, alpha]).astype(np.uint8).tobytes()
        add(f"tiff {name} alpha", tiff(basic_of(8, 4, 2, _338=(3, [kind])), [data]))
    data = np.dstack([rgb * alpha[..., None] // 255, alpha]).astype(np.uint8)
    add("tiff associated alpha in planes", tiff(basic_of(8, 4, 2, _338=(3, [1]), _284=(3, [2])),
                                              [data[..., channel].tobytes() for channel in range(4)]),
        pillow(tiff(basic_of(8, 4, 2, _338=(3, [1])), [data.tobytes()])))
    add("tiff grey alpha", tiff(basic_of(8, 2, 1, _338=(3, [2])), [np.dstack([grey, alpha]).astype(np.uint8).tobytes()]))
    # Inks.
    inks = np.asarray(image.convert("CMYK"))
    add("tiff CMYK", tiff(basic_of(8, 4, 5), [inks.tobytes()]))
    add("tiff CMYK 16 bits", tiff(basic_of(16, 4, 5), [(inks.astype(int) * 257).astype(">u2").tobytes()], ">"))
    # YCbCr with chroma samples for several pixels, which libtiff repeats.
    for across, down in ((1, 1), (2, 1), (2, 2), (4, 2)):
        ycc = np.asarray(image.convert("YCbCr")).astype(int)
        ycc = np.pad(ycc, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge")
        units, shown = b"", np.zeros(ycc.shape)
        for y, x in itertools.product(range(0, ycc.shape[0], down), range(0, ycc.shape[1], across)):
            block = ycc[y:y + down, x:x + across]
            chroma = block[..., 1:].reshape(-1, 2).mean(0).astype(int)
            units += bytes([*block[..., 0].ravel(), *chroma])
            luma, (blue, red) = block[..., 0], chroma - 128
            r, b = luma + 1.402 * red, luma + 1.772 * blue
            shown[y:y + down, x:x + across] = np.stack([r, (luma - 0.299 * r - 0.114 * b) / 0.587, b], -1)
        shown = np.floor(shown[:height, :width] + 0.5).clip(0, 255)
        add(f"tiff YCbCr {across}x{down}", tiff(basic_of(8, 3, 6, _530=(3, [across, down])), [units]), shown)
    # Floating point.
    for (kind, bits), (photometric, source), order in itertools.product(
            (("f4", 32), ("f8", 64)), ((0, 1 - grey / 255), (1, grey / 255), (2, rgb / 255)), "<>"):
        samples = 3 if photometric == 2 else 1
        add(f"tiff floats of {bits} bits photometric {photometric} {order}", tiff(
            basic_of(bits, samples, photometric, _339=(3, [3] * samples)), [source.astype(order + kind).tobytes()], order),
            rgb if photometric == 2 else grey)
    # Predictors.
    for bits, order in ((8, "<"), (16, "<"), (16, ">")):
        values = rgb * (257 if bits == 16 else 1)
        differences = np.diff(values, axis=1, prepend=0) % (1 << bits)
        data = differences.astype(f"{order}u{bits // 8}").tobytes()
        add(f"tiff predictor 2 of {bits} bits {order}", tiff(
            basic_of(bits, 3, 2, _317=(3, [2])) | {259: (3, [8])}, [zlib.compress(data)], order), rgb)
    for order in "<>":
        parts = (grey / 255).astype(">f4").view(np.uint8).reshape(height, width, 4).transpose(0, 2, 1).reshape(height, -1)
        data = (np.diff(parts.astype(int), axis=1, prepend=0) % 256).astype(np.uint8).tobytes()
        fields = basic_of(32, 1, 1, _317=(3, [3]), _339=(3, [3])) | {259: (3, [8])}
        add(f"tiff predictor 3 {order}", tiff(fields, [zlib.compress(data)], order), grey)
    for compression in ("tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate"):
        add(f"tiff {compression}", saved(image, "TIFF", compression=compression))
    add("tiff group4", saved(image.convert("1"), "TIFF", compression="group4"))


# Orientation.
def exif(number, order="<", kind=3):
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([number, 0] if kind == 3 else [number]))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "HHHI", 1, 274, kind, 1) + value + b"\0\0\0\0"


def xmp(number, element=False):
    inner = (f"><tiff:Orientation>{number}</tiff:Orientation></rdf:Description>" if element
             else f' tiff:Orientation="{number}"/>')
    return ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{inner}</rdf:RDF></x:xmpmeta>').encode()


def segment(content):
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def riff(chunks):
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for kind, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def orientations():
    image = picture(12, 9)
    jpeg, png, webp = saved(image, "JPEG", quality=90, subsampling=0), saved(image, "PNG"), saved(image, "WEBP", lossless=True)
    raw = np.asarray(image).tobytes()
    adobe = b"http://ns.adobe.com/xap/1.0/\0"
    end = len(png) - 12

    def raw_profile(data, name="exif"):
        lines = "\n".join(data.hex()[at:at + 72] for at in range(0, 2 * len(data), 72))
        return f"\n{name}\n{len(data):8}\n{lines}\n".encode()

    def text(kind, key, content):
        if kind == b"tEXt":
            return png_chunk(kind, key + b"\0" + content)
        if kind == b"zTXt":
            return png_chunk(kind, key + b"\0\0" + zlib.compress(content))
        packed = content if kind == b"iTXt" else zlib.compress(content)
        return png_chunk(b"iTXt", key + b"\0" + (b"\0\0" if kind == b"iTXt" else b"\1\0") + b"\0\0" + packed)

    def in_png(chunk, before=True):
        return png[:33] + chunk + png[33:] if before else png[:end] + chunk + png[end:]

    def in_webp(flag, kind, content):
        canvas = bytes([flag, 0, 0, 0]) + (11).to_bytes(3, "little") + (8).to_bytes(3, "little")
        (length,) = struct.unpack("<I", webp[16:20])
        return riff([(b"VP8X", canvas), (webp[12:16], webp[20:20 + length]), (kind, content)])

    for n in range(1, 9):
        other = n % 8 + 1
        for order, kind in itertools.product("<>", (3, 4)):
            add(f"orientation {n} jpeg EXIF {order} {kind}", jpeg[:2] + segment(b"Exif\0\0" + exif(n, order, kind)) + jpeg[2:])
        add(f"orientation {n} jpeg two EXIF", jpeg[:2] + segment(b"Exif\0\0" + exif(n)) + segment(b"Exif\0\0" + exif(other)) + jpeg[2:])
        add(f"orientation {n} jpeg XMP", jpeg[:2] + segment(adobe + xmp(n)) + jpeg[2:])
        add(f"orientation {n} jpeg XMP element", jpeg[:2] + segment(adobe + xmp(n, True)) + jpeg[2:])
        add(f"orientation {n} jpeg EXIF before XMP",
            jpeg[:2] + segment(adobe + xmp(other)) + segment(b"Exif\0\0" + exif(n, ">")) + jpeg[2:])
        for order in "<>":
            add(f"orientation {n} png eXIf {order}", in_png(png_chunk(b"eXIf", exif(n, order))))
        add(f"orientation {n} png eXIf behind", in_png(png_chunk(b"eXIf", exif(n)), before=False))
        for kind in (b"tEXt", b"zTXt", b"iTXt", b"packed"):
            add(f"orientation {n} png raw profile {kind.decode()}",
                in_png(text(kind, b"Raw profile type exif", raw_profile(b"Exif\0\0" + exif(n, ">"))), kind != b"tEXt"))
        for kind in (b"iTXt", b"packed"):
            add(f"orientation {n} png XMP {kind.decode()}", in_png(text(kind, b"XML:com.adobe.xmp", xmp(n)), kind == b"iTXt"))
        # Pillow does not read this one.
        app1 = in_png(text(b"zTXt", b"Raw profile type APP1", raw_profile(b"Exif\0\0" + exif(n), "APP1")))
        add(f"orientation {n} png raw profile APP1", app1, pillow(in_png(png_chunk(b"eXIf", exif(n)))))
        for order in "<>":
            add(f"orientation {n} webp EXIF {order}", in_webp(8, b"EXIF", exif(n, order)))
        add(f"orientation {n} webp EXIF prefix", in_webp(8, b"EXIF", b"Exif\0\0" + exif(n)))
        add(f"orientation {n} webp XMP", in_webp(4, b"XMP ", xmp(n)))
        for order, kind in (("<", 3), (">", 3), (">", 4)):
            add(f"orientation {n} tiff {order} {kind}", tiff(basic(12, 9, 8, 3, 2, _274=(kind, [n])), [raw], order))
        add(f"orientation {n} tiff XMP", tiff(basic(12, 9, 8, 3, 2, _700=(7, list(xmp(n)))), [raw]))
        add(f"orientation {n} tiff BigTIFF", tiff(basic(12, 9, 8, 3, 2, _274=(3, [n])), [raw], big=True))


def interlaced(values, depth, color):
    """A PNG in the seven passes of Adam7, which Pillow only reads."""
    height, width = values.shape[:2]
    rows = b""
    for left, top, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for row in values[top::down, left::across]:
            rows += b"\0" + row.tobytes() if len(row) else b""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 1)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(rows))
            + png_chunk(b"IEND", b""))


def others():
    """One of each remaining kind."""
    image = picture(19, 21)
    grey, alpha = image.convert("L"), image.copy()
    alpha.putalpha(grey)
    for name, shown, options in (
            ("rgb", image, {}), ("grey", grey, {}), ("palette", image.quantize(30), {}), ("one bit", grey.convert("1"), {}),
            ("two bits", image.quantize(4), {"bits": 2}), ("alpha", alpha, {})):
        add(f"png {name}", saved(shown, "PNG", **options))
        if name != "alpha":
            add(f"bmp {name}", saved(shown, "BMP"))
    deep = (np.asarray(grey).astype(np.uint16) * 257)
    add("png sixteen bits", saved(Image.fromarray(deep), "PNG"), np.asarray(grey))
    for name, values, depth, color in (("rgb", np.asarray(image), 8, 2), ("deep", deep.byteswap(), 16, 0)):
        add(f"png interlaced {name}", interlaced(values, depth, color), np.asarray(image if color else grey))
    add("png interlaced 3x1", interlaced(np.asarray(image)[:1, :3], 8, 2))
    for interlace in (0, 1):
        add(f"gif interlace {interlace}", saved(image.quantize(40), "GIF", interlace=interlace))
    add("webp lossless", saved(image, "WEBP", lossless=True))
    add("webp lossless alpha", saved(alpha, "WEBP", lossless=True, exact=True))


def main():
    jpeg_layouts()
    jpeg_colors()
    tiffs()
    orientations()
    others()
    out = b""
    for name, data, pixels in CASES:
        height, width, _ = pixels.shape
        name = name.encode()
        out += bytes([len(name)]) + name + struct.pack("<I", len(data)) + data
        out += struct.pack("<HH", width, height) + pixels.tobytes()
    out += b"\3end" + bytes(8)
    packed = zlib.compress(out, 9)
    Path(__file__).with_name("decode.bin").write_bytes(packed)
    print(len(CASES), "cases,", len(out), "bytes, packed", len(packed))


if __name__ == "__main__":
    main()
