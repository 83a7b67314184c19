// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recoded images, compared with the originals as libjpeg-turbo decodes both.

use anyhow::{Context, Result};
use gstmjpegfile::jpeg::{Preserved, Recoded, check, recode};
use mjpeg_rtsp_tests::movies::Folder;
use mjpeg_rtsp_tests::peer::libjpeg::{Picture, cjpeg, djpeg, jpegtran};

/// The sizes of the tests' pictures: one of whole MCUs, one of odd sides, and a large one.
const SIZES: [(u32, u32); 3] = [(384, 288), (61, 43), (1920, 1080)];

/// Recodes an image into one that RFC 2435 carries.
fn recoded(name: &str, jpeg: &[u8]) -> Result<Recoded> {
    let recoded = recode(jpeg).with_context(|| name.to_owned())?;
    let image = check(&recoded.jpeg).with_context(|| name.to_owned())?;
    assert_eq!(image.bytes(), recoded.jpeg, "{name}");
    assert!(!image.lacks_eoi(), "{name}");
    assert_eq!(*image.parameters(), recoded.parameters, "{name}");
    Ok(recoded)
}

#[test]
fn images_that_the_standard_can_carry_keep_every_pixel() -> Result<()> {
    let folder = Folder::new()?;
    let scans = folder.file("scans", b"0;\n1;\n2;\n")?;
    let scans = scans.to_string_lossy();
    let table = |first: u32, step: u32| (0..64).map(move |n| format!("{} ", first + n / step));
    let tables: String = table(6, 8).chain(table(9, 4)).chain(table(12, 6)).collect();
    let tables = folder.file("tables", tables.as_bytes())?;
    let tables = tables.to_string_lossy();
    let rows: &[(&str, &[&str])] = &[
        ("optimised 4:2:0", &["-sample", "2x2", "-optimize"]),
        ("optimised 4:2:2", &["-sample", "2x1", "-optimize"]),
        ("standard tables", &["-sample", "2x2"]),
        ("restarts in a row", &["-sample", "2x2", "-optimize", "-restart", "3B"]),
        ("restarts each row", &["-sample", "2x1", "-optimize", "-restart", "1"]),
        ("ffmpeg's 4:2:2", &["-sample", "2x2,1x2,1x2"]),
        ("the same with restarts", &["-sample", "2x2,1x2,1x2", "-restart", "2B"]),
        ("the same with restarts each row", &["-sample", "2x2,1x2,1x2", "-restart", "1"]),
        ("4:2:2 doubled", &["-sample", "4x1,2x1,2x1", "-optimize"]),
        ("the same with restarts", &["-sample", "4x1,2x1,2x1", "-restart", "3B"]),
        ("a scan for each component", &["-sample", "2x2", "-scans", &scans]),
        ("the same with restarts", &["-sample", "2x2", "-restart", "2B", "-scans", &scans]),
        ("progressive 4:2:0", &["-sample", "2x2", "-progressive"]),
        ("progressive 4:2:2", &["-sample", "2x1", "-progressive"]),
        ("progressive with restarts", &["-sample", "2x2", "-progressive", "-restart", "5B"]),
        ("tables of 16 bits", &["-sample", "2x2", "-quality", "3", "-optimize"]),
        ("Cr has its own table", &["-sample", "2x2", "-qtables", &tables, "-qslots", "0,1,2"]),
        ("one table for all", &["-sample", "2x2", "-qslots", "0,0,0", "-optimize"]),
        ("best quality", &["-sample", "2x2", "-quality", "100", "-optimize"]),
    ];
    for (width, height) in SIZES {
        let picture = Picture::made(width, height);
        for (name, arguments) in rows {
            let name = format!("{name}, {width}x{height}");
            let jpeg = cjpeg(&picture, arguments)?;
            let recoded = recoded(&name, &jpeg)?;
            assert_eq!(recoded.preserved, Preserved::Everything, "{name}");
            assert!(djpeg(&recoded.jpeg, &[])? == djpeg(&jpeg, &[])?, "{name}");
        }
        // jpegtran finds the same coefficients in both images.
        let jpeg = cjpeg(&picture, &["-sample", "2x2"])?;
        let optimised = jpegtran(&jpeg, &["-optimize"])?;
        let ours = jpegtran(&recoded("jpegtran", &optimised)?.jpeg, &["-optimize"])?;
        let scan = |jpeg: &[u8]| {
            let at = jpeg.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap_or(0);
            jpeg[at + 14..].to_vec()
        };
        assert!(scan(&ours) == scan(&optimised), "{width}x{height}");
    }
    Ok(())
}

