//! The table of security cases, and the property that no path leaves its base.

use super::*;
use proptest::prelude::*;

fn refused(rest: &str) -> PathError {
    join("/base/v3", rest).unwrap_err()
}

#[test]
fn good_paths_are_appended_as_they_are() {
    for (base, rest, joined) in [
        ("", "", "/"),
        ("/", "", "/"),
        ("/", "/", "/"),
        ("/", "/user", "/user"),
        ("/v3", "", "/v3"),
        ("/v3", "/", "/v3/"),
        ("/v3", "/user", "/v3/user"),
        ("/v3/", "", "/v3/"),
        ("/v3/", "/user", "/v3/user"),
        ("/v3", "/repos/a/b/", "/v3/repos/a/b/"),
        ("/v3", "/a%20b/%C3%A9", "/v3/a%20b/%C3%A9"),
        ("/v3", "/.well-known/x", "/v3/.well-known/x"),
        ("/v3", "/a..b/..a/a../.a", "/v3/a..b/..a/a../.a"),
        ("/v3", "/@evil", "/v3/@evil"),
        ("/", "/:80@evil", "/:80@evil"),
        ("/", "/a;jsessionid=1", "/a;jsessionid=1"),
        ("/", "/Users('x')", "/Users('x')"),
        ("/", "/100%25", "/100%25"),
        ("/", "/50%25off", "/50%25off"),
        ("/", "/a%3Fb%23c", "/a%3Fb%23c"),
        ("/", "/a|b[0]", "/a|b[0]"),
        ("/", "/%61", "/%61"),
    ] {
        assert_eq!(join(base, rest).as_deref(), Ok(joined), "{base:?} {rest:?}");
    }
}

#[test]
fn what_could_climb_out_is_refused_however_it_is_spelled() {
    use PathError::{Character, DotSegment, EmptySegment, Encoding, Relative, Separator};
    for (rest, why) in [
        ("/..", DotSegment),
        ("/../admin", DotSegment),
        ("/a/../b/x", DotSegment),
        ("/%2e%2e", DotSegment),
        ("/%2E%2e/admin", DotSegment),
        ("/.%2e", DotSegment),
        ("/%2E.", DotSegment),
        ("/a/%2e%2e", DotSegment),
        ("/%252e%252e", DotSegment),
        ("/%25252e%25252e/x", DotSegment),
        ("/%25%32%65%25%32%65", DotSegment),
        ("/.", DotSegment),
        ("/./", DotSegment),
        ("/a/.", DotSegment),
        ("/%2e/", DotSegment),
        ("/...", DotSegment),
        ("/..%20", DotSegment),
        ("/%20..", DotSegment),
        ("/..;/", DotSegment),
        ("/..;x=1/b", DotSegment),
        ("/%2e%2e;/", DotSegment),
        ("/..%3b/", DotSegment),
        ("/.;/", DotSegment),
        ("/%EF%BC%8E%EF%BC%8E", DotSegment),
        ("/%E2%80%A5", DotSegment),
        ("/%E2%80%A4%E2%80%A4", DotSegment),
        ("/..%2f", Separator),
        ("/%2e%2e%2f", Separator),
        ("/..%2Fadmin", Separator),
        ("/..%252f", Separator),
        ("/%2f%2f", Separator),
        ("/a%2fb", Separator),
        ("/..%5c", Separator),
        ("/..%255c", Separator),
        ("/%5Cevil", Separator),
        ("/%00", Separator),
        ("/a%00.json", Separator),
        ("/%2500", Separator),
        ("/%0d%0aSet-Cookie:x", Separator),
        ("/%250d%250a", Separator),
        ("/%09", Separator),
        ("/%7f", Separator),
        ("/%C2%85", Separator),
        ("/..%EF%BC%8F", Separator),
        ("/..%EF%BC%BC", Separator),
        ("/..\\", Character),
        ("/\\\\evil", Character),
        ("/\\evil", Character),
        ("/a\tb", Character),
        ("/a b", Character),
        ("/a\u{0}b", Character),
        ("/．．", Character),
        ("/‥", Character),
        ("/é", Character),
        ("/a#b", Character),
        ("/a?b", Character),
        ("/a<b>", Character),
        ("/a\"b", Character),
        ("//", EmptySegment),
        ("//evil", EmptySegment),
        ("/a//b", EmptySegment),
        ("/https://evil", EmptySegment),
        ("/a//", EmptySegment),
        ("/%c0%ae%c0%ae", Encoding),
        ("/%e0%80%af", Encoding),
        ("/%c0%af", Encoding),
        ("/%ff", Encoding),
        ("/%zz", Encoding),
        ("/%", Encoding),
        ("/%2", Encoding),
        ("/%u002e", Encoding),
        ("/%+1%+1", Encoding),
        ("@evil", Relative),
        (".evil", Relative),
        (":80", Relative),
        ("evil", Relative),
    ] {
        assert_eq!(refused(rest), why, "{rest:?}");
    }
}

