//! The data lake connector against real files and real child processes.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod examples;
mod hostile;
mod lifecycle;
mod results;
mod support;
