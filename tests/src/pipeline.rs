// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pipelines of this process: every wait has a deadline, and dropping one stops it.

use anyhow::{Context, Result, ensure};
use gst::prelude::*;
use gst::{MessageType, MessageView};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// The longest wait for a sample, a message or a state change.
pub const DEADLINE: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// How long a wait for a sample lasts before the bus is checked for an error.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// A pipeline that is set to NULL when dropped.
///
/// Methods that wait fail with the pipeline's error message as soon as there is one, and after
/// [`DEADLINE`].
pub struct TestPipeline {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    /// The messages that have been taken from the bus.
    messages: RefCell<Vec<gst::Message>>,
}

impl TestPipeline {
    /// Makes a pipeline of a launch line of at least two elements, in state NULL.
    ///
    /// # Errors
    /// If the line cannot be parsed.
    pub fn launch(line: &str) -> Result<Self> {
        crate::init();
        let made = gst::parse::launch(line).with_context(|| line.to_owned())?;
        Self::new(made.downcast().ok().with_context(|| format!("one element: {line}"))?)
    }

    /// Makes a pipeline of elements, each linked to the next one, in state NULL.
    ///
    /// # Errors
    /// If the elements cannot be linked.
    pub fn linked(elements: &[&gst::Element]) -> Result<Self> {
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(elements)?;
        gst::Element::link_many(elements)?;
        Self::new(pipeline)
    }

    fn new(pipeline: gst::Pipeline) -> Result<Self> {
        let bus = pipeline.bus().context("no bus")?;
        Ok(Self { pipeline, bus, messages: RefCell::default() })
    }

