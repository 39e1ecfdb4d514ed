"""Audio and video: facts, a waveform and a spectrogram, a poster. The player is the browser's own."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import (
    PICTURE_SIDE,
    THUMBNAIL_SIDE,
    Ask,
    Kind,
    Preview,
    PreviewError,
    Product,
    as_file,
    figure,
    has_suffix,
)

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

# Long enough to be believed whatever the name is.
MAGIC: Final = (b"fLaC\0", b"OggS\0", b"\x1a\x45\xdf\xa3", b"FLV\x01", b".snd\0\0\0", b"caff\0\1")
# These count only together with a name of sound or film.
NAMED_MAGIC: Final = (
    *(b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9", b"\0\0\1\xba", b"\0\0\1\xb3"),
    *(b"FORM", b".snd", b"caff"),
)
# What ISO base media files are of that are no pictures; `images` comes first for AVIF.
PICTURES: Final = frozenset({b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
# A transport stream is packets of 188 bytes (192 with a time before each), which begin with G.
PACKETS: Final = ((188, 0), (192, 4))
SYNC: Final = 0x47
AUDIO_NAMES: Final = (".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".au", ".caf")
VIDEO_NAMES: Final = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".flv", ".mpg", ".mpeg", ".ogv", ".3gp", ".ts")
# What browsers play; for the others there are the facts, the waveform and the poster.
PLAYED: Final = {
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
    ".mov": "video/quicktime",
}
BARS: Final = 300
# How much sound is decoded for the pictures.
DRAWN_SECONDS: Final = 300
RATE: Final = 8000
WINDOW: Final = 512


class MediaKind(Kind):
    """What FFmpeg's libraries decode."""

    name: ClassVar[str] = "media"
    label: ClassVar[str] = "Audio or video"
    parts: ClassVar[tuple[str, ...]] = ("spectrogram", "picture", "thumbnail")

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask the magic, and the name as well where that is short."""
        riff = head[:4] in {b"RIFF", b"RF64"} and head[8:12] in {b"WAVE", b"AVI "}
        aiff = head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}
        iso = head[4:8] == b"ftyp" and head[8:12] not in PICTURES
        if riff or aiff or iso or head.startswith(MAGIC) or _is_transport(head):
            return True
        return has_suffix(name, *AUDIO_NAMES, *VIDEO_NAMES) and head.startswith(NAMED_MAGIC)

    def show(self, reader: Reader, ask: Ask) -> Preview | Product:
        """Tell the facts, or draw a part."""
        import av

        av.logging.set_level(None)
        try:
            # Only what is in the file itself: no protocols, so no other files and no network.
            container = av.open(as_file(reader), mode="r", options={"protocol_whitelist": ""})
        except av.FFmpegError as error:
            raise PreviewError(f"This is no sound and no film that can be decoded: {error.strerror}.") from None
        with container:
            if ask.part == "spectrogram":
                return _spectrogram(container)
            if ask.part:
                return _poster(container, THUMBNAIL_SIDE if ask.part == "thumbnail" else PICTURE_SIDE)
            return _facts(container, ask)


def _is_transport(head: bytes) -> bool:
    """Tell a transport stream by several packets in a row; text may begin with a G, too."""
    return any(
        len(head) > start + 3 * size and all(head[at] == SYNC for at in range(start, min(len(head), 8 * size), size))
        for size, start in PACKETS
    )


def _facts(container: Any, ask: Ask) -> Preview:  # noqa: ANN401 - an av.InputContainer
    videos = [stream for stream in container.streams.video if stream.codec_context is not None]
    sounds = list(container.streams.audio)
    seconds = (container.duration or 0) / 1_000_000
    facts = [("Duration", _duration(seconds)), ("Container", container.format.long_name or container.format.name)]
    # The cover of a song is a stream of one picture.
    is_film = bool(videos) and not (sounds and videos[0].frames == 1)
    if is_film:
        video = videos[0]
        rate = video.average_rate
        facts += [
            ("Video", video.codec_context.name),
            ("Dimensions", f"{video.codec_context.width} x {video.codec_context.height} pixels"),
            ("Frames a second", f"{float(rate):.4g}" if rate else "unknown"),
        ]
    bars: list[int] = []
    if sounds:
        sound = sounds[0].codec_context
        facts += [
            ("Audio", sound.name),
            ("Sample rate", f"{figure(sound.sample_rate or 0)} Hz"),
            ("Channels", str(sound.channels)),
        ]
        bars = _waveform(container)
    suffix = next((suffix for suffix in PLAYED if ask.name.endswith(suffix)), "")
    media_type = PLAYED.get(suffix, "video/*" if is_film else "audio/*")
    data = {
        "is_film": is_film,
        "is_played": bool(suffix),
        "bars": bars,
        "has_sound": bool(sounds),
        "is_cut": seconds > DRAWN_SECONDS,
        "drawn_seconds": DRAWN_SECONDS,
    }
    return Preview(media_type, facts, data)


def _samples(container: Any) -> Any:  # noqa: ANN401 - a numpy array of float32
    """Decode the beginning to one channel at 8 kHz."""
    import av
    import numpy as np

    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts, count = [], 0
    try:
        for frame in container.decode(audio=0):
            for one in resampler.resample(frame):
                parts.append(one.to_ndarray().reshape(-1))
                count += parts[-1].size
            if count > DRAWN_SECONDS * RATE:
                break
    except av.FFmpegError:
        # What was decoded before the damage is drawn.
        pass
    return np.concatenate(parts) if parts else np.zeros(1, dtype=np.float32)


def _waveform(container: Any) -> list[int]:  # noqa: ANN401
    import numpy as np

    samples = np.abs(np.nan_to_num(_samples(container)))
    peaks = [float(part.max()) if part.size else 0.0 for part in np.array_split(samples, BARS)]
    tallest = max(peaks) or 1.0
    return [round(100 * peak / tallest) for peak in peaks]


def _spectrogram(container: Any) -> Product:  # noqa: ANN401
    import numpy as np
    from PIL import Image

    samples = np.nan_to_num(_samples(container))
    if samples.size < WINDOW:
        raise PreviewError("There is too little sound to draw.")
    step = max(WINDOW // 2, (samples.size - WINDOW) // 1200)
    starts = np.arange(0, samples.size - WINDOW + 1, step)
    frames = np.stack([samples[start : start + WINDOW] for start in starts]) * np.hanning(WINDOW)
    power = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) + 1e-6)
    scaled = np.clip((power - power.max() + 80) / 80, 0, 1).T[::-1]
    # From dark blue over violet to yellow.
    colours = np.dstack([scaled * 1.8 - 0.3, scaled * 2 - 1, 0.25 + np.sin(scaled * 3)])
    picture = Image.fromarray((np.clip(colours, 0, 1) * 255).astype(np.uint8))
    sink = io.BytesIO()
    picture.resize((1200, 256)).save(sink, "WEBP", quality=80)
    return Product("image/webp", sink.getvalue())


def _poster(container: Any, side: int) -> Product:  # noqa: ANN401
    import av

    if not container.streams.video:
        raise PreviewError("There is no picture in this file.")
    stream = container.streams.video[0]
    if (container.duration or 0) > 4_000_000:  # noqa: PLR2004 - the first picture is often black
        container.seek(container.duration // 10)
    try:
        frame = next(container.decode(stream))
    except (av.FFmpegError, StopIteration):
        raise PreviewError("No picture of this film can be decoded.") from None
    image = frame.to_image()
    image.thumbnail((side, side))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=85)
    return Product("image/jpeg", sink.getvalue())


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
