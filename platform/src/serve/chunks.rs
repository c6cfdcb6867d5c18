//! The bytes of a chunked body → how many of them are good, and where it ends. Pure.
//!
//! Strict: CR LF everywhere, a size of one to sixteen hexadecimal digits and nothing after it. Chunk extensions are
//! legal and refused: nobody uses them, and readers disagree about where they end.

/// The most bytes of trailers.
const MAX_TRAILERS: usize = 8 * 1024;

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a size, with so many digits read.
    Size(u64, u8),
    /// After the CR of a size.
    SizeEnd(u64),
    /// In the data of a chunk.
    Data(u64),
    /// Before the CR after the data.
    DataCr,
    /// Before the LF after the data.
    DataLf,
    /// In the trailers: bytes so far, and what a line needs next.
    Trailers(usize, Trailer),
}

/// Where in the trailers we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trailer {
    /// At the beginning of a line.
    Start,
    /// In a line.
    Line,
    /// After the CR of a line.
    LineLf,
    /// After the CR of the empty line.
    EndLf,
}

/// The body is not framed as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked body")]
pub(super) struct Malformed;

impl Chunks {
    /// The beginning of a body.
    pub(super) const START: Self = Self::Size(0, 0);

    /// Reads on. How many bytes belong to the body, and whether it has ended with them.
    ///
    /// # Errors
    /// [`Malformed`] with the number of bytes that were good.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), (usize, Malformed)> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Self::Data(left) = *self {
                let piece = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += piece;
                *self = match left - piece as u64 {
                    0 => Self::DataCr,
                    left => Self::Data(left),
                };
                continue;
            }
            let Some(next) = self.step(*byte) else { return Err((at, Malformed)) };
            at += 1;
            match next {
                Some(next) => *self = next,
                None => return Ok((at, true)),
            }
        }
        Ok((at, false))
    }

    /// The state after one byte outside of data; `Some(None)` at the end, `None` when the byte is wrong.
    fn step(self, byte: u8) -> Option<Option<Self>> {
        let next = match (self, byte) {
            (Self::Size(size, digits), b'\r') if digits > 0 => Self::SizeEnd(size),
            (Self::Size(size, digits), _) if digits < 16 => {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                Self::Size(size << 4 | digit, digits + 1)
            }
            (Self::SizeEnd(0), b'\n') => Self::Trailers(0, Trailer::Start),
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::Trailers(read, place), _) => return self.trailer(read, place, byte),
            _ => return None,
        };
        Some(Some(next))
    }

    fn trailer(self, read: usize, place: Trailer, byte: u8) -> Option<Option<Self>> {
        let visible = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
        let place = match (place, byte) {
            (Trailer::Start, b'\r') => Trailer::EndLf,
            (Trailer::EndLf, b'\n') => return Some(None),
            (Trailer::Line, b'\r') => Trailer::LineLf,
            (Trailer::LineLf, b'\n') => Trailer::Start,
            // A line that begins with a blank would continue the one before.
            (Trailer::Start, byte) if visible && !matches!(byte, b' ' | b'\t' | b':') => Trailer::Line,
            (Trailer::Line, _) if visible => Trailer::Line,
            _ => return None,
        };
        (read < MAX_TRAILERS).then_some(Some(Self::Trailers(read + 1, place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(usize, bool), usize> {
        let whole = { Chunks::START }.read(text.as_bytes()).map_err(|(at, _)| at);
        // The same byte by byte.
        let mut chunks = Chunks::START;
        let mut pieces = Ok((0, false));
        for (at, byte) in text.bytes().enumerate() {
            match chunks.read(&[byte]) {
                Ok((_, false)) => pieces = Ok((at + 1, false)),
                Ok((_, true)) => {
                    pieces = Ok((at + 1, true));
                    break;
                }
                Err(_) => {
                    pieces = Err(at);
                    break;
                }
            }
        }
        assert_eq!(whole, pieces, "{text:?}");
        whole
    }

    #[test]
    fn a_body_ends_with_its_last_chunk_and_the_empty_line() {
        assert_eq!(read("0\r\n\r\n"), Ok((5, true)));
        assert_eq!(read("3\r\nabc\r\n0\r\n\r\nGET /"), Ok((13, true)));
        assert_eq!(read("00000003\r\nabc\r\n0\r\n\r\n"), Ok((20, true)));
        assert_eq!(read("A\r\n0123456789\r\n0\r\nx: y\r\n\r\n"), Ok((26, true)));
        assert_eq!(read("3\r\nab"), Ok((5, false)));
    }

    #[test]
    fn whatever_readers_disagree_about_is_malformed() {
        for (text, at) in [
            ("\r\n", 0),
            ("g\r\n", 0),
            ("0x3\r\n", 1),
            ("+3\r\n", 0),
            ("-1\r\n", 0),
            (" 3\r\n", 0),
            ("3 \r\nabc", 1),
            ("3;x=y\r\nabc", 1),
            ("3\nabc", 1),
            ("3\r\rabc", 2),
            ("3\r\nabcd\r\n", 6),
            ("3\r\nabc\n0\r\n\r\n", 6),
            ("3\r\nabc0\r\n\r\n", 6),
            ("00000000000000003\r\n", 16),
            ("0\r\n\n", 3),
            ("0\r\n x: y\r\n\r\n", 3),
            ("0\r\nx: y\n\r\n", 7),
            ("0\r\nx: \0\r\n\r\n", 6),
        ] {
            assert_eq!(read(text), Err(at), "{text:?}");
        }
        let long = format!("0\r\nx: {}\r\n\r\n", "y".repeat(9000));
        assert!(read(&long).is_err());
    }
}
