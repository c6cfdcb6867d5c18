//! Requests with a few of their bytes changed, over the guard alone: pieces make no difference, and what goes on has one
//! reading.

use proptest::prelude::*;

use super::raw;
use crate::serve::guard::*;

/// A guard over bytes in memory: what goes on, and the verdict.
fn judged(bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, u64, Option<Refusal>, bool) {
    let limits = Limits { head_bytes: 4096, headers: 20, write_pause: Duration::from_secs(1) };
    let verdict = Arc::new(Verdict::default());
    let mut guard = Guard::new(tokio::io::empty(), limits, Arc::clone(&verdict));
    let (mut passed, mut rest, mut turn) = (Vec::new(), bytes, 0);
    while !rest.is_empty() {
        let piece = pieces.get(turn % pieces.len().max(1)).copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        turn += 1;
        let (new, later) = rest.split_at(piece);
        rest = later;
        if guard.held.is_empty() {
            let good = guard.judge(new);
            passed.extend_from_slice(&new[..good]);
            if matches!(guard.state, State::Head) {
                guard.held = new[good..].to_vec();
            }
        } else {
            guard.held.extend_from_slice(new);
            guard.judge_held();
        }
        passed.append(&mut guard.released);
    }
    let refused = verdict.refused.get().map(|(_, refusal)| *refusal);
    (passed, guard.heads, refused, matches!(guard.state, State::Broken))
}

/// Two requests with a few of their bytes changed, taken out, doubled or replaced by what makes trouble.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(vec![
        "POST /a HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc",
        "POST /a HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
        "GET /a HTTP/1.1\nHost: x\nConnection: keep-alive\nX-A: b\n\n",
    ]);
    let trouble = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "\0",
        ":",
        ";",
        ",",
        "0",
        "\r\n\r\n",
        "chunked",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: y\r\n",
        "\x0b",
        "\u{fc}",
        "_",
        "0\r\n\r\n",
        "GET / HTTP/1.1\r\n",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..4_u8, trouble, any::<u8>());
    (prop::collection::vec(seed, 1..3), prop::collection::vec(edit, 0..4)).prop_map(|(seeds, edits)| {
        let mut bytes: Vec<u8> = seeds.iter().flat_map(|seed| raw(seed)).collect();
        for (at, kind, trouble, byte) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => drop(bytes.splice(at..at, trouble.bytes())),
                1 => drop(bytes.remove(at)),
                2 => bytes[at] = byte,
                _ => {
                    let copy = bytes[at..(at + 20).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        bytes
    })
}

/// 1 % of the full run of a million, or as many as `PROPTEST_CASES` asks for.
fn cases() -> ProptestConfig {
    let given = ProptestConfig::default();
    if given.cases == 256 { ProptestConfig { cases: 10_000, ..given } } else { given }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn pieces_make_no_difference(bytes in mutated(), pieces in prop::collection::vec(1_usize..9, 1..6)) {
        prop_assert_eq!(judged(&bytes, &[]), judged(&bytes, &pieces));
    }

    #[test]
    fn what_goes_on_has_one_reading(bytes in mutated()) {
        let (passed, heads, refused, _) = judged(&bytes, &[]);
        let passed = refused.map_or(passed.as_slice(), |_| passed.strip_suffix(HARMLESS).unwrap());
        // As many heads as the guard has counted, to a reader that knows nothing but what passed.
        let (again, counted, none, _) = judged(passed, &[]);
        prop_assert_eq!((again.as_slice(), counted, none), (passed, heads, None));
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if heads > 0 {
            // The parser that comes next agrees about the first.
            prop_assert!(request.parse(passed).unwrap().is_complete());
            let all = |name: &str| request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
            prop_assert_eq!(all("host"), 1);
            prop_assert!(all("content-length") + all("transfer-encoding") <= 1);
            prop_assert!(request.path.unwrap().starts_with('/'));
        }
    }
}
