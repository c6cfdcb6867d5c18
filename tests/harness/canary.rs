//! Secrets that occur nowhere else, and a scan that finds them in whatever form somebody has written them down.

mod forms;
mod planted;
mod scan;

pub use planted::{Canary, Planted, random};
pub use scan::Scanner;
