//! Egress rules.
