//! The rules of Aperium: no async, no I/O, no clock, no environment.
//!
//! ```text
//! text ──id──► typed names ──name──► names seen outside
//! request meaning ──capability──► Capability ┐
//! who calls       ──caller─────► Caller      ├──grant──► allowed by which grant, or denied
//! Grant resources ──grant──────► GrantTable  ┘
//! names and values of a credential ──auth──► usable, or a fault that names no value
//! IpAddr, host ──address, egress──► allowed, or refused with a reason
//! base path, caller's path and headers ──path_join, header_rules──► what an upstream is asked
//! tool effect ──effect──► annotations, attempts
//! ```

pub mod address;
pub mod auth;
pub mod caller;
pub mod capability;
pub mod effect;
pub mod egress;
pub mod grant;
pub mod header_rules;
pub mod id;
pub mod module;
pub mod name;
pub mod path_join;
pub mod uri_template;
