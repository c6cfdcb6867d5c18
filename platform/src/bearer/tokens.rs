//! The text of a token file in, one or two tokens out, compared by hash and in constant time.

use crate::digest::sha256;
use secrecy::SecretString;
use subtle::{Choice, ConstantTimeEq as _};

/// A token file larger than this is no token file.
pub(super) const MAX_BYTES: usize = 4096;

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// No such file.
    #[error("the token file does not exist")]
    Missing,
    /// The file cannot be read.
    #[error("the token file cannot be read")]
    Unreadable,
    /// Nothing but white space.
    #[error("the token is empty")]
    Empty,
    /// More than 4 KiB.
    #[error("the token file is larger than 4 KiB")]
    TooLarge,
    /// More than two lines, or a line that is no visible ASCII text without spaces.
    #[error("the token file must hold one or two lines of visible ASCII characters")]
    Malformed,
}

impl TokenProblem {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing | Self::Empty => "TokenMissing",
            Self::Unreadable => "TokenUnreadable",
            Self::TooLarge => "TokenTooLarge",
            Self::Malformed => "TokenMalformed",
        }
    }
}

/// One or two accepted tokens.
pub(super) struct Tokens {
    first: SecretString,
    hashes: [[u8; 32]; 2],
}

impl Tokens {
    /// One token per line, at most two; white space around a line and empty lines do not count.
    pub(super) fn parse(text: &[u8]) -> Result<Self, TokenProblem> {
        if text.len() > MAX_BYTES {
            return Err(TokenProblem::TooLarge);
        }
        let text = std::str::from_utf8(text).map_err(|_| TokenProblem::Malformed)?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().ok_or(TokenProblem::Empty)?;
        let second = lines.next();
        let visible = |line: &str| line.bytes().all(|b| b.is_ascii_graphic());
        if lines.next().is_some() || !visible(first) || !second.is_none_or(visible) {
            return Err(TokenProblem::Malformed);
        }
        // With one token its hash stands twice, so that a comparison always takes the same time.
        let hashes = [sha256(first.as_bytes()), sha256(second.unwrap_or(first).as_bytes())];
        Ok(Self { first: SecretString::from(first), hashes })
    }

    pub(super) fn accept(&self, presented: &[u8]) -> bool {
        let presented = sha256(presented);
        let hit = self.hashes.iter().fold(Choice::from(0), |hit, hash| hit | hash.ct_eq(&presented));
        hit.into()
    }

    pub(super) fn first(&self) -> SecretString {
        self.first.clone()
    }
}