    /// The pipeline itself, for queries, seeks and events.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// The element of that name.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn element<E: IsA<gst::Element>>(&self, name: &str) -> Result<E> {
        let element = self.pipeline.by_name(name).with_context(|| format!("no element {name}"))?;
        element.downcast().ok().with_context(|| format!("{name} has another type"))
    }

    /// The appsink named `out`.
    ///
    /// # Errors
    /// If there is none.
    pub fn out(&self) -> Result<gst_app::AppSink> {
        self.element("out")
    }

    /// Starts a change to PLAYING.
    ///
    /// # Errors
    /// If an element refuses it.
    pub fn play(&self) -> Result<()> {
        self.set_state(gst::State::Playing)
    }

    /// Starts a change to a state.
    ///
    /// # Errors
    /// If an element refuses it.
    pub fn set_state(&self, state: gst::State) -> Result<()> {
        if let Err(refused) = self.pipeline.set_state(state) {
            self.fail_if_error()?;
            return Err(refused).with_context(|| format!("{state:?}"));
        }
        Ok(())
    }

    /// Waits until the change of state has ended.
    ///
    /// # Errors
    /// If it fails or takes too long.
    pub fn wait_for_state(&self) -> Result<()> {
        let (changed, now, pending) = self.pipeline.state(DEADLINE);
        if changed.is_err() {
            self.fail_if_error()?;
        }
        ensure!(pending == gst::State::VoidPending, "{now:?}, still not {pending:?}");
        changed.map(drop).with_context(|| format!("{now:?}"))
    }

    /// The next sample of the appsink `out`; `None` at the end of the stream.
    ///
    /// # Errors
    /// If an error is posted or none comes in time.
    pub fn next_sample(&self) -> Result<Option<gst::Sample>> {
        let out = self.out()?;
        self.pull(&out, |out| out.try_pull_sample(POLL))
    }

    /// The next sample of the appsink `out` before the end of the stream.
    ///
    /// # Errors
    /// If the stream has ended, an error is posted or none comes in time.
    pub fn sample(&self) -> Result<gst::Sample> {
        self.next_sample()?.context("the stream ended")
    }

    /// The sample on which the appsink `out` prerolls.
    ///
    /// # Errors
    /// If the stream has ended, an error is posted or none comes in time.
    pub fn preroll(&self) -> Result<gst::Sample> {
        let out = self.out()?;
        self.pull(&out, |out| out.try_pull_preroll(POLL))?.context("the stream ended")
    }

    /// All samples of the appsink `out` up to the end of the stream.
    ///
    /// # Errors
    /// If an error is posted or a sample does not come in time.
    pub fn samples(&self) -> Result<Vec<gst::Sample>> {
        std::iter::from_fn(|| self.next_sample().transpose()).collect()
    }

    fn pull(
        &self,
        out: &gst_app::AppSink,
        take: impl Fn(&gst_app::AppSink) -> Option<gst::Sample>,
    ) -> Result<Option<gst::Sample>> {
        let end = Instant::now() + Duration::from(DEADLINE);
        loop {
            // In this order: an error precedes the end that it causes, and follows the samples
            // that were sent before it.
            let ended = out.is_eos();
            let failed = self.fail_if_error();
            if let Some(sample) = take(out) {
                return Ok(Some(sample));
            }
            failed?;
            if ended {
                return Ok(None);
            }
            ensure!(Instant::now() < end, "no sample within {DEADLINE}");
        }
    }

    /// Waits for a message of a type and takes it.
    ///
    /// # Errors
    /// If an error is posted or the message does not come in time.
    pub fn wait_for_message(&self, kind: MessageType) -> Result<gst::Message> {
        self.wait_for(&format!("{kind:?}"), || {
            self.fail_if_error()?;
            let mut messages = self.messages.borrow_mut();
            let index = messages.iter().position(|message| message.type_() == kind);
            Ok(index.map(|index| messages.remove(index)))
        })
    }

    /// Waits for the end of the stream.
    ///
    /// # Errors
    /// If an error is posted or the end does not come in time.
    pub fn wait_for_end(&self) -> Result<()> {
        self.wait_for_message(MessageType::Eos).map(drop)
    }

    /// Waits for an error.
    ///
    /// # Errors
    /// If none is posted in time.
    pub fn wait_for_error(&self) -> Result<PipelineError> {
        self.wait_for("Error", || Ok(self.error()))
    }

    /// Checks after each message whether what is waited for has arrived.
    fn wait_for<T>(&self, what: &str, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let end = Instant::now() + Duration::from(DEADLINE);
        loop {
            if let Some(arrived) = check()? {
                return Ok(arrived);
            }
            let left = end.saturating_duration_since(Instant::now());
            let message = self.bus.timed_pop(gst::ClockTime::try_from(left)?);
            let message = message.with_context(|| format!("no {what} message in {DEADLINE}"))?;
            self.messages.borrow_mut().push(message);
        }
    }

    /// All messages so far, less those that were waited for.
    pub fn messages(&self) -> Vec<gst::Message> {
        let mut messages = self.messages.borrow_mut();
        messages.extend(std::iter::from_fn(|| self.bus.pop()));
        messages.clone()
    }

    /// Texts of the warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        let text = |message: &gst::Message| match message.view() {
            MessageView::Warning(warning) => Some(warning.error().to_string()),
            _ => None,
        };
        self.messages().iter().filter_map(text).collect()
    }

    /// The first error so far.
    fn error(&self) -> Option<PipelineError> {
        self.messages().iter().find_map(|message| match message.view() {
            MessageView::Error(error) => Some(PipelineError {
                element: message.src().map(|it| it.name().to_string()).unwrap_or_default(),
                text: error.error().to_string(),
                debug: error.debug().unwrap_or_default().to_string(),
            }),
            _ => None,
        })
    }

    fn fail_if_error(&self) -> Result<()> {
        self.error().map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Drop for TestPipeline {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// An error message that a pipeline has posted.
#[derive(Debug, Clone)]
pub struct PipelineError {
    /// The element that posted it.
    pub element: String,
    /// The text for a user.
    pub text: String,
    /// The text for a developer.
    pub debug: String,
}

impl std::fmt::Display for PipelineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.element, self.text, self.debug)
    }
}

impl std::error::Error for PipelineError {}

/// The bytes of a sample.
///
/// # Errors
/// If it has no buffer that can be read.
pub fn bytes(sample: &gst::Sample) -> Result<Vec<u8>> {
    Ok(buffer(sample)?.map_readable()?.to_vec())
}

/// The buffer of a sample.
///
/// # Errors
/// If it has none.
pub fn buffer(sample: &gst::Sample) -> Result<&gst::BufferRef> {
    sample.buffer().context("no buffer")
}

/// The time stamp of a sample.
///
/// # Errors
/// If it has none.
pub fn pts(sample: &gst::Sample) -> Result<gst::ClockTime> {
    buffer(sample)?.pts().context("no time stamp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_before_an_error_arrive_and_then_the_error() -> Result<()> {
        let line = "fakesrc num-buffers=5 ! identity error-after=3 name=third ! appsink name=out";
        let pipeline = TestPipeline::launch(line)?;
        pipeline.play()?;
        // error-after=3 lets two buffers pass.
        for _ in 0..2 {
            pipeline.sample()?;
        }
        let error = pipeline.next_sample().expect_err("the error").downcast::<PipelineError>()?;
        assert_eq!(error.element, "third");
        Ok(())
    }
}
