// SPDX-License-Identifier: MIT OR Apache-2.0
//! URLs to mounts: decoded once, aliases led to the one mount point that a movie has.

use super::factory::MovieFactory;
use super::rtsp_message;
use super::stream::Manner;
use crate::catalog::{Catalog, Mount};
use glib::subclass::prelude::*;
use gst_rtsp::RTSPUrl;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gstmjpegfile::movie::FrameRate;
use percent_encoding::percent_decode;
use std::collections::HashSet;
use std::sync::OnceLock;

glib::wrapper! {
    /// Mount points that know the catalog.
    pub struct MountPoints(ObjectSubclass<imp::MountPoints>)
        @extends gst_rtsp_server::RTSPMountPoints;
}

impl MountPoints {
    pub(super) fn new(catalog: &Catalog, framerate: FrameRate, manner: Manner) -> Self {
        let points: Self = glib::Object::new();
        for mount in catalog.mounts() {
            points.add_factory(&mount.point, MovieFactory::new(mount, framerate, manner));
        }
        // A new object's cell is empty.
        let _ = points.imp().catalog.set(catalog.clone());
        points
    }

    /// The mount that a URL means.
    pub fn find(&self, url: &RTSPUrl) -> Option<Mount> {
        let path = decoded_path(url)?;
        let catalog = self.imp().catalog.get()?;
        catalog.find_with_control(&path).map(|(mount, _)| mount.clone())
    }

    /// Lets the movies go that are kept ready for nobody; `used` tells who is being watched.
    pub(super) fn let_go(&self, used: &HashSet<String>) {
        let Some(catalog) = self.imp().catalog.get() else { return };
        for mount in catalog.mounts().filter(|mount| !used.contains(&mount.point)) {
            let (factory, _) = self.match_(&mount.point);
            if let Ok(factory) = factory.downcast::<MovieFactory>() {
                factory.let_go();
            }
        }
    }

    /// The factory of the mount that a URL means.
    pub fn factory(&self, url: &RTSPUrl) -> Option<MovieFactory> {
        let mount = self.find(url)?;
        let (factory, _) = self.match_(&mount.point);
        factory.downcast().ok()
    }
}

/// The path, percent-decoded once. An encoded slash would make other segments of it.
fn decoded_path(url: &RTSPUrl) -> Option<String> {
    // Bytes of a stranger's; the bindings would take them for UTF-8.
    let path = rtsp_message::path(url)?;
    let decoded = |segment: &[u8]| {
        let bytes = percent_decode(segment).collect();
        let text = String::from_utf8(bytes).ok()?;
        (!text.contains(['/', '\0']) && text != "..").then_some(text)
    };
    let segments: Option<Vec<String>> = path.split(|byte| *byte == b'/').map(decoded).collect();
    Some(segments?.join("/"))
}

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct MountPoints {
        pub catalog: OnceLock<Catalog>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MountPoints {
        const NAME: &'static str = "MjpegRtspMountPoints";
        type Type = super::MountPoints;
        type ParentType = gst_rtsp_server::RTSPMountPoints;
    }

    impl ObjectImpl for MountPoints {}

    impl RTSPMountPointsImpl for MountPoints {
        fn make_path(&self, url: &RTSPUrl) -> Option<glib::GString> {
            let path = decoded_path(url).unwrap_or_default();
            let found = self.catalog.get().and_then(|catalog| catalog.find_with_control(&path));
            Some(match found {
                Some((mount, control)) => format!("{}{control}", mount.point).into(),
                // No mount has this name, so it is answered with 404.
                None => "/".into(),
            })
        }
    }
}
