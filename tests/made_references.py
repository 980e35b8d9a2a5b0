"""Files that refer to a video beside them, one for each FFmpeg demuxer that follows such references."""

import struct
from pathlib import Path


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _alias(name: str) -> bytes:
    """A QuickTime alias record that leads to a file beside."""
    place = name.encode()
    path = struct.pack(">HH", 2, len(place)) + place + b"\0" * (len(place) % 2)
    fixed = bytes(10) + bytes([1]) + b"v".ljust(27, b"\0") + bytes(12)
    file = bytes([min(len(place), 63)]) + place[:63].ljust(63, b"\0")
    return fixed + file + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16) + path + struct.pack(">HH", 0xFFFF, 0)


def external_track(video: Path) -> bytes:
    """An MP4 without pictures of its own: its table leads into the file that it was made from."""
    data = video.read_bytes()
    start = data.rindex(b"moov") - 4
    moov = data[start : start + struct.unpack(">I", data[start : start + 4])[0]]
    boxes = (b"moov", b"trak", b"mdia", b"minf", b"dinf")
    old = moov[moov.index(b"dref") - 4 :]
    old = old[: struct.unpack(">I", old[:4])[0]]
    new = _box(b"dref", bytes(4), struct.pack(">I", 1), _box(b"alis", bytes(4), _alias(video.name)))
    out = bytearray(moov.replace(old, new))
    for kind in boxes:
        place = out.index(kind) - 4
        size = struct.unpack(">I", out[place : place + 4])[0]
        out[place : place + 4] = struct.pack(">I", size + len(new) - len(old))
    return data[: struct.unpack(">I", data[:4])[0]] + bytes(out)


def references(name: str) -> dict[str, str]:
    """What text of each kind refers to the video ``name`` beside it, by the name of the demuxer that follows it."""
    dash = f"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" minBufferTime="PT1S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">
<Representation id="1" bandwidth="1000" codecs="avc1"><BaseURL>{name}</BaseURL></Representation>
</AdaptationSet></Period></MPD>"""
    imf = """<?xml version="1.0" encoding="UTF-8"?>
<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:0</Id></CompositionPlaylist>"""
    session = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns={name}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    times = "id: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n"
    xspf = f"<playlist version='1'><trackList><track><location>{name}</location></track></trackList></playlist>"
    ass = "[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Start, End, Text\n"
    return {
        "concat": f"ffconcat version 1.0\nfile {name}\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n",
        "dash": dash,
        "imf": imf,
        "sdp": session,
        "rtsp": f"RTSP://127.0.0.1:9/{name}\n",
        "lavfi": f"movie={name}",
        "avisynth": f'AVISource("{name}")\n',
        "vapoursynth": f'import vapoursynth as vs\nvs.core.lsmas.LWLibavSource("{name}").set_output()\n',
        "vobsub": f"# VobSub index file, v7\nsize: 64x48\n{times}{name}\n",
        "tty": f"\x1b[2J\x1b[1;31m{name} in red letters\x1b[0m\n" * 30,
        "m3u": f"{name}\n",
        "pls": f"[playlist]\nFile1={name}\nNumberOfEntries=1\n",
        "asx": f'<asx version="3.0"><entry><ref href="{name}"/></entry></asx>\n',
        "xspf": f'<?xml version="1.0"?>{xspf}',
        "smil": f'<smil><body><video src="{name}"/></body></smil>\n',
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><image href="{name}"/></svg>\n',
        "ffmetadata": f";FFMETADATA1\ntitle={name}\n",
        "webvtt": f"WEBVTT\n\n00:00.000 --> 00:01.000\n{name}\n",
        "srt": f"1\n00:00:00,000 --> 00:00:01,000\n{name}\n\n" * 3,
        "ass": f"{ass}Dialogue: 0:00:00.00,0:00:01.00,{name}\n",
    }
