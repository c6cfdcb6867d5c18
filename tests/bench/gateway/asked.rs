//! What is asked, and which answer is right.

use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashSet;

/// Bytes of what the HTTP upstream answers.
pub(crate) const ITEM_BYTES: usize = 1024;
/// Tools of the list that is asked for.
pub(crate) const TOOLS: usize = 20;
/// Forms of the same list that one target may answer: some change the order from time to time.
const FORMS: usize = 64;

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `tools/call` of a small tool.
    Call,
    /// `tools/list`.
    List,
    /// `GET` of 1 KiB of JSON through the HTTP proxy.
    Proxy,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "tools/call",
            Self::List => "tools/list",
            Self::Proxy => "HTTP proxy, 1 KiB",
        }
    }

    /// The JSON-RPC message; nothing for plain HTTP.
    pub(crate) fn body(self, tool: &str, id: u64) -> String {
        match self {
            Self::Call => format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"message":"ping-{id}","padding":"{:x<100}"}}}}}}"#,
                ""
            ),
            Self::List => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#),
            Self::Proxy => String::new(),
        }
    }
}

/// Checks answers. A list is read once in each of its forms; an answer that differs by no more than its id is as good.
#[derive(Debug)]
pub(crate) struct Checker {
    kind: Kind,
    tools: usize,
    forms: RefCell<HashSet<(Vec<u8>, Vec<u8>)>>,
}

impl Checker {
    pub(crate) fn new(kind: Kind, tools: usize) -> Self {
        Self { kind, tools, forms: RefCell::default() }
    }

    /// Whether this is the answer to this very request.
    pub(crate) fn right(&self, id: u64, answer: &[u8]) -> bool {
        match self.kind {
            Kind::Call => std::str::from_utf8(answer).is_ok_and(|text| {
                text.contains(&format!("\"ping-{id}\""))
                    && text.contains(&format!("\"id\":{id}"))
                    && text.contains("\"result\"")
            }),
            Kind::Proxy => {
                answer.len() == ITEM_BYTES && answer.starts_with(format!("{{\"item\":\"ping-{id}\",").as_bytes())
            }
            Kind::List => self.right_list(id, answer),
        }
    }

    fn right_list(&self, id: u64, answer: &[u8]) -> bool {
        let id = format!("\"id\":{id}");
        let Some(at) = answer.windows(id.len()).position(|window| window == id.as_bytes()) else { return false };
        let (before, after) = (&answer[..at], &answer[at + id.len()..]);
        let mut forms = self.forms.borrow_mut();
        if forms.iter().any(|form| form.0 == before && form.1 == after) {
            return true;
        }
        let right = forms.len() < FORMS && self.right_tools(answer);
        if right {
            forms.insert((before.to_vec(), after.to_vec()));
        }
        right
    }

    /// Whether it holds that many tools, all with a schema and a name of their own, and none that nobody may see.
    fn right_tools(&self, answer: &[u8]) -> bool {
        let message: Value = serde_json::from_slice(answer).unwrap_or_default();
        let Some(tools) = message["result"]["tools"].as_array() else { return false };
        let names: HashSet<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
        tools.len() == self.tools
            && names.len() == self.tools
            && tools.iter().all(|tool| tool["inputSchema"].is_object())
            && names.iter().all(|name| !name.contains("hidden"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(id: u64, names: &[&str]) -> Vec<u8> {
        let tools: Vec<Value> = names.iter().map(|name| json!({"name": name, "inputSchema": {}})).collect();
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{}}}"#, json!({"tools": tools})).into_bytes()
    }

    #[test]
    fn a_list_is_right_when_it_is_whole_and_answers_this_request() {
        let checker = Checker::new(Kind::List, 2);
        assert!(checker.right(7, &list(7, &["a", "b"])));
        assert!(checker.right(8, &list(8, &["a", "b"])), "another id");
        assert!(checker.right(9, &list(9, &["b", "a"])), "another order");
        for (why, answer) in [
            ("another's answer", list(7, &["a", "b"])),
            ("one missing", list(10, &["a"])),
            ("one twice", list(10, &["a", "a"])),
            ("one too many", list(10, &["a", "b", "c"])),
            ("one that nobody may see", list(10, &["a", "hidden_b"])),
            ("an error", br#"{"jsonrpc":"2.0","id":10,"error":{"code":-32603,"message":""}}"#.to_vec()),
        ] {
            assert!(!checker.right(10, &answer), "{why}");
        }
    }

    #[test]
    fn a_call_is_right_when_it_says_what_was_asked_under_its_id() {
        let checker = Checker::new(Kind::Call, 0);
        let answer = br#"{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"ping-3"}]}}"#;
        assert!(checker.right(3, answer));
        assert!(!checker.right(33, answer));
        assert!(!checker.right(3, br#"{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"\"ping-3\""}}"#));
    }
}
