// SPDX-License-Identifier: MIT OR Apache-2.0
//! The limits, which a reload of the configuration may change while clients are served.

use super::Limits;
use std::sync::{Arc, PoisonError, RwLock};

/// The present limits, shared by all that obey them.
#[derive(Debug, Clone, Default)]
pub struct SharedLimits(Arc<RwLock<Arc<Limits>>>);

impl SharedLimits {
    /// Limits that start with these.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(limits))))
    }

    /// The present limits.
    pub fn get(&self) -> Arc<Limits> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the limits.
    pub fn set(&self, limits: Limits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }
}
