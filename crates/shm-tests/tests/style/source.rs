//! A source file taken apart into code and comments, line by line.

/// One line of a file.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The code, with the content of strings and characters blanked out.
    pub(crate) code: String,
    /// The text of the comment on it, without the slashes.
    pub(crate) comment: String,
    /// How many characters the line has.
    pub(crate) width: usize,
}

/// A file as the rules see it.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut reader = Reader { rest: text, lines: vec![Line::default()], in_identifier: false };
        while reader.step() {}
        let mut lines = reader.lines;
        for (line, raw) in lines.iter_mut().zip(text.lines()) {
            line.width = raw.chars().count();
        }
        lines.truncate(text.lines().count());
        Self { path: path.to_owned(), lines }
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        (1..).zip(&self.lines)
    }
}

struct Reader<'a> {
    rest: &'a str,
    lines: Vec<Line>,
    /// Whether the character before `rest` belongs to an identifier or number.
    in_identifier: bool,
}

impl Reader<'_> {
    fn step(&mut self) -> bool {
        let Some(next) = self.rest.chars().next() else {
            return false;
        };
        let was_in_identifier = std::mem::take(&mut self.in_identifier);
        if self.rest.starts_with("//") {
            let length = self.rest.find('\n').unwrap_or(self.rest.len());
            let text = self.rest[..length].trim_start_matches('/').trim();
            self.line().comment.push_str(text);
            self.rest = &self.rest[length..];
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment_bytes(self.rest));
        } else if let Some(bytes) = raw_string_bytes(self.rest).filter(|_| !was_in_identifier) {
            self.blank(bytes);
        } else if next == '"' {
            self.blank(quoted_bytes(self.rest, '"'));
        } else if next == '\'' && is_character(self.rest) {
            self.blank(quoted_bytes(self.rest, '\''));
        } else {
            self.in_identifier = next.is_alphanumeric() || next == '_';
            self.put(next);
            self.rest = &self.rest[next.len_utf8()..];
        }
        true
    }

    fn line(&mut self) -> &mut Line {
        self.lines.last_mut().expect("there is always a line")
    }

    fn put(&mut self, character: char) {
        if character == '\n' {
            self.lines.push(Line::default());
        } else {
            self.line().code.push(character);
        }
    }

    /// Skips something that is not code; its line breaks stay, and something stands for it.
    fn blank(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.put(' ');
        skipped.chars().filter(|&character| character == '\n').for_each(|line_break| self.put(line_break));
    }
}

fn block_comment_bytes(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string_bytes(text: &str) -> Option<usize> {
    let body =
        text.strip_prefix('r').or_else(|| text.strip_prefix("br")).or_else(|| text.strip_prefix("cr"))?;
    let content = body.trim_start_matches('#');
    let hashes = body.len() - content.len();
    let content = content.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content.find(&end)?;
    Some(text.len() - content.len() + length + end.len())
}

fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if character == quote && !escaped {
            return at + quote.len_utf8();
        }
        escaped = character == '\\' && !escaped;
    }
    text.len()
}

/// Whether what begins with a quote is a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    let (first, second) = (characters.next(), characters.next());
    first == Some('\\') || second == Some('\'')
}

#[test]
fn only_code_is_code() {
    let text = r###"let a = "unsafe \" // no"; // Unsafe, a comment
/* unsafe /* nested */ unsafe */ let b: &'a u8 = &b'"'; let c = ['\'', '{'];
//! unsafe
let d = r#"unsafe " "#; let e = br"\"; let car = "x"; let f = "two
unsafe lines"; g"###;
    let source = Source::new("x.rs", text);
    let code: Vec<&str> = source.lines.iter().map(|line| line.code.trim()).collect();
    assert_eq!(code[0], "let a =  ;");
    assert_eq!(code[1], "let b: &'a u8 = &b ; let c = [ ,  ];");
    assert_eq!(code[2], "");
    assert_eq!(code[3], "let d =  ; let e =  ; let car =  ; let f =");
    assert_eq!(code[4], "; g");
    assert_eq!(source.lines[0].comment, "Unsafe, a comment");
    assert_eq!(source.lines[0].width, 47);
    assert_eq!((source.lines.len(), source.lines[3].comment.as_str()), (5, ""));
}
