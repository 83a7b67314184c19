// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes an input to upright pictures.

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use gstmjpegfile::rtpjpegprep::for_jpegdec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often Ctrl-C and errors are checked while no picture arrives.
const POLL_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// How long no picture of a GIF file arrives after its last one.
const SILENCE: Duration = Duration::from_secs(3);

/// The end of each pipeline. `videoflip` obeys the orientation in the input's tags.
const UPRIGHT: &str = "queue ! videoconvert name=convert ! capsfilter name=format ! \
                       videoflip name=flip video-direction=auto ! appsink name=out sync=false \
                       max-buffers=4";

/// Pictures that have JFIF's colours already: full-range BT.601. Parts may be transparent.
const JFIF: &str = "video/x-raw,format={I420,Y444},colorimetry=1:4:0:0;video/x-raw,format=RGBA";

/// All other pictures keep the colours of video.
const OTHER: &str = "video/x-raw,format=I420;video/x-raw,format=RGBA";

/// The directions of videoflip for the orientations 1 to 8 of EXIF and TIFF 6.0.
const DIRECTIONS: [&str; 8] = ["identity", "horiz", "180", "vert", "ul-lr", "90r", "ur-ll", "90l"];

/// Where the encoded input comes from.
pub enum Encoded<'a> {
    StandardInput,
    Uri(&'a str),
    /// The URI of a file, whose pictures have times or do not need them.
    File(&'a str),
    /// The URI of a GIF file.
    Gif(&'a str),
    /// The bytes of one picture, and its orientation, if it is known.
    Picture(&'a [u8], Option<u8>),
}

/// The next thing that a decoder delivers.
pub enum Decoded {
    Picture(gst::Sample),
    End,
    /// The input cannot be decoded further.
    Failed(anyhow::Error),
    /// The user has pressed Ctrl-C.
    Stopped,
}

pub struct Decoder<'a> {
    pipeline: gst::Pipeline,
    out: AppSink,
    bus: gst::Bus,
    /// The input as messages name it.
    name: String,
    stop: &'a AtomicBool,
    /// Whether the input counts as ended when no picture has come for a while: gst-libav's demuxer for GIF
    /// reads the end of the file again and again.
    ends_by_silence: bool,
}

impl<'a> Decoder<'a> {
    pub fn start(input: &Encoded, name: &str, stop: &'a AtomicBool) -> Result<Self> {
        let source = match input {
            Encoded::StandardInput => "fdsrc fd=0 ! decodebin",
            Encoded::Uri(_) | Encoded::File(_) | Encoded::Gif(_) => {
                "uridecodebin name=in caps=video/x-raw(ANY) expose-all-streams=false"
            }
            Encoded::Picture(..) => "appsrc name=in ! decodebin",
        };
        let pipeline = parse(&format!("{source} ! {UPRIGHT}"))?;
        let out = element(&pipeline, "out")?.downcast::<AppSink>();
        let Ok(out) = out else { bail!("the element named out is no appsink") };
        choose_format(&pipeline)?;
        if matches!(input, Encoded::StandardInput | Encoded::Uri(_)) {
            stamp_arrivals(&out)?;
        }
        pipeline.connect_deep_element_added(|_, _, element| {
            match element.factory().map(|factory| factory.name()).as_deref() {
                // Otherwise decodebin waits for further streams, and the pictures arrive late.
                Some("multipartdemux") => element.set_property("single-stream", true),
                Some("jpegdec") => convert_for_decoder(element),
                _ => {}
            }
        });
        match input {
            Encoded::StandardInput | Encoded::Picture(_, None) => {}
            Encoded::Uri(uri) | Encoded::File(uri) | Encoded::Gif(uri) => {
                element(&pipeline, "in")?.set_property("uri", uri);
            }
            Encoded::Picture(_, Some(orientation)) => {
                let index = usize::from(*orientation).saturating_sub(1);
                let direction = DIRECTIONS.get(index).copied().unwrap_or("identity");
                element(&pipeline, "flip")?.set_property_from_str("video-direction", direction);
            }
        }
        pipeline.set_state(gst::State::Playing).ok();
        if let Encoded::Picture(bytes, _) = input {
            let source = element(&pipeline, "in")?.downcast::<AppSrc>();
            let Ok(source) = source else { bail!("the element named in is no appsrc") };
            source.set_max_bytes(0);
            // Decoders of pictures expect a whole one in one buffer. An error is posted on the bus.
            let _ = source.push_buffer(gst::Buffer::from_slice(bytes.to_vec()));
            let _ = source.end_of_stream();
        }
        let ends_by_silence = matches!(input, Encoded::Gif(_));
        let bus = pipeline.bus().context("the pipeline has no bus")?;
        Ok(Self { pipeline, out, bus, name: name.to_owned(), stop, ends_by_silence })
    }

    /// Waits for the next picture.
    pub fn next(&self) -> Decoded {
        let start = Instant::now();
        loop {
            if let Some(sample) = self.out.try_pull_sample(POLL_INTERVAL) {
                return Decoded::Picture(sample);
            }
            if let Some(message) = self.bus.pop_filtered(&[gst::MessageType::Error]) {
                return Decoded::Failed(pipeline_error(&format!("decode {}", self.name), &message));
            }
            let is_silent = self.ends_by_silence && start.elapsed() > SILENCE;
            if self.out.is_eos() || is_silent {
                return Decoded::End;
            }
            if self.stop.load(Ordering::SeqCst) {
                return Decoded::Stopped;
            }
        }
    }

    /// The input's duration in seconds, if it is known by now.
    pub fn duration(&self) -> Option<u64> {
        self.pipeline.query_duration::<gst::ClockTime>().map(gst::ClockTime::seconds)
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Converts the images that jpegdec 1.22 shows wrongly, such as CMYK.
fn convert_for_decoder(jpegdec: &gst::Element) {
    let Some(pad) = jpegdec.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        if let Some(converted) = info.buffer().and_then(for_jpegdec) {
            info.data = Some(gst::PadProbeData::Buffer(converted));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Chooses the format of pictures by the caps of the input, before they are negotiated.
fn choose_format(pipeline: &gst::Pipeline) -> Result<()> {
    let filter = element(pipeline, "format")?;
    let convert = element(pipeline, "convert")?;
    let pad = convert.static_pad("sink").context("videoconvert has no pad")?;
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            let structure = caps.caps().structure(0);
            let colorimetry = structure.and_then(|it| it.get::<&str>("colorimetry").ok());
            let is_jfif = colorimetry.is_some_and(|it| it.starts_with("1:4:"));
            filter.set_property_from_str("caps", if is_jfif { JFIF } else { OTHER });
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Gives each picture without a timestamp of its own the time of its arrival, before it waits in a
/// queue. multipartdemux gives only the first picture a timestamp, and decoders repeat it.
fn stamp_arrivals(out: &AppSink) -> Result<()> {
    let pad = out.static_pad("sink").context("the appsink has no pad")?;
    // When the first picture arrived; its timestamp, and the newest timestamp of the input.
    let arrivals: Mutex<Option<(Instant, gst::ClockTime, gst::ClockTime)>> = Mutex::new(None);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let pts = buffer.pts();
        let (start, first, newest) = arrivals.get_or_insert_with(|| {
            let first = pts.unwrap_or_default();
            (Instant::now(), first, first)
        });
        match pts {
            Some(pts) if pts > *newest => *newest = pts,
            _ => {
                let elapsed = gst::ClockTime::try_from(start.elapsed()).unwrap_or_default();
                let buffer = buffer.make_mut();
                buffer.set_pts(first.saturating_add(elapsed));
                buffer.set_duration(None);
            }
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

pub fn parse(line: &str) -> Result<gst::Pipeline> {
    let bin = gst::parse::launch(line).context(
        "cannot create the GStreamer pipeline (are GStreamer's base and good plugins installed?)",
    )?;
    bin.downcast::<gst::Pipeline>().map_err(|_| anyhow::anyhow!("not a pipeline: {line}"))
}

pub fn element(pipeline: &gst::Pipeline, name: &str) -> Result<gst::Element> {
    pipeline.by_name(name).with_context(|| format!("the pipeline has no element named {name}"))
}

/// The error of a pipeline that was to `task`.
pub fn pipeline_error(task: &str, message: &gst::Message) -> anyhow::Error {
    let gst::MessageView::Error(error) = message.view() else {
        return anyhow::anyhow!("cannot {task}: unknown error");
    };
    let debug = error.debug().unwrap_or_default();
    let text = error.error().to_string();
    let text = text.trim_end_matches('.');
    let detail = debug.lines().skip(1).last().unwrap_or_default().trim();
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    anyhow::anyhow!("cannot {task}: {text}{detail}")
}