#[test]
fn every_spelling_of_a_way_out_is_refused_at_every_place() {
    let mut cases = 0;
    let mut assert_refused = |rest: &str, why: PathError| {
        cases += 1;
        for base in ["/base/v3", "/", ""] {
            assert_eq!(join(base, rest), Err(why), "{base:?} {rest:?}");
        }
    };
    let dots = [".", "%2e", "%2E", "%252e", "%252E", "%25252e", "%EF%BC%8E", "%E2%80%A4"];
    for (one, two) in dots.iter().flat_map(|one| dots.iter().map(move |two| (one, two))) {
        for rest in [
            format!("/{one}{two}"),
            format!("/{one}{two}/admin"),
            format!("/a/{one}{two}"),
            format!("/a/{one}{two}/{one}{two}/b"),
            format!("/{one}{two};x=1/b"),
        ] {
            assert_refused(&rest, PathError::DotSegment);
        }
    }
    let separators = [
        "%2f",
        "%2F",
        "%252f",
        "%25252f",
        "%5c",
        "%5C",
        "%255c",
        "%25255c",
        "%EF%BC%8F",
        "%EF%BC%BC",
        "%EF%B9%A8",
        "%00",
        "%2500",
        "%0a",
        "%250d",
        "%7f",
        "%09",
    ];
    for separator in separators {
        // Programs that decode twice often leave a `%` that stands for nothing, and decode what is beside it.
        for behind in ["", "admin", "%25", "%25zz", "%25ff", "%25%25"] {
            for before in ["", "..", "%2e%2e", "a", "%25"] {
                assert_refused(&format!("/{before}{separator}{behind}"), PathError::Separator);
            }
        }
    }
    assert!(cases >= 300, "{cases}");
}

#[test]
fn length_is_bounded_and_many_segments_are_only_long() {
    assert_eq!(refused(&format!("/{}", "a".repeat(MAX_PATH))), PathError::TooLong);
    assert!(join("/v3", &format!("/{}", "a".repeat(MAX_PATH - 1))).is_ok());
    assert!(join("/v3", &"/a".repeat(2000)).is_ok());
    let deep = format!("/{}/admin", vec![".."; 2000].join("/"));
    assert_eq!(refused(&deep), PathError::DotSegment);
    // A per cent sign that is encoded again and again ends.
    let nested = format!("/%{}2e", "25".repeat(3000));
    assert_eq!(refused(&nested), PathError::DotSegment);
}

#[test]
fn an_address_below_the_base_is_given_back_and_no_other() {
    assert_eq!(below("/v3", "/v3/items/7"), Some("/items/7"));
    assert_eq!(below("/", "/items/7"), Some("/items/7"));
    for (base, path) in [("/v3", "/v4/x"), ("/v3", "/v3x"), ("/v3", "/v3/../x"), ("/v3", "/v3"), ("/", "//evil/x")] {
        assert_eq!(below(base, path), None, "{base} {path}");
    }
}

