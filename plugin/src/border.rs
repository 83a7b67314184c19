// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guards against panics where C calls functions of the elements that gstreamer-rs does not guard,
//! and where threads start.

use gst::prelude::*;
use gst::subclass::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What an element reports after a panic.
pub(crate) const INTERNAL: &str = "an internal error: please report it with the log";

/// Runs a function of an element, such as one of its properties. A panic becomes an error message
/// of the element, and `fallback` the result.
///
/// `catch_panic` of gstreamer-rs does more: it refuses all later calls, too. A bin then refuses to
/// remove its elements, and gst_bin_dispose, which removes them until there are none, never ends.
pub(crate) fn guarded<T: ElementImpl, R>(imp: &T, fallback: R, work: impl FnOnce() -> R) -> R {
    let done = caught(|| {
        #[cfg(test)]
        tests::panic_on_purpose();
        work()
    });
    done.unwrap_or_else(|| {
        report(imp.obj().upcast_ref());
        fallback
    })
}

/// Sets a property of an element; a panic becomes an error message.
///
/// GStreamer does not enforce what `mutable_ready` promises. A property that has the flag is set only
/// in NULL and READY: later, its value stays, and a warning on the bus says so.
pub(crate) fn set_property<T: ElementImpl>(
    imp: &T,
    property: &gst::glib::ParamSpec,
    set: impl FnOnce(),
) {
    guarded(imp, (), || {
        let obj = imp.obj();
        let element: &gst::Element = obj.upcast_ref();
        let ready_only = property.flags().contains(gst::PARAM_FLAG_MUTABLE_READY);
        if ready_only && element.current_state() > gst::State::Ready {
            let name = property.name();
            gst::element_warning!(
                element,
                gst::ResourceError::Settings,
                ("property {name} is not changed: it can be set only in the states NULL and READY")
            );
            return;
        }
        set();
    });
}

/// Posts the error of an element whose code has panicked.
pub(crate) fn report(element: &gst::Element) {
    gst::element_error!(element, gst::CoreError::Failed, ("{INTERNAL}"));
}

