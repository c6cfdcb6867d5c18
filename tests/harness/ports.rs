//! Free ports of the loopback.

use std::net::{Ipv4Addr, TcpListener};

/// A port of 127.0.0.1 that nobody listens on.
///
/// Another process can take it before it is used; the kernel hands ports out in turn, so this is rare. Prefer to bind
/// port 0 and ask for the address where the program under test allows it.
#[must_use]
pub fn free() -> u16 {
    free_many::<1>()[0]
}

/// Several different free ports.
#[must_use]
pub fn free_many<const N: usize>() -> [u16; N] {
    // All are held until the last is known, or the same port could come twice.
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port"));
    held.each_ref().map(|listener| listener.local_addr().expect("a bound listener has an address").port())
}
