//! From text to a tree, or to a caret under the column.

use super::{Field, MAX_DEPTH, MAX_LENGTH, MAX_TERMS, Node, Test};
use crate::model::{
    refusal::{Reason, Refusal},
    text::{is_hidden, quoted},
};

const CAPITALS: &str = "AND, OR and NOT are written in capitals";

/// Reads the whole text; none when there is nothing in it.
pub(super) fn parse(text: &str, allowed: &[Field]) -> Result<Option<Node>, Fault> {
    Parser { text, at: 0, depth: 0, terms: 0, allowed }.whole()
}

/// Where the text stops making sense, and what would have made sense there.
pub(super) struct Fault {
    at: usize,
    problem: String,
    hint: Option<String>,
}

impl Fault {
    fn new(at: usize, problem: impl Into<String>) -> Self {
        Fault { at, problem: problem.into(), hint: None }
    }

    pub(super) fn refusal(self, text: &str, allowed: &[Field], reason: Reason) -> Refusal {
        let field = if reason == Reason::SelectorInvalid { "selector" } else { "filter" };
        let (line, column) = excerpt(text, self.at);
        let message = format!("{}\n  {line}\n  {:>column$}", self.problem, '^', column = column + 1);
        let hint = self.hint.unwrap_or_else(|| {
            let fields: Vec<String> = allowed
                .iter()
                .map(|Field { name, .. }| match name.ends_with('.') {
                    true => format!("{name}KEY"),
                    false => (*name).to_owned(),
                })
                .collect();
            format!("write FIELD = \"value\", joined by AND, OR, NOT; fields: {}", fields.join(", "))
        });
        Refusal::new(reason, message, hint).field(field).fact("column", column + 1)
    }
}

