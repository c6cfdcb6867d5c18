//! Address policy.
