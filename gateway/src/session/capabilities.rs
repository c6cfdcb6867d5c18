//! What a client has declared that it can be asked, cut down to what the gateway relays.

use crate::raw::{RawObject, RawWriter};
use serde_json::value::RawValue;

/// The capabilities that make a server ask: the rest says nothing about requests.
const RELAYED: [&str; 3] = ["elicitation", "roots", "sampling"];
/// More than these bytes of detail, and only the names are kept: they travel in a header.
const MAX_BYTES: usize = 384;

/// Capabilities of a client: a JSON object with some of `elicitation`, `roots`, `sampling`, as the client sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capabilities {
    json: Box<str>,
    elicits_forms: bool,
    elicits_urls: bool,
    roots: bool,
    sampling: bool,
}

impl Capabilities {
    /// A client that cannot be asked anything.
    pub(crate) fn none() -> Self {
        Self { json: "{}".into(), elicits_forms: false, elicits_urls: false, roots: false, sampling: false }
    }

    /// Reads a `capabilities` object; anything else, and a capability that is no object, counts as not declared.
    pub(crate) fn read(declared: Option<&RawValue>) -> Self {
        let Some(declared) = declared.and_then(|declared| RawObject::parse(declared.get()).ok()) else {
            return Self::none();
        };
        let found = |name: &str| declared.get(name).and_then(|value| RawObject::parse(value.get()).ok());
        let known: Vec<(&str, &RawValue)> = RELAYED
            .into_iter()
            .filter(|name| found(name).is_some())
            .filter_map(|name| Some((name, declared.get(name)?)))
            .collect();
        let too_long = known.iter().map(|(name, value)| name.len() + value.get().len() + 4).sum::<usize>() > MAX_BYTES;
        let mut writer = RawWriter::object(64);
        for (name, value) in &known {
            writer.raw(name, if too_long { "{}" } else { value.get() });
        }
        let elicitation = found("elicitation").filter(|_| !too_long);
        let mode = |mode: &str| elicitation.as_ref().is_some_and(|modes| modes.get(mode).is_some());
        let elicits = declared.get("elicitation").is_some() && found("elicitation").is_some();
        Self {
            json: String::from_utf8(writer.finish()).unwrap_or_else(|_| "{}".to_owned()).into(),
            // Before there were modes there were forms, so `{}` means forms.
            elicits_forms: elicits && (mode("form") || !mode("url")),
            elicits_urls: mode("url"),
            roots: found("roots").is_some(),
            sampling: found("sampling").is_some(),
        }
    }

    /// The JSON object.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// Whether the client can be asked anything.
    pub(crate) fn is_empty(&self) -> bool {
        !(self.elicits_forms || self.elicits_urls || self.roots || self.sampling)
    }

    /// Whether the client can lead its user to a URL.
    pub(crate) fn elicits_urls(&self) -> bool {
        self.elicits_urls
    }

    /// Whether the client may be sent this request.
    pub(crate) fn allow(&self, method: &str, params: Option<&RawValue>) -> bool {
        match method {
            "sampling/createMessage" => self.sampling,
            "roots/list" => self.roots,
            "elicitation/create" => {
                let params = params.and_then(|params| RawObject::parse(params.get()).ok());
                let mode = params.as_ref().and_then(|params| params.text("mode"));
                match mode.as_deref() {
                    Some("url") => self.elicits_urls,
                    Some("form") | None => self.elicits_forms,
                    Some(_) => false,
                }
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Capabilities {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        Capabilities::read(Some(&raw))
    }

    fn params(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_what_is_relayed_is_kept_and_as_it_was_sent() {
        let read = read(r#"{"sampling":{"tools":{"x":1.0}},"tasks":{},"roots":{"listChanged":true},"extensions":{}}"#);
        assert_eq!(read.json(), r#"{"roots":{"listChanged":true},"sampling":{"tools":{"x":1.0}}}"#);
        assert!(read.allow("sampling/createMessage", None) && read.allow("roots/list", None));
        assert!(!read.allow("elicitation/create", None) && !read.allow("tasks/get", None));
    }

    #[test]
    fn forms_are_meant_where_no_mode_is_named() {
        let (form, url) = (params(r#"{"mode":"form"}"#), params(r#"{"mode":"url"}"#));
        for (declared, forms, urls) in [
            (r#"{"elicitation":{}}"#, true, false),
            (r#"{"elicitation":{"form":{}}}"#, true, false),
            (r#"{"elicitation":{"url":{}}}"#, false, true),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, true, true),
            (r#"{"elicitation":true}"#, false, false),
            ("{}", false, false),
            ("[]", false, false),
        ] {
            let read = read(declared);
            assert_eq!(read.allow("elicitation/create", Some(&form)), forms, "{declared}");
            assert_eq!(read.allow("elicitation/create", None), forms, "{declared}");
            assert_eq!(read.allow("elicitation/create", Some(&url)), urls, "{declared}");
            assert_eq!(read.is_empty(), !(forms || urls));
        }
    }

    #[test]
    fn endless_details_are_left_out() {
        let long = format!(r#"{{"sampling":{{"x":"{}"}},"elicitation":{{"url":{{}}}}}}"#, "y".repeat(500));
        let read = read(&long);
        assert_eq!(read.json(), r#"{"elicitation":{},"sampling":{}}"#);
        assert!(read.allow("sampling/createMessage", None) && read.allow("elicitation/create", None));
    }
}
