"""Pictures: facts, a picture that every browser draws, a thumbnail. Decompression bombs are refused by their header."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import (
    MIB,
    MOST_PIXELS,
    PICTURE_SIDE,
    THUMBNAIL_SIDE,
    Ask,
    Kind,
    Preview,
    PreviewError,
    Product,
    as_file,
    has_suffix,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from datasets_app.previews.base import Reader

MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\0\0\0\x0cjP  \r\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"DDS ", "image/vnd-ms.dds"),
    (b"qoif", "image/qoi"),
)
# Short magics that other files begin with too count only together with the name.
NAMED: Final = (
    (b"BM", (".bmp", ".dib"), "image/bmp"),
    (b"\0\0\1\0", (".ico", ".cur"), "image/x-icon"),
    (b"P", (".pbm", ".pgm", ".ppm", ".pnm", ".pfm"), "image/x-portable-anymap"),
    (b"", (".tga",), "image/x-tga"),
)
# What Pillow may decode. Of its others, some run programs (PostScript), and none was reviewed for strangers' files.
FORMATS: Final = (
    *("AVIF", "BMP", "CUR", "DDS", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "PSD", "QOI", "TGA", "TIFF"),
    "WEBP",
)
# JPEG and the like are reduced while they are read; others need all pixels in memory.
MOST_IN_MEMORY: Final = 110_000_000
# Of what is in memory, so many pixels at a time are brought to RGB.
STRIP_PIXELS: Final = 1_000_000
# Where a picture says that it is to be turned.
TURNS: Final = ("exif", "xmp", "Raw profile type exif")
# How far from its end a PNG's EXIF is looked for; in JPEG, EXIF has at most 64 KiB.
PNG_TAIL: Final = 256 * 1024
EXIF_PRIVATE: Final = frozenset({"GPSInfo", "MakerNote", "UserComment"})


class ImageKind(Kind):
    """What Pillow decodes."""

    name: ClassVar[str] = "image"
    label: ClassVar[str] = "Image"
    parts: ClassVar[tuple[str, ...]] = ("picture", "thumbnail")

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask the magic."""
        return image_type(head, name) != ""

    def show(self, reader: Reader, ask: Ask) -> Preview | Product:
        """Show the facts, or draw one frame or page."""
        image = open_image(reader)
        frames = _frames(image)
        number = ask.number("frame", 0, most=frames - 1)
        if ask.part:
            side = THUMBNAIL_SIDE if ask.part == "thumbnail" else PICTURE_SIDE
            return _draw(image, number, side)
        facts = [("Dimensions", f"{image.width} x {image.height} pixels"), ("Mode", _mode(image))]
        if frames > 1:
            word = "Pages" if image.format == "TIFF" else "Frames"
            facts.append((word, str(frames)))
        exif, has_place = _exif(image, reader)
        notes = ["The picture carries a location, which is not shown."] if has_place else []
        data = {
            "width": image.width,
            "height": image.height,
            "format": image.format,
            "frames": frames,
            "frame": number,
            "exif": exif,
        }
        media_type = str(getattr(image, "get_format_mimetype", lambda: None)() or "image/*")
        return Preview(media_type, facts=[("Format", image.format or "unknown"), *facts], data=data, notes=notes)


def image_type(head: bytes, name: str) -> str:
    """Return the media type of a picture, "" for everything else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:12] in {b"ftypavif", b"ftypavis"}:
        return "image/avif"
    for magic, media_type in MAGIC:
        if head.startswith(magic):
            return media_type
    for magic, suffixes, media_type in NAMED:
        if head.startswith(magic) and has_suffix(name, *suffixes):
            return media_type
    return ""


def open_image(reader: Reader) -> Image:
    """Read a picture's header; PreviewError for what is none, and for decompression bombs."""
    from PIL import Image, ImageFile, UnidentifiedImageError

    # We refuse by our own limit, with a sentence; a picture that ends early is drawn as far as it goes.
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image = Image.open(as_file(reader), formats=FORMATS)
    except UnidentifiedImageError:
        raise PreviewError("This is no picture that can be decoded, or it is damaged.") from None
    pixels = image.width * image.height
    if pixels > MOST_PIXELS:
        raise PreviewError(f"The picture has {pixels:,} pixels, more than the {MOST_PIXELS:,} that are decoded.")
    return image


def _frames(image: Image) -> int:
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except (OSError, ValueError, EOFError):
        return 1


def _mode(image: Image) -> str:
    names = {
        "1": "1 bit, black and white",
        "L": "8 bit, grey",
        "LA": "8 bit, grey with alpha",
        "P": "8 bit, palette",
        "RGB": "8 bit a channel, RGB",
        "RGBA": "8 bit a channel, RGB with alpha",
        "CMYK": "8 bit a channel, CMYK",
        "YCbCr": "8 bit a channel, YCbCr",
        "LAB": "8 bit a channel, Lab",
        "HSV": "8 bit a channel, HSV",
        "I": "32 bit, integers",
        "F": "32 bit, floating point",
    }
    return names.get(image.mode, "16 bit, grey" if image.mode.startswith("I;16") else image.mode)


