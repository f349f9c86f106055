"""Packs and snapshots made by hand (runtime/snapshot/pack.hpp and manifest.hpp tell the formats)."""

import ctypes
import hashlib
import os


def sha(content):
    return hashlib.sha256(content).digest()


def number(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def manifest(files):
    """Of {name: content}, or {name: (size, digest)} for a file that is only named."""
    out = b"BRTHSNP1"
    for name, what in sorted(files.items()):
        size, digest = what if isinstance(what, tuple) else (len(what), sha(what))
        out += b"\x02" + number(len(name)) + name.encode() + number(size) + digest
    return out + b"\0"


def recipe(chunks):
    """Of [(digest, size)]."""
    return b"BRTHRCP1" + b"".join(digest + size.to_bytes(4, "little") for digest, size in chunks)


def frame(*contents):
    whole = b"".join(contents)
    return (b"F" + number(len(contents)) + b"".join(number(len(content)) for content in contents) + b"\0"
            + number(len(whole)) + whole)


def delta(base, entry, size, stored):
    return b"D" + number(base) + number(entry) + number(size) + number(len(stored)) + stored


def pack(target, records=(), objects=0, bases=(), encoded=None):
    """`target`: the manifest's bytes, or its digest where `encoded` says what stands in its place."""
    digest = target if encoded is not None else sha(target)
    if encoded is None:
        encoded = b"\0" + number(len(target)) + number(len(target)) + target
    return (b"BRTHPAK1" + digest + number(len(bases)) + b"".join(bases) + encoded + b"".join(records)
            + b"E" + number(objects))


def whole(files, **options):
    """A sound pack of {name: content}."""
    contents = sorted(set(files.values()))
    steps = [contents[i:i + 1] for i in range(len(contents))]
    return pack(manifest(files), [frame(*step) for step in steps], len(contents), **options)


def copied_manifest(size, base=0):
    """In a manifest's place: a delta that makes it equal to a base whose bytes one need not know, only their number."""
    stored = zstd_copy(size)
    return b"\x02" + number(base) + number(size) + number(len(stored)) + stored


def zstd_copy(size):
    """A frame without a magic number that yields the whole of an unknown prefix of `size` bytes."""
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_createCCtx.restype = ctypes.c_void_p
    zstd.ZSTD_compress2.restype = ctypes.c_size_t
    zstd.ZSTD_CCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    zstd.ZSTD_CCtx_refPrefix.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    zstd.ZSTD_compress2.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    zstd.ZSTD_freeCCtx.argtypes = [ctypes.c_void_p]
    context = zstd.ZSTD_createCCtx()
    # zstd takes the first byte as a literal, and every manifest begins with a B; the two are apart because it drops a
    # prefix that overlaps the input.
    content = b"B" + os.urandom(size - 1)
    prefix = bytes(bytearray(content))
    window = max(10, min(30, (2 * size).bit_length()))
    for parameter, value in ((100, 12), (101, window), (10, 1), (200, 0), (201, 0), (202, 0)):
        zstd.ZSTD_CCtx_setParameter(context, parameter, value)
    zstd.ZSTD_CCtx_refPrefix(context, prefix, size)
    out = ctypes.create_string_buffer(size + 1000)
    length = zstd.ZSTD_compress2(context, out, size + 1000, content, size)
    zstd.ZSTD_freeCCtx(context)
    return out.raw[:length]
