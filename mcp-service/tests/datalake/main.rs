//! The data lake connector against real files and real child processes.

mod examples;
mod hostile;
mod lifecycle;
mod results;
mod support;
