//! Documents as a whole: the messages word for word, what counts after a warning, and both ways of the conversion.

mod change;
mod messages;
mod round_trip;
mod seeds;
mod store;