#[test]
fn other_images_keep_every_luma_sample_and_most_of_the_chroma() -> Result<()> {
    // Name, cjpeg's options, and the sampling factors of the recoded image.
    let rows: &[(&str, &[&str], &str)] = &[
        ("4:4:4", &["-sample", "1x1"], "2x1"),
        ("4:4:4 optimised, restarts", &["-sample", "1x1", "-optimize", "-restart", "4B"], "2x1"),
        ("4:4:4 progressive", &["-sample", "1x1", "-progressive"], "2x1"),
        ("ffmpeg's 4:4:4", &["-sample", "1x2,1x2,1x2"], "2x1"),
        ("4:4:0", &["-sample", "1x2"], "2x2"),
        ("4:1:1", &["-sample", "4x1"], "2x1"),
        ("4:1:0", &["-sample", "4x2"], "2x2"),
        ("4:4:4, quality 97", &["-sample", "1x1", "-quality", "97"], "2x1"),
        ("4:4:4, quality 30", &["-sample", "1x1", "-quality", "30"], "2x1"),
    ];
    for (width, height) in SIZES {
        let picture = Picture::made(width, height);
        for (name, arguments, sample) in rows {
            let name = format!("{name}, {width}x{height}");
            let jpeg = cjpeg(&picture, arguments)?;
            let recoded = recoded(&name, &jpeg)?;
            assert_eq!(recoded.preserved, Preserved::Luma, "{name}");
            let luma = |jpeg: &[u8]| djpeg(jpeg, &["-grayscale"]);
            assert!(luma(&recoded.jpeg)? == luma(&jpeg)?, "{name}");
            // libjpeg decodes to pixels, downsamples and encodes, with the same tables.
            let original = djpeg(&jpeg, &[])?;
            let quality = arguments.iter().skip_while(|it| **it != "-quality").nth(1);
            let quality = quality.copied().unwrap_or("75");
            let theirs = cjpeg(&original, &["-sample", sample, "-quality", quality])?;
            let theirs = chroma_psnr(&djpeg(&theirs, &[])?, &original);
            let ours = chroma_psnr(&djpeg(&recoded.jpeg, &[])?, &original);
            assert!(ours > theirs - 1.0, "{name}: {ours:.1} dB, libjpeg {theirs:.1} dB");
        }
        let name = format!("grey, {width}x{height}");
        let jpeg = cjpeg(&picture, &["-grayscale"])?;
        let recoded = recoded(&name, &jpeg)?;
        assert_eq!(recoded.preserved, Preserved::Everything, "{name}");
        let grey = djpeg(&jpeg, &[])?.samples.into_iter().flat_map(|grey| [grey; 3]);
        assert!(grey.eq(djpeg(&recoded.jpeg, &[])?.samples), "{name}");
    }
    Ok(())
}

/// Peak signal-to-noise ratio of the colour differences of two pictures, in dB.
fn chroma_psnr(a: &Picture, b: &Picture) -> f64 {
    let chroma = |rgb: &[u8]| {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(f64::from);
        [-0.1687 * r - 0.3313 * g + 0.5 * b, 0.5 * r - 0.4187 * g - 0.0813 * b]
    };
    let pixels = a.samples.chunks(3).zip(b.samples.chunks(3));
    let (mut sum, mut count) = (0.0, 0.0);
    for (a, b) in pixels {
        let ([cb_a, cr_a], [cb_b, cr_b]) = (chroma(a), chroma(b));
        sum += (cb_a - cb_b).powi(2) + (cr_a - cr_b).powi(2);
        count += 2.0;
    }
    10.0 * (255.0_f64.powi(2) * count / f64::max(sum, 1e-9)).log10()
}