/// Runs the work of a thread; `None` after a panic, which the process's panic hook has reported.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write;

    thread_local! {
        static PANICS: Cell<bool> = const { Cell::new(false) };
    }

    pub fn panic_on_purpose() {
        assert!(!PANICS.get(), "on purpose");
    }

    /// A new element, and what `work` made it post.
    fn errors(factory: &str, work: impl FnOnce(&gst::Element)) -> Vec<String> {
        gst::init().unwrap();
        crate::register().unwrap();
        let element = gst::ElementFactory::make(factory).build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        PANICS.set(true);
        work(&element);
        PANICS.set(false);
        let errors = bus.iter_filtered(&[gst::MessageType::Error]);
        let texts = errors.filter_map(|message| match message.view() {
            gst::MessageView::Error(error) => Some(error.error().message().to_owned()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn a_panic_in_a_property_is_an_error_of_the_element() {
        let rows = [
            ("labrtspsrc", "latency"),
            ("mjpegfilemux", "oversize"),
            ("mjpegfileparse", "framerate"),
            ("mjpegfilesrc", "loop"),
            ("rtpjpegprep", "keep-size"),
            ("rtplabdepay", "stats"),
            ("rtplabpay", "oversize"),
        ];
        for (factory, property) in rows {
            let mut default = None;
            let get = |element: &gst::Element| {
                default = Some(element.property_value(property).type_());
            };
            assert_eq!(errors(factory, get), [INTERNAL], "{factory}, get");
            let spec = |element: &gst::Element| element.find_property(property).unwrap();
            let element = gst::ElementFactory::make(factory).build().unwrap();
            assert_eq!(default, Some(spec(&element).value_type()), "{factory}");
            if spec(&element).flags().contains(gst::glib::ParamFlags::WRITABLE) {
                let value = element.property_value(property);
                let set =
                    |element: &gst::Element| element.set_property_from_value(property, &value);
                assert_eq!(errors(factory, set), [INTERNAL], "{factory}, set");
            }
        }
    }

    #[test]
    fn a_property_that_is_set_too_late_keeps_its_value() {
        gst::init().unwrap();
        crate::register().unwrap();
        let rows = [
            ("labrtspsrc", "timeout", "77"),
            ("mjpegfilemux", "oversize", "drop"),
            ("mjpegfileparse", "framerate", "30/1"),
            ("mjpegfilesrc", "loop", "true"),
            ("rtpjpegprep", "keep-size", "true"),
            ("rtplabpay", "pt", "97"),
        ];
        let mut movie = tempfile::NamedTempFile::new().unwrap();
        movie.write_all(b"00004\xff\xd8\xff\xd9").unwrap();
        for (factory, property, value) in rows {
            let element = gst::ElementFactory::make(factory).build().unwrap();
            let bus = gst::Bus::new();
            element.set_bus(Some(&bus));
            let text = |element: &gst::Element| {
                element.property_value(property).serialize().unwrap().to_string()
            };
            let default = text(&element);
            match factory {
                "mjpegfilesrc" => element.set_property("location", movie.path()),
                // Nothing listens there: the error is posted after the change of state.
                "labrtspsrc" => {
                    element.set_property("location", "labrtsp://127.0.0.1:9/movie.mjpeg");
                }
                _ => {}
            }
            assert!(element.set_state(gst::State::Paused).is_ok(), "{factory}");
            element.set_property_from_str(property, value);
            assert_eq!(text(&element), default, "{factory} in PAUSED");
            let warning = bus.pop_filtered(&[gst::MessageType::Warning]);
            let warning = warning.and_then(|message| match message.view() {
                gst::MessageView::Warning(warning) => Some(warning.error().message().to_owned()),
                _ => None,
            });
            let want = format!(
                "property {property} is not changed: it can be set only in the states NULL and READY"
            );
            assert_eq!(warning, Some(want), "{factory}");
            assert!(element.set_state(gst::State::Ready).is_ok(), "{factory}");
            element.set_property_from_str(property, value);
            assert_ne!(text(&element), default, "{factory} in READY");
            assert!(element.set_state(gst::State::Null).is_ok(), "{factory}");
        }
    }

    #[test]
    fn a_panic_in_the_uri_is_an_error_of_the_element() {
        let handler = |element: &gst::Element| element.clone().dynamic_cast::<gst::URIHandler>();
        let rows =
            [("labrtspsrc", "labrtsp://127.0.0.1:1025/m"), ("mjpegfilesrc", "mjpegfile:///m")];
        for (factory, uri) in rows {
            let get = |element: &gst::Element| assert_eq!(handler(element).unwrap().uri(), None);
            assert_eq!(errors(factory, get), [INTERNAL], "{factory}, get");
            let set = |element: &gst::Element| {
                assert!(handler(element).unwrap().set_uri(uri).is_err());
            };
            assert_eq!(errors(factory, set), [INTERNAL], "{factory}, set");
        }
    }

    #[test]
    fn a_panic_in_a_change_of_the_bins_state_is_its_error() {
        let start = |element: &gst::Element| {
            assert!(element.set_state(gst::State::Paused).is_err());
            PANICS.set(false);
            assert!(element.set_state(gst::State::Null).is_ok());
        };
        assert_eq!(errors("labrtspsrc", start), [INTERNAL]);
    }

    #[test]
    fn a_panic_while_an_element_is_made_leaves_an_element() {
        gst::init().unwrap();
        crate::register().unwrap();
        for factory in ["labrtspsrc", "mjpegfilemux", "mjpegfilesrc", "rtplabdepay", "rtplabpay"] {
            PANICS.set(true);
            let made = gst::ElementFactory::make(factory).build();
            PANICS.set(false);
            assert!(made.is_ok(), "{factory}");
        }
    }
}
