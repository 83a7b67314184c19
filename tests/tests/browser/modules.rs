// SPDX-License-Identifier: MIT OR Apache-2.0
//! Modules of the page, each alone: the reader of multipart streams, and the QR codes.

use super::Site;
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// Feeds a stream to the reader in chunks of each size, and gives the parts as text, or the error.
const PARSE: &str = r#"
(async (stream) => {
  const { MultipartParser } = await import("/assets/multipart.js");
  const bytes = new TextEncoder().encode(stream);
  const results = new Set();
  for (let size = 1; size <= bytes.length; size += 1) {
    try {
      const parser = new MultipartParser("b");
      const parts = [];
      for (let at = 0; at < bytes.length; at += size) parts.push(...parser.push(bytes.slice(at, at + size)));
      results.add(JSON.stringify([parts.map(({ headers, body }) => [headers.get("x-frame-number") ?? "", new TextDecoder().decode(body)]), parser.ended]));
    } catch (error) {
      results.add(error.message);
    }
  }
  return [...results];
})
"#;

#[test]
fn the_multipart_reader_reads_parts_however_they_arrive() -> Result<()> {
    let long = format!("--b\r\nX: {}", "x".repeat(20_000));
    let rows = [
        (
            "two parts and the end",
            "--b\r\nContent-Length: 2\r\nX-Frame-Number: 7\r\n\r\nab\r\n--b\r\ncontent-length:0\r\n\r\n\r\n--b--\r\n",
            r#"[[["7","ab"],["",""]],true]"#,
        ),
        (
            "a body with a boundary and line ends",
            "\r\n--b\r\nContent-Length: 9\r\n\r\n\r\n--b\r\n\r\n",
            r#"[[["","\r\n--b\r\n\r\n"]],false]"#,
        ),
        ("a part that is not complete", "--b\r\nContent-Length: 5\r\n\r\nab", "[[],false]"),
        ("what follows the end", "--b--\r\n--b\r\nContent-Length: 1\r\n\r\na", "[[],true]"),
        (
            "no length",
            "--b\r\nContent-Type: image/jpeg\r\n\r\nab",
            "A part of the stream has no valid Content-Length.",
        ),
        (
            "a negative length",
            "--b\r\nContent-Length: -1\r\n\r\nab",
            "A part of the stream has no valid Content-Length.",
        ),
        (
            "an enormous length",
            "--b\r\nContent-Length: 99999999999\r\n\r\nab",
            "A part of the stream has 99999999999 bytes; at most 67108864 are read.",
        ),
        ("no boundary", "HTTP/1.1 200 OK", "The stream has no boundary where one is due."),
        ("an endless header", &long, "The header of a part is too long."),
    ];
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.open("/")?;
    for (name, stream, want) in rows {
        // Chunks of one byte are enough for a long one.
        let stream_end = if stream.len() > 1000 { "; 0" } else { "" };
        ensure!(stream_end.is_empty() || stream == long, "{name}");
        let found = site.browser.value(&format!("({PARSE})({})", json!(stream)))?;
        assert_eq!(found, json!([want]), "{name}");
    }
    site.is_well()
}

/// Reads the QR code in a picture of light and dark pixels.
fn read(
    width: usize,
    height: usize,
    mut is_dark: impl FnMut(usize, usize) -> bool,
) -> Result<String> {
    let level = |x, y| if is_dark(x, y) { 0 } else { 255 };
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, level);
    let codes = picture.detect_grids();
    let code = codes.first().context("no QR code is found")?;
    Ok(code.decode()?.1)
}

#[test]
fn qr_codes_are_read_by_others() -> Result<()> {
    const SCALE: usize = 5;
    const BORDER: usize = 4;
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    site.open("/")?;
    // Each version has another layout; version 20 holds 666 bytes.
    for length in [
        1, 14, 15, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412, 450, 504, 560,
        624, 666,
    ] {
        let text: String =
            "rtsp://cam.example:8554/a?b=%C3%A4&".chars().cycle().take(length).collect();
        let script = "import('/assets/qr.js').then(it => it.modules(TEXT).map(row => [...row]))";
        let rows = site.browser.value(&script.replace("TEXT", &json!(text).to_string()))?;
        let rows: Vec<Vec<u8>> = serde_json::from_value(rows)?;
        let side = (rows.len() + 2 * BORDER) * SCALE;
        let is_dark = |x: usize, y: usize| {
            let module = (y / SCALE).checked_sub(BORDER).zip((x / SCALE).checked_sub(BORDER));
            module.is_some_and(|(y, x)| rows.get(y).and_then(|row| row.get(x)) == Some(&1))
        };
        let found = read(side, side, is_dark).with_context(|| format!("{length} bytes"))?;
        assert_eq!(found, text, "{length} bytes");
    }
    let too_long = "import('/assets/qr.js').then(it => it.modules('x'.repeat(667)))";
    assert_eq!(site.browser.value(too_long)?, json!(null));

    // The one on the page.
    site.play("a.mjpeg")?;
    site.browser.click("[aria-label='QR code: RTSP']")?;
    site.browser.wait_for("document.querySelector('dialog .qr') !== null")?;
    let screen = site.browser.screenshot()?;
    let [left, top, width, height] = site.browser.box_of("dialog .qr")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions on the page"
    )]
    let [left, top, width, height] = [left, top, width, height].map(|it| it as usize);
    let found = read(width, height, |x, y| screen.at(left + x, top + y)[0] < 128)?;
    assert_eq!(&found, site.server.urls.first().context("no URL")?);
    site.is_well()
}
