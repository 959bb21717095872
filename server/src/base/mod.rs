//! What every other module may use, and what uses none of them: errors, time, secrets, locks, metrics.

pub mod clock;
pub(crate) mod deadline;
pub mod error;
pub(crate) mod lock;
pub(crate) mod metrics;
pub mod secret;
pub(crate) mod validation;