def _exif(image: Image, reader: Reader) -> tuple[list[tuple[str, str]], bool]:
    """Return names and values without the place, and whether there is a place."""
    from PIL import ExifTags
    from PIL.Image import Image as AnyImage

    if image.format == "PNG" and "exif" not in image.info:
        late = _late_exif(reader)
        image.info |= {"exif": late} if late else {}
    try:
        # PNG's own method would decode all pixels to get at what may follow them.
        exif = AnyImage.getexif(image)
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        has_place = bool(exif.get_ifd(ExifTags.IFD.GPSInfo))
    except Exception:  # noqa: BLE001 - broken EXIF comes in many ways, and the picture is there all the same
        return [], False
    values: dict[int, Any] = {**dict(exif), **inner}
    named = [(ExifTags.TAGS.get(tag, f"0x{tag:04x}"), value) for tag, value in values.items()]
    return [
        (name, shown(value, 120)) for name, value in named[:60] if name not in EXIF_PRIVATE and value not in ("", b"")
    ], has_place


def _late_exif(reader: Reader) -> bytes:
    """Return the EXIF that a PNG has behind its pixels, b"" for none; its checksum tells it from pixels."""
    start = max(0, reader.size - PNG_TAIL)
    tail = reader.read(start, PNG_TAIL)
    at = tail.rfind(b"eXIf")
    while at >= 4:  # noqa: PLR2004 - the length comes before
        end = at + 4 + int.from_bytes(tail[at - 4 : at])
        if zlib.crc32(tail[at:end]).to_bytes(4) == tail[end : end + 4]:
            return tail[at + 4 : end]
        at = tail.rfind(b"eXIf", 0, at)
    return b""


def tell_place(image: Image, reader: Reader) -> bool:
    """Tell whether the picture says where it was taken."""
    return _exif(image, reader)[1]


def _draw(image: Image, number: int, side: int) -> Product:
    from PIL import Image, ImageOps

    if number:
        image.seek(number)
    # JPEG decoders can leave out most of the work; the others refuse to change anything.
    image.draft(None, (side, side))
    if image.width * image.height > MOST_IN_MEMORY:
        raise PreviewError(f"The picture has {image.width * image.height:,} pixels: too large to be drawn here.")
    image.load()
    flat = _shrunk(image, side)
    if flat is not image:
        # The large one's memory.
        image.close()
    if max(flat.size) > side:
        flat.thumbnail((side, side), Image.Resampling.LANCZOS if side < PICTURE_SIDE else Image.Resampling.BOX)
    flat = ImageOps.exif_transpose(flat)
    # Nothing of what the file says about itself, such as a place, goes on.
    flat.info = {}
    sink = io.BytesIO()
    if flat.mode == "RGBA":
        flat.save(sink, "WEBP", quality=85, method=2)
    else:
        flat.save(sink, "JPEG", quality=85, optimize=False)
    body = sink.getvalue()
    if len(body) > 8 * MIB:
        raise PreviewError("The picture can't be made small enough to be shown.")
    return Product("image/webp" if flat.mode == "RGBA" else "image/jpeg", body)


def _shrunk(image: Image, side: int) -> Image:
    """Bring any mode to RGB or RGBA, not much larger than `side`: strip by strip, without a second whole picture."""
    from PIL import Image

    factor = max(1, max(image.size) // (2 * side))
    mode = "RGBA" if image.mode in {"LA", "PA", "RGBA", "RGBa", "La"} or "transparency" in image.info else "RGB"
    high = max(1, STRIP_PIXELS // image.width // factor) * factor
    strips = [(0, top, image.width, min(top + high, image.height)) for top in range(0, image.height, high)]
    low_high = _range(image, strips) if _is_deep(image) else (0.0, 1.0)
    if image.mode == mode == "RGB":
        # Nothing to convert. (With alpha, Pillow would make a second whole picture before it reduces the first.)
        return image.reduce(factor) if factor > 1 else image
    canvas = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    for box in strips:
        strip = image.crop(box)
        flat = _stretched(strip, *low_high) if _is_deep(image) else strip.convert(mode)
        canvas.paste(flat.reduce(factor) if factor > 1 else flat, (0, box[1] // factor))
    canvas.info = {key: image.info[key] for key in TURNS if key in image.info}
    return canvas


def _is_deep(image: Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def _range(image: Image, strips: Sequence[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Return the least and the largest finite value."""
    import numpy as np

    low, high = float("inf"), float("-inf")
    for box in strips:
        values = np.asarray(image.crop(box), dtype=np.float32)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def _stretched(image: Image, low: float, high: float) -> Image:
    """Show figures of more than 8 bits from black, the least, to white, the largest."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image, dtype=np.float32)
    scaled = np.nan_to_num((values - low) * (255.0 / ((high - low) or 1.0)))
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)).convert("RGB")