#[test]
fn the_own_parameter_of_a_caller_is_dropped_in_every_spelling() {
    let ask = |caller: &str| query(None, Some(caller), Some("api_key"));
    for spelling in [
        "api_key=x",
        "API_KEY=x",
        "api%5Fkey=x",
        "%61pi_key=x",
        "%2561pi_key=x",
        "api_key",
        "api_key=",
        "api_key[]=x",
        "api_key%5B0%5D=x",
        "api.key=x",
        "api+key=x",
        "api%20key=x",
        "%20api_key=x",
        "+api_key=x",
        "api_key%00=x",
        "api_key=x&api_key=y",
        ";api_key=x",
        "api%5Fkey[%]=x",
        "%2561pi_key[%zz]=x",
        "api%5Fkey%00%=x",
    ] {
        assert_eq!(ask(spelling), None, "{spelling}");
        assert_eq!(ask(&format!("a=1&{spelling}&b=2")).as_deref(), Some("a=1&b=2"), "{spelling}");
    }
    assert_eq!(ask("a=1;api_key=x;c=3&b=2").as_deref(), Some("a=1;c=3&b=2"));
    for kept in ["api_keys=x", "q=api_key", "a=%zz", "x=1&x=2", "q=a%26api_key%3Dx", "a=b=c"] {
        assert_eq!(ask(kept).as_deref(), Some(kept));
    }
}

#[test]
fn the_query_of_the_base_stays_and_comes_first() {
    assert_eq!(query(Some("v=1"), Some("a=2"), None).as_deref(), Some("v=1&a=2"));
    assert_eq!(query(Some("v=1"), None, Some("k")).as_deref(), Some("v=1"));
    assert_eq!(query(None, Some("a=2&&b"), None).as_deref(), Some("a=2&&b"));
    assert_eq!(query(None, Some(""), None), None);
}

/// How a hostile or careless upstream might read a path: decoded to the end as far as it can be, backslashes as
/// slashes, parameters cut, dot segments resolved.
fn lenient(path: &str) -> Vec<String> {
    let mut text = path.as_bytes().to_vec();
    for _ in 0..8 {
        text = decode_leniently(&text);
    }
    let text = String::from_utf8_lossy(&text).replace('\\', "/");
    let mut resolved: Vec<String> = Vec::new();
    for segment in text.split('/') {
        match segment.split(';').next().unwrap_or_default().trim() {
            "" | "." => {}
            ".." => {
                resolved.pop();
            }
            name => resolved.push(name.to_owned()),
        }
    }
    resolved
}

/// Pieces that make trouble, put together at random, and any text at all.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "/",
            "//",
            "..",
            ".",
            "%2e",
            "%2E",
            "%252e",
            "%25",
            "%2f",
            "%2F",
            "%252f",
            "%5c",
            "\\",
            ";",
            ";x=1",
            "%3b",
            "%00",
            "%0a",
            "%20",
            " ",
            "@",
            ":",
            "https:",
            "evil",
            "a",
            "%61",
            "%c0%ae",
            "%EF%BC%8E",
            "．",
            "?",
            "#",
            "%",
            "%zz",
            "%u002e",
            "\u{7f}",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,4}",
        ".{0,3}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// 1 % of the full run of a million cases, or as many as `PROPTEST_CASES` asks for.
fn cases() -> ProptestConfig {
    let given = ProptestConfig::default();
    if given.cases == 256 { ProptestConfig { cases: 10_000, ..given } } else { given }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_path_leaves_its_base(base in "(/[a-z0-9]{1,4}){0,3}/?", tail in hostile(), slash in any::<bool>()) {
        let rest = if slash { format!("/{tail}") } else { tail };
        if let Ok(path) = join(&base, &rest) {
            let trimmed = base.trim_end_matches('/');
            prop_assert!(path.starts_with(trimmed) && path.starts_with('/') && !path.starts_with("//"));
            prop_assert!(path.len() == trimmed.len() || path[trimmed.len()..].starts_with('/'));
            prop_assert!(!path.contains(['?', '#', '\\', ' ']) && path.is_ascii());
            prop_assert!(lenient(&path).starts_with(&lenient(trimmed)), "{path}");
        }
    }

    #[test]
    fn no_query_carries_the_own_parameter(caller in hostile()) {
        let sent = query(None, Some(&caller), Some("key")).unwrap_or_default();
        for piece in sent.split(['&', ';']) {
            prop_assert_ne!(parameter_key(piece.split('=').next().unwrap()), "key");
        }
    }
}
