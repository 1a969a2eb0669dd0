"""Image files as tensors: each kind of file is written here, so that its right pixels are known."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from vgg_utils.images import check_float_images, read_image

GREY = np.array([[0, 1, 2], [100, 128, 255]], dtype=np.uint8)
DEEP = np.array([[0, 1, 1000], [32768, 60000, 65535]], dtype=np.uint16)
COLOURS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 8, 7], [200, 100, 50], [255, 255, 255]]],
    dtype=np.uint8,
)


@pytest.fixture
def seen(tmp_path):
    """Save an image, or bytes, and return what `read_image` makes of it, as (H, W, 3)."""

    def save_and_read(image, name="a.png", **options):
        path = tmp_path / name
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            image.save(path, **options)
        tensor = read_image(path)
        assert tensor.dtype == torch.float32
        return tensor.permute(1, 2, 0).double().numpy()

    return save_and_read


def equal(pixels, expected, atol=1e-6):
    expected = np.asarray(expected, dtype=np.float64)
    expected = expected[:, :, None].repeat(3, 2) if expected.ndim == 2 else expected
    np.testing.assert_allclose(pixels, expected, atol=atol)
    return True


def tiff(pixels, *, bits, sample_format=1, photometric=1):
    """Return a TIFF (little endian, one strip) of these bytes, which Pillow itself cannot write."""
    height, width, content = pixels
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, 1),  # no compression
        (262, 3, photometric),
        (273, 4, 8 + 2 + 10 * 12 + 4),  # where the strip begins
        (277, 3, 1),
        (278, 3, height),
        (279, 4, len(content)),
        (339, 3, sample_format),
    ]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + content


def png(width, height, depth, colour_type, rows, *chunks):
    """Return a PNG of these bytes, which Pillow itself cannot write."""

    def chunk(name, content):
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    body = b"".join(chunk(*pair) for pair in (*chunks, (b"IDAT", packed), (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


# What a viewer shows


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp", "a.gif"])
def test_colours_are_those_that_were_saved(seen, name):
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    assert equal(seen(Image.fromarray(COLOURS), name, **options), COLOURS / 255)


def test_path_may_be_a_string(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    assert torch.equal(read_image(str(tmp_path / "a.png")), read_image(tmp_path / "a.png"))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "a.jp2"])
def test_grey_of_16_bits_is_scaled_by_65535(seen, name):
    ramp = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    for image in (DEEP, ramp):
        header = f"P5 {image.shape[1]} {image.shape[0]} 65535\n".encode()
        file = header + image.astype(">u2").tobytes() if "pgm" in name else Image.fromarray(image)
        assert equal(seen(file, name), image / 65535)


def test_grey_of_other_depths_is_scaled_by_its_largest_value(seen):
    assert equal(seen(Image.fromarray(DEEP.astype(">u2")), "a.tif"), DEEP / 65535)  # big endian
    twelve = bytes([0xFF, 0xF8, 0x00, 0x00, 0x10, 0x02])  # 4095, 2048 and 1, 2
    grey = np.array([[4095, 2048], [1, 2]]) / 4095
    assert equal(seen(tiff((2, 2, twelve), bits=12), "a.tif"), grey)
    ten = b"P5 2 1 1023\n" + struct.pack(">HH", 1023, 256)
    assert equal(seen(ten, "a.pgm"), [[1.0, 256 / 1023]], atol=1e-5)
    assert equal(seen(png(4, 1, 2, 0, [bytes([0b00011011])])), [[0, 1 / 3, 2 / 3, 1]])


def test_white_is_white_where_zero_means_white(seen):
    content = DEEP.astype("<u2").tobytes()
    assert equal(seen(tiff((2, 3, content), bits=16, photometric=0), "a.tif"), 1 - DEEP / 65535)
    assert equal(seen(tiff((2, 3, GREY.tobytes()), bits=8, photometric=0), "a.tif"), 1 - GREY / 255)


def test_colour_of_16_bits_is_scaled(seen):
    deep = COLOURS.astype(np.uint16) * 257
    rows = [row.astype(">u2").tobytes() for row in deep]
    assert equal(seen(png(3, 2, 16, 2, rows)), COLOURS / 255)


def test_floats_from_0_to_1_are_kept_and_others_refused(seen, tmp_path):
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    assert equal(seen(Image.fromarray(ramp), "a.tif"), ramp)
    inverted = tiff((64, 64, ramp.tobytes()), bits=32, sample_format=3, photometric=0)
    assert equal(seen(inverted, "a.tif"), 1 - ramp)
    for low, high in ((0, 255), (-1, 1), (0, np.nan)):
        with pytest.raises(OSError, match=r"far\.tif: mode F, floats from"):
            seen(Image.fromarray(np.array([[low, high]], dtype=np.float32)), "far.tif")


@pytest.mark.parametrize(
    ("bits", "sample_format", "kind"), [(32, 1, "<u4"), (32, 2, "<i4"), (16, 2, "<i2")]
)
def test_integers_without_a_known_white_are_refused_by_name(seen, bits, sample_format, kind):
    content = np.array([[0, 1, 30000]], dtype=kind).tobytes()
    with pytest.raises(OSError, match=r"odd\.tif: mode I, whose white is not known"):
        seen(tiff((1, 3, content), bits=bits, sample_format=sample_format), "odd.tif")


def test_two_tones_and_palettes_show_their_colours(seen):
    assert equal(seen(Image.fromarray(GREY > 99)), GREY > 99)
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 9, 8, 7])
    palette.putdata([2, 0, 1])
    assert equal(seen(palette), np.array([[[9, 8, 7], [255, 0, 0], [0, 255, 0]]]) / 255)


def test_what_is_transparent_lies_on_white(seen):
    """Whole or in part, in each way that a file can say so."""
    share = np.array([[0, 51, 255], [255, 128, 0]], dtype=np.uint8)
    alpha = share[:, :, None] / 255
    on_white = alpha * COLOURS / 255 + 1 - alpha
    rgba = Image.fromarray(np.dstack([COLOURS, share]))
    for name, options in (("a.png", {}), ("a.tif", {}), ("a.webp", {"lossless": True})):
        assert equal(seen(rgba, name, **options), on_white, atol=1 / 255)
    grey = share / 255 * GREY / 255 + 1 - share / 255
    layers = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(share)])
    assert equal(seen(layers), grey, atol=1 / 255)


def test_one_colour_that_stands_for_nothing_is_white(seen):
    grey = np.where(GREY == 100, 255, GREY)
    assert equal(seen(Image.fromarray(GREY), transparency=100), grey / 255)
    deep = [row.astype(">u2").tobytes() for row in DEEP]
    clear = (b"tRNS", struct.pack(">H", 1000))
    expected = np.where(DEEP == 1000, 65535, DEEP) / 65535
    assert equal(seen(png(3, 2, 16, 0, deep, clear)), expected)
    rgb = COLOURS.copy()
    rgb[0, 1] = 255
    assert equal(seen(Image.fromarray(COLOURS), transparency=(0, 255, 0)), rgb / 255)
    palette = (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    shares = (b"tRNS", bytes([255, 0, 51]))  # of the three colours
    pixels = seen(png(3, 1, 8, 3, [bytes([0, 1, 2])], palette, shares))
    assert equal(pixels, [[[1, 0, 0], [1, 1, 1], [0.8, 0.8, 1]]], atol=1 / 255)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_printing_inks_become_light(seen, name):
    """A JPEG of Adobe's holds its inks inverted; one that ignores it would show black paper."""
    inks = np.zeros((8, 32, 4), dtype=np.uint8)
    inks[:, 8:16, 1:3] = 255  # magenta and yellow: red
    inks[:, 16:24, 0] = 255  # cyan
    inks[:, 24:, 3] = 255  # black
    pixels = seen(Image.fromarray(inks, "CMYK"), name)
    expected = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0]])
    assert equal(pixels[4:5, 4::8], expected[None], atol=0.02)
    if name == "a.jpg":
        buffer = io.BytesIO()
        Image.fromarray(inks, "CMYK").save(buffer, "jpeg")
        assert b"Adobe" in buffer.getvalue()


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).swapaxes(0, 1)),
        (8, np.rot90),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_image_is_turned_upright(seen, orientation, upright, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name == "a.webp" else {}
    pixels = seen(Image.fromarray(COLOURS), name, exif=exif, **options)
    assert equal(pixels, upright(COLOURS) / 255)
    if name != "a.webp":
        assert equal(seen(Image.fromarray(DEEP), name, exif=exif), upright(DEEP) / 65535)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_hide_the_image(seen):
    image = Image.new("RGB", (16, 8), (255, 0, 0))
    assert seen(image, "a.jpg", exif=b"Exif\0\0II*\0 nonsense").shape == (8, 16, 3)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_of_several_frames_the_first_is_seen(seen, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if name == "a.webp" else {}
    pixels = seen(frames[0], name, save_all=True, append_images=frames[1:], **options)
    assert equal(pixels, np.broadcast_to([1, 0, 0], (8, 8, 3)))


# Colour profiles


def with_red_and_blue_exchanged():
    """A profile of a colour space whose first primary is sRGB's blue, and whose third its red."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for k in range(struct.unpack_from(">I", profile, 128)[0]):
        places[bytes(profile[132 + 12 * k : 136 + 12 * k])] = 136 + 12 * k  # of offset and length
    red, blue = (slice(places[name], places[name] + 8) for name in (b"rXYZ", b"bXYZ"))
    profile[red], profile[blue] = profile[blue], profile[red]
    return bytes(profile)


def linear_grey():
    """A profile of grey whose numbers are proportional to the light."""
    curve = b"curv" + bytes(4) + struct.pack(">I", 0)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in D50))
    tags = [(b"kTRC", curve, 156), (b"wtpt", white, 156 + len(curve))]
    table = b"".join(name + struct.pack(">II", at, len(data)) for name, data, at in tags)
    body = struct.pack(">I", 2) + table + curve + white
    header = struct.pack(
        ">I4s4s4s4s4s", 128 + len(body), bytes(4), b"\2\0\0\0", b"mntr", b"GRAY", b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(round(v * 65536) for v in D50))
    return header.ljust(128, b"\0") + body


D50 = (0.9642, 1.0, 0.8249)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_embedded_profile_is_followed(seen, name):
    pixels = Image.fromarray(COLOURS.repeat(16, 0).repeat(16, 1))
    options = {"quality": 100, "subsampling": 0} if name == "a.jpg" else {}
    options |= {"lossless": True} if name == "a.webp" else {}
    exchanged = seen(pixels, name, icc_profile=with_red_and_blue_exchanged(), **options)
    assert equal(exchanged[8::16, 8::16], COLOURS[:, :, ::-1] / 255, atol=0.02)


def test_embedded_profile_is_followed_in_other_modes(seen):
    profile = with_red_and_blue_exchanged()
    rgba = np.dstack([COLOURS, np.full((2, 3), 51, dtype=np.uint8)])
    on_white = 0.2 * COLOURS[:, :, ::-1] / 255 + 0.8
    assert equal(seen(Image.fromarray(rgba), icc_profile=profile), on_white, atol=2 / 255)
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([255, 0, 0])
    assert equal(seen(palette, icc_profile=profile), [[[0, 0, 1]]], atol=0.02)
    light = GREY[1:] / 255  # to sRGB by the formula of IEC 61966-2-1
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert equal(seen(Image.fromarray(GREY[1:]), icc_profile=linear_grey()), expected, atol=0.01)


def test_profile_that_cannot_be_used_is_passed_over(seen):
    for profile in (b"no profile", linear_grey()):  # the second is not one of colours
        assert equal(seen(Image.fromarray(COLOURS), icc_profile=profile), COLOURS / 255)


# What is no image


def noise(suffix):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, suffix)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_file_is_named(seen, suffix, share):
    content = noise(suffix)
    with pytest.raises(OSError, match=rf"cannot read the image .*cut\.{suffix}: \w+"):
        seen(content[: int(len(content) * share)], f"cut.{suffix}")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jpg", b"", "the file is empty"),
        ("text.jpg", b"this is no photograph\n" * 40, "no image that Pillow knows"),
        ("zeros.png", bytes(1000), "no image that Pillow knows"),
        ("page.jpg", b"<!DOCTYPE html><html>404</html>", "no image that Pillow knows"),
    ],
)
def test_file_that_is_no_image_is_named(seen, name, content, says):
    with pytest.raises(OSError, match=rf"cannot read the image .*{name}: {says}"):
        seen(content, name)


def test_damaged_file_is_named(seen):
    content = bytearray(noise("png"))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(OSError, match=r"cannot read the image .*bad\.png: "):
        seen(bytes(content), "bad.png")


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        read_image(tmp_path / "none.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(OSError, match=r"folder\.jpg"):
        read_image(tmp_path / "folder.jpg")


def test_decompression_bomb_is_refused(seen, monkeypatch):
    """Bytes in the file say that it is 200,000 pixels wide and high; nothing of it is unpacked."""
    with pytest.raises(OSError, match=r"bomb\.png: .*decompression bomb"):
        seen(png(200_000, 200_000, 8, 0, [b"\0"]), "bomb.png")


# Tensors of images


def test_check_lets_right_images_pass():
    for shape, images in (
        ("(N, C, H, W)", torch.rand(2, 5, 4, 3)),
        ("(N, 3, H, W)", torch.rand(0, 3, 4, 3)),
        ("(N, 3, H, W)", torch.rand(2, 3, 4, 3).half()),
        ("(3, H, W)", torch.rand(3, 4, 3)),
    ):
        check_float_images(images, shape)
    check_float_images(torch.rand(1, 1, 4, 3).double(), "(N, C, H, W)", double=True)


@pytest.mark.parametrize(
    ("images", "shape", "error", "says"),
    [
        (np.zeros((1, 3, 4, 4)), "(N, C, H, W)", TypeError, r"tensor of images .*got ndarray"),
        (
            torch.zeros(1, 3, 4, 4).byte(),
            "(N, C, H, W)",
            TypeError,
            r"torch.uint8: use images / 255",
        ),
        (torch.zeros(1, 3, 4, 4).double(), "(N, C, H, W)", TypeError, r"64: use images.float\(\)"),
        (torch.zeros(1, 3, 4, 4).long(), "(N, C, H, W)", TypeError, r"torch.int64"),
        (torch.zeros(3, 4, 4), "(N, C, H, W)", ValueError, r"\(N, C, H, W\), got \(3, 4, 4\)"),
        (torch.zeros(1, 3, 4, 4), "(3, H, W)", ValueError, r"\(3, H, W\), got \(1, 3, 4, 4\)"),
        (torch.zeros(2, 1, 4, 4), "(N, 3, H, W)", ValueError, r"\(N, 3, H, W\), got"),
        (torch.zeros(4, 4, 3), "(3, H, W)", ValueError, r"\(3, H, W\), got \(4, 4, 3\)"),
        (torch.zeros(2, 3, 0, 4), "(N, C, H, W)", ValueError, r"got \(2, 3, 0, 4\)"),
    ],
)
def test_check_says_what_is_wrong(images, shape, error, says):
    with pytest.raises(error, match=says):
        check_float_images(images, shape)
