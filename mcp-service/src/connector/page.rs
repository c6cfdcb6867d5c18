//! Paging: what every list tool answers, and cursors that carry the position in the list.
//!
//! A cursor is a position, not a permission: whatever it says is validated again by the tool that reads it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ToolError;

/// The longest cursor that is read, in characters.
const MAX_CURSOR: usize = 2048;

/// One page of a list. A cap always announces itself: `truncated` is true exactly when there is more.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Whether there are more items than these.
    pub truncated: bool,
    /// Give this as `cursor` to get the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page made of up to `limit + 1` items: the one too many becomes the cursor's reason to exist.
    ///
    /// # Errors
    /// When the position cannot be written as a cursor.
    pub fn from_overfetch<P: Serialize>(
        mut items: Vec<T>,
        limit: usize,
        position: impl FnOnce(&T) -> P,
    ) -> Result<Self, ToolError> {
        let truncated = items.len() > limit;
        items.truncate(limit);
        let next_cursor = match items.last() {
            Some(last) if truncated => Some(Cursor::at(&position(last))?.0),
            _ => None,
        };
        Ok(Self { items, truncated, next_cursor })
    }
}

/// An opaque position in a list, as the caller gives it back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor for a position.
    ///
    /// # Errors
    /// When the position cannot be written as JSON, or is too long to be read back.
    pub fn at<P: Serialize>(position: &P) -> Result<Self, ToolError> {
        let json = serde_json::to_vec(position)
            .map_err(|_| ToolError::upstream("a position in the list could not be written down"))?;
        let text = URL_SAFE_NO_PAD.encode(json);
        if text.len() > MAX_CURSOR {
            return Err(ToolError::upstream("a position in the list is too long for a cursor"));
        }
        Ok(Self(text))
    }

    /// The text that is handed out.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The position that this cursor stands for.
    ///
    /// # Errors
    /// `invalid_argument` for anything that no tool of this kind handed out.
    pub fn position<P: DeserializeOwned>(&self) -> Result<P, ToolError> {
        let refused = || ToolError::invalid("the cursor is not one that this tool handed out");
        if self.0.len() > MAX_CURSOR {
            return Err(refused());
        }
        let json = URL_SAFE_NO_PAD.decode(&self.0).map_err(|_| refused())?;
        serde_json::from_slice(&json).map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_truncated_exactly_when_there_is_one_item_too_many() {
        let full = Page::from_overfetch(vec![1, 2, 3], 3, |n| *n).unwrap();
        assert!(!full.truncated && full.next_cursor.is_none());
        let cut = Page::from_overfetch(vec![1, 2, 3, 4], 3, |n| *n).unwrap();
        assert_eq!(cut.items, [1, 2, 3]);
        let position: i32 = Cursor(cut.next_cursor.unwrap()).position().unwrap();
        assert_eq!(position, 3);
    }

    #[test]
    fn a_foreign_cursor_is_an_invalid_argument() {
        for text in ["", "!!", "e30", &"A".repeat(5000)] {
            let error = Cursor(text.to_owned()).position::<i32>().unwrap_err();
            assert_eq!(error.code, super::super::ErrorCode::InvalidArgument);
        }
    }
}
