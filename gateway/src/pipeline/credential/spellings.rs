//! The ways in which an answer may write a credential that was sent: as it is, and as JSON, URLs, forms and HTML do.

use super::inject;

/// All spellings of one value, each once. A token of letters and digits has one.
pub(super) fn of(value: &str) -> Vec<String> {
    let json = json(value);
    let slashes = json.replace('/', "\\/");
    let query = inject::encode(value);
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let spellings = [
        value.to_owned(),
        // A tool's text is often JSON itself.
        self::json(&json),
        ascii(&json, str::to_owned),
        ascii(&json, str::to_uppercase),
        json,
        slashes,
        lower_percent(&query),
        query,
        lower_percent(&form),
        form,
        html(value, "&#39;", "&quot;"),
        html(value, "&#x27;", "&#34;"),
        html(value, "'", "&quot;"),
        html(value, "'", "\""),
    ];
    let mut unique: Vec<String> = Vec::with_capacity(1);
    for spelling in spellings {
        if !unique.contains(&spelling) {
            unique.push(spelling);
        }
    }
    unique
}

/// A text as it stands between the quotation marks of JSON.
fn json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// JSON of a writer that escapes what is not ASCII and what HTML reads. `case` is how it writes hexadecimal digits.
fn ascii(json: &str, case: fn(&str) -> String) -> String {
    let mut written = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && !matches!(character, '<' | '>' | '&' | '\'') {
            written.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            written.push_str("\\u");
            written.push_str(&case(&format!("{unit:04x}")));
        }
    }
    written
}

/// `%2F` as `%2f`; what is no escape keeps its case.
fn lower_percent(encoded: &str) -> String {
    let mut lower = String::with_capacity(encoded.len());
    let mut digits = 0;
    for character in encoded.chars() {
        lower.push(if digits > 0 { character.to_ascii_lowercase() } else { character });
        digits = if character == '%' { 2 } else { usize::saturating_sub(digits, 1) };
    }
    lower
}

fn html(text: &str, single: &str, double: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', single).replace('"', double)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_letters_and_digits_has_one_spelling() {
        assert_eq!(of("sk-live-12345"), ["sk-live-12345"]);
    }

    #[test]
    fn json_urls_forms_and_html_each_have_theirs() {
        let spellings = of("pä/s <\"'&+");
        for expected in [
            "pä/s <\"'&+",
            "pä/s <\\\"'&+",
            "pä/s <\\\\\\\"'&+",
            "pä\\/s <\\\"'&+",
            "p\\u00e4/s \\u003c\\\"\\u0027\\u0026+",
            "p\\u00E4/s \\u003C\\\"\\u0027\\u0026+",
            "p%C3%A4%2Fs%20%3C%22%27%26%2B",
            "p%c3%a4%2fs%20%3c%22%27%26%2b",
            "p%C3%A4%2Fs+%3C%22%27%26%2B",
            "p%c3%a4%2fs+%3c%22%27%26%2b",
            "pä/s &lt;&quot;&#39;&amp;+",
            "pä/s &lt;&#34;&#x27;&amp;+",
            "pä/s &lt;&quot;'&amp;+",
            "pä/s &lt;\"'&amp;+",
        ] {
            assert!(spellings.iter().any(|spelling| spelling == expected), "{expected}: {spellings:?}");
        }
        assert_eq!(spellings.len(), 14);
    }

    #[test]
    fn only_escapes_change_their_case() {
        assert_eq!(lower_percent("AB%2FCD%E4%3AXY"), "AB%2fCD%e4%3aXY");
        assert_eq!(lower_percent("%2"), "%2");
    }
}
