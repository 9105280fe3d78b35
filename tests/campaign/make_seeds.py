"""Makes the image files of seeds/ (needs Pillow and NumPy; run once, the results are kept)."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

out = Path(__file__).resolve().parent / "seeds"
out.mkdir(exist_ok=True)


def scene(width, height):
    """A lit sphere before a sky with grain: smooth parts, edges and noise."""
    y, x = np.mgrid[0:height, 0:width] / height
    distance = np.hypot(x - 0.6, y - 0.5)
    sky = np.stack([90 + 80 * y, 120 + 70 * y, 230 - 60 * y], axis=-1)
    light = np.clip(1.4 - 2 * np.hypot(x - 0.5, y - 0.35), 0.1, 1)
    sphere = np.stack([220 * light, 120 * light, 60 * light + 30 * (np.sin(40 * x) > 0)], axis=-1)
    picture = np.where((distance < 0.35)[..., None], sphere, sky)
    picture += np.random.default_rng(5).normal(0, 6, picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


image, small = scene(96, 72), scene(45, 37)
grey, alpha = image.convert("L"), image.copy()
alpha.putalpha(grey)


def save(name, picture=image, **options):
    picture.save(out / name, **options)


save("baseline.jpg", quality=90)
save("grey.jpg", grey, quality=85)
save("progressive.jpg", quality=85, progressive=True)
save("sub444.jpg", quality=85, subsampling=0)
save("sub420-restarts.jpg", quality=85, subsampling=2, restart_marker_rows=1)
save("cmyk.jpg", image.convert("CMYK"), quality=85)
exif = Image.Exif()
exif[0x0112] = 6
save("exif.jpg", quality=85, exif=exif, icc_profile=b"\0" * 300)
save("rgb.png")
save("grey.png", grey)
save("palette.png", image.quantize(64))
save("alpha.png", alpha)
save("deep.png", Image.fromarray((np.asarray(grey).astype(np.uint16) * 257)))
save("one-bit.png", grey.convert("1"))
save("lossy.webp", quality=80)
save("lossless.webp", small, lossless=True)
save("alpha.webp", alpha, quality=70)
save("animated.webp", small, save_all=True, append_images=[small.rotate(20), small.rotate(40)], duration=50)
save("rgb.bmp")
save("palette.bmp", image.quantize(200))
save("one-bit.bmp", grey.convert("1"))
save("alpha.bmp", alpha)
for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
    save(f"{compression}.tif", small if compression == "raw" else image, compression=compression)
save("float.tif", Image.fromarray(np.asarray(small.convert("L")).astype(np.float32) / 255))
save("group4.tif", grey.convert("1"), compression="group4")
save("deep.tif", Image.fromarray((np.asarray(small.convert("L")).astype(np.uint16) * 257)))
save("pages.tif", small, save_all=True, append_images=[small.rotate(9)])
save("plain.gif", image.quantize(128))
save("interlaced.gif", image.quantize(64), interlace=1)
save("animated.gif", small.quantize(32), save_all=True, append_images=[small.rotate(20).quantize(32)] * 3, duration=50, loop=0)
# Run-length encoded BMP, which Pillow only reads.
index = np.asarray(image.quantize(16))
header = bytearray()
rows = bytearray()
for row in index[::-1]:
    start = 0
    while start < len(row):
        end = start
        while end < len(row) and row[end] == row[start] and end - start < 255:
            end += 1
        rows += bytes([end - start, row[start]])
        start = end
    rows += b"\0\0"
rows += b"\0\1"
palette = bytes(sum(([r, g, b, 0] for r, g, b in zip(*[iter(image.quantize(16).getpalette()[:48])] * 3)), []))
offset = 14 + 40 + len(palette)
(out / "rle8.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset)
    + struct.pack("<IiiHHIIiiII", 40, 96, 72, 1, 8, 1, len(rows), 2835, 2835, 16, 0) + palette + bytes(rows))
