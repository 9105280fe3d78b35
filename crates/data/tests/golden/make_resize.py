"""Writes resize.txt: results of Pillow for tests/agrees_with_pillow.rs.

    pip install pillow && python make_resize.py

One case a line: kind, width and height of the image, crop box (left top width height), width and height of the
result, and its RGB bytes in hexadecimal. `crop` cuts the box out and resizes it; `center` resizes the shorter side to
the box's width and cuts out the central square of the result's side with the rounding of torchvision.
"""

from pathlib import Path

from PIL import Image

CROPS = [
    # width, height, left, top, crop width, crop height, result width, result height
    (64, 48, 0, 0, 64, 48, 16, 12),
    (64, 48, 0, 0, 64, 48, 17, 13),
    (37, 53, 0, 0, 37, 53, 15, 15),
    (9, 7, 0, 0, 9, 7, 19, 16),
    (31, 29, 5, 3, 11, 13, 16, 17),
    (200, 150, 17, 23, 101, 83, 16, 16),
    (50, 50, 49, 0, 1, 50, 9, 9),
    (300, 3, 0, 0, 300, 3, 10, 10),
    (13, 13, 0, 0, 13, 13, 13, 13),
]
CENTERS = [
    # width, height, resize, size
    (100, 75, 20, 16),
    (75, 100, 20, 17),
    (21, 33, 23, 18),
    (10, 9, 14, 14),
    (1, 500, 14, 10),
    (40, 40, 15, 15),
]


def picture(width, height):
    """Smooth and rough parts, from whole numbers only; the Rust test draws the same."""
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            rough = (x * x * 7 + y * 13 + x * y * 3) % 256
            image.putpixel((x, y), (rough, (x * 255) // width, ((x // 4 + y // 4) % 2) * 200 + 20))
    return image


def center(image, resize, size):
    width, height = image.size
    short, long = min(width, height), max(width, height)
    long = int(resize * long / short)
    width, height = (resize, long) if width <= height else (long, resize)
    image = image.resize((width, height), Image.BILINEAR)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


def main():
    lines = []
    for width, height, left, top, crop_width, crop_height, out_width, out_height in CROPS:
        image = picture(width, height).crop((left, top, left + crop_width, top + crop_height))
        image = image.resize((out_width, out_height), Image.BILINEAR)
        numbers = [width, height, left, top, crop_width, crop_height, out_width, out_height]
        lines.append(" ".join(["crop", *map(str, numbers), image.tobytes().hex()]))
    for width, height, resize, size in CENTERS:
        image = center(picture(width, height), resize, size)
        numbers = [width, height, 0, 0, resize, resize, size, size]
        lines.append(" ".join(["center", *map(str, numbers), image.tobytes().hex()]))
    Path(__file__).with_name("resize.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