/// The line that holds byte `at`, at most 100 characters of it, and the column of `at` in it.
fn excerpt(text: &str, at: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    let at = (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
    let column = text[start..at].chars().count();
    let skip = column.saturating_sub(WIDTH / 2 + WIDTH / 4);
    let line = text[start..end]
        .chars()
        .skip(skip)
        .take(WIDTH)
        .map(|c| if is_hidden(c) { ' ' } else { c })
        .collect::<String>();
    (line.trim_end().to_owned(), column - skip)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    terms: usize,
    allowed: &'a [Field],
}

impl<'a> Parser<'a> {
    fn whole(mut self) -> Result<Option<Node>, Fault> {
        if self.text.len() > MAX_LENGTH {
            let problem = format!("longer than {MAX_LENGTH} bytes: {}", self.text.len());
            return Err(Fault::new(MAX_LENGTH, problem));
        }
        self.skip_space();
        if self.rest().is_empty() {
            return Ok(None);
        }
        let node = self.all()?;
        if !self.rest().is_empty() {
            if self.rest().starts_with(')') {
                return Err(self.fault("this parenthesis was never opened"));
            }
            let mut fault = self.fault("expected AND, OR or the end");
            if self.rest().starts_with("and") || self.rest().starts_with("or") {
                fault.hint = Some(CAPITALS.to_owned());
            }
            return Err(fault);
        }
        Ok(Some(node))
    }

    fn all(&mut self) -> Result<Node, Fault> {
        let mut nodes = vec![self.any()?];
        while self.keyword("AND") {
            nodes.push(self.any()?);
        }
        Ok(one_or(nodes, Node::All))
    }

    fn any(&mut self) -> Result<Node, Fault> {
        let mut nodes = vec![self.term()?];
        while self.keyword("OR") {
            nodes.push(self.term()?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn term(&mut self) -> Result<Node, Fault> {
        let start = self.at;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::new(start, format!("nested more than {MAX_DEPTH} deep")));
        }
        let node = if self.keyword("NOT") {
            Node::Not(Box::new(self.term()?))
        } else if self.eat("(") {
            let node = self.all()?;
            if !self.eat(")") {
                return Err(self.fault("expected AND, OR or a closing parenthesis"));
            }
            node
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, Fault> {
        let start = self.at;
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(Fault::new(start, format!("more than {MAX_TERMS} comparisons")));
        }
        let path = self.path()?;
        let after = self.at;
        self.skip_space();
        let test = self.test().ok_or_else(|| self.no_operator(after))?;
        // `labels:site` asks for the key: the same as `labels.site:*`.
        let is_map = self.allowed.iter().any(|field| field.name.strip_suffix('.') == Some(&path));
        if is_map && test == Test::Has {
            let key = self.value()?;
            return Ok(Node::Compare { path: format!("{path}.{key}"), test, value: "*".to_owned() });
        }
        let Some(field) = self.allowed.iter().find(|field| field.is_named(&path)) else {
            return Err(Fault::new(start, format!("no field {} here", quoted(&path))));
        };
        let place = self.at;
        let value = field.check(test, self.value()?).map_err(|mismatch| Fault {
            at: place,
            problem: mismatch.problem,
            hint: Some(mismatch.hint),
        })?;
        let test = if field.is_set() { Test::HasWord } else { test };
        Ok(Node::Compare { path, test, value })
    }

    fn path(&mut self) -> Result<String, Fault> {
        let mut path = String::new();
        loop {
            let part = if self.rest().starts_with(['"', '\'']) {
                if path.is_empty() {
                    return Err(self.fault("expected a field name, not a quoted text"));
                }
                self.quoted()?
            } else {
                let part = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/'));
                part.to_owned()
            };
            if part.is_empty() {
                let what = if path.is_empty() { "a field name" } else { "the rest of the field name" };
                return Err(self.fault(&format!("expected {what}")));
            }
            path.push_str(&part);
            if !self.rest().starts_with('.') {
                return Ok(path);
            }
            self.at += 1;
            path.push('.');
        }
    }

    fn test(&mut self) -> Option<Test> {
        const TESTS: [(&str, Test); 7] = [
            ("!=", Test::NotEqual),
            ("<=", Test::LessOrEqual),
            (">=", Test::GreaterOrEqual),
            ("=", Test::Equal),
            ("<", Test::Less),
            (">", Test::Greater),
            (":", Test::Has),
        ];
        TESTS.into_iter().find(|(text, _)| self.eat(text)).map(|(_, test)| test)
    }

    fn value(&mut self) -> Result<String, Fault> {
        let start = self.at;
        if self.rest().starts_with(['"', '\'']) {
            let value = self.quoted()?;
            self.skip_space();
            return Ok(value);
        }
        let value =
            self.take(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | '\'' | '=' | '<' | '>' | '!'));
        if value.is_empty() || matches!(value, "AND" | "OR" | "NOT") {
            return Err(Fault::new(start, "expected a value"));
        }
        let value = value.to_owned();
        self.skip_space();
        Ok(value)
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut value = String::new();
        while let Some((i, c)) = chars.next() {
            if Some(c) == quote {
                self.at += i + c.len_utf8();
                return Ok(value);
            }
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\\' | '"' | '\''))) => value.push(escaped),
                    _ => return Err(Fault::new(start + i, "expected \\\\, \\\" or \\' after the backslash")),
                },
                c => value.push(c),
            }
        }
        Err(Fault::new(start, "this quote is never closed"))
    }

    fn no_operator(&self, after_path: usize) -> Fault {
        let word =
            self.text[..after_path].rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
        let mut fault = self.fault("expected one of = != < <= > >= :");
        if matches!(word, "and" | "or" | "not") {
            fault.at = after_path - word.len();
            fault.problem = format!("expected a field name, found {}", quoted(word));
            fault.hint = Some(CAPITALS.to_owned());
        }
        fault
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = self.rest().strip_prefix(word).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || matches!(c, '(' | ')'))
        });
        if found {
            self.at += word.len();
            self.skip_space();
        }
        found
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
            self.skip_space();
        }
        found
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn skip_space(&mut self) {
        self.take(char::is_whitespace);
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fault(&self, problem: &str) -> Fault {
        Fault::new(self.at, problem)
    }
}

fn one_or(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        last => {
            nodes.extend(last);
            join(nodes)
        }
    }
}
