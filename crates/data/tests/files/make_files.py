"""Writes the image files that Rust's encoders cannot, for tests/formats.rs.

    pip install pillow && python make_files.py

Each shows four quarters: red and green above, blue and white below.
"""

from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent


def quarters():
    image = Image.new("RGB", (32, 32))
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (240, 240, 240)]
    for index, color in enumerate(colors):
        left, top = 16 * (index % 2), 16 * (index // 2)
        image.paste(color, (left, top, left + 16, top + 16))
    return image


def main():
    image = quarters()
    image.save(FOLDER / "progressive.jpg", quality=95, progressive=True)
    image.save(FOLDER / "subsampled.jpg", quality=95, subsampling=2)
    image.convert("L").save(FOLDER / "grey.jpg", quality=95)
    image.convert("CMYK").save(FOLDER / "cmyk.jpg", quality=95)
    # The same values declared to be YCCK (the last byte of the Adobe segment), so that they are other colours.
    data = bytearray((FOLDER / "cmyk.jpg").read_bytes())
    adobe = data.index(b"Adobe")
    data[adobe + 11] = 2
    (FOLDER / "ycck.jpg").write_bytes(data)
    image.convert("CMYK").save(FOLDER / "cmyk.tif", compression="tiff_deflate")
    image.save(FOLDER / "lzw.tif", compression="tiff_lzw")
    image.quantize(4).save(FOLDER / "palette.png")
    image.convert("1").save(FOLDER / "one-bit.png")
    image.quantize(4).save(FOLDER / "two-frames.gif", save_all=True, append_images=[Image.new("P", (32, 32))])
    image.save(FOLDER / "lossy.webp", quality=95)
    image.quantize(4).save(FOLDER / "palette.bmp")
    for path in sorted(FOLDER.glob("*.*")):
        if path.suffix != ".py":
            opened = Image.open(path).convert("RGB")
            print(path.name, path.stat().st_size, *(opened.getpixel(p) for p in [(8, 8), (24, 8), (8, 24), (24, 24)]))


if __name__ == "__main__":
    main()
