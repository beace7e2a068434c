//! From text to a message.

use super::{Text, title};
use crate::item::{Count, Format, Item, Limits, NAMES};
use crate::values::{self, Number, bits};
use bytes::{BufMut, Bytes, BytesMut};

/// Reads one message, and nothing behind it. The stop at its end may be left out.
///
/// # Errors
/// What was expected and where, as line and column.
pub fn read(text: &str, limits: Limits) -> Result<Text, String> {
    let mut reader = Reader { text, at: 0, count: Count::new(limits) };
    reader.message().map_err(|wrong| {
        let before = text.get(..reader.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("line {line}, column {column}: {wrong}")
    })
}

struct Reader<'a> {
    text: &'a str,
    /// Of what is looked at.
    at: usize,
    count: Count,
}

/// A piece of text.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Token<'a> {
    Open,
    Close,
    Length(&'a str),
    Quoted(&'a str),
    Word(&'a str),
    End,
}

/// What ends a word.
const BREAKS: [char; 7] = ['<', '>', '[', ']', '"', '\'', ':'];

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let comment = if trimmed.starts_with("//") {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").ok_or("a comment without its end")? + 2
            } else {
                return Ok(());
            };
            self.at += comment;
        }
    }

    /// The next token and where it ends; `at` is where it begins.
    fn look(&mut self) -> Result<(Token<'a>, usize), String> {
        self.skip()?;
        let rest = self.rest();
        let until = |mark: char| rest[1..].find(mark).map(|end| (&rest[1..=end], end + 2));
        let (token, length) = match rest.chars().next() {
            None => (Token::End, 0),
            Some('<') => (Token::Open, 1),
            Some('>') => (Token::Close, 1),
            Some('[') => {
                let (text, length) = until(']').ok_or("`[` without `]`")?;
                (Token::Length(text.trim()), length)
            }
            Some(mark @ ('"' | '\'')) => {
                let (text, length) = until(mark).ok_or("a text without its end")?;
                (Token::Quoted(text), length)
            }
            Some(mark @ (']' | ':')) => return Err(format!("expected an item, not `{mark}`")),
            Some(_) => {
                let ends = |it: char| it.is_whitespace() || BREAKS.contains(&it);
                let length = rest.find(ends).unwrap_or(rest.len());
                (Token::Word(&rest[..length]), length)
            }
        };
        Ok((token, self.at + length))
    }

    fn take(&mut self) -> Result<Token<'a>, String> {
        let (token, end) = self.look()?;
        self.at = end;
        Ok(token)
    }

    /// A name with a colon, if there is one.
    fn name(&mut self) -> Result<(), String> {
        if let (Token::Word(_), end) = self.look()?
            && self.text.get(end..).unwrap_or_default().trim_start().starts_with(':')
        {
            let rest = self.text.get(end..).unwrap_or_default();
            self.at = end + rest.len() - rest.trim_start().len() + 1;
        }
        Ok(())
    }

    fn message(&mut self) -> Result<Text, String> {
        self.name()?;
        let (token, end) = self.look()?;
        let word = match token {
            Token::Word(word) | Token::Quoted(word) => word,
            _ => "",
        };
        // The stop may stand right behind it: `S1F1.`
        let (word, stopped) = match word.strip_suffix('.') {
            Some(word) => (word, true),
            None => (word, false),
        };
        let (stream, function) = title(word)
            .ok_or_else(|| format!("expected stream and function such as S1F1, not {word:?}"))?;
        self.at = end;
        let mut message = Text::new(stream, function, false, None);
        if !stopped {
            self.rest_of(&mut message)?;
        }
        match self.look()?.0 {
            Token::End => Ok(message),
            _ => Err("expected the end of the text behind the message".to_owned()),
        }
    }

    fn rest_of(&mut self, message: &mut Text) -> Result<(), String> {
        let (token, end) = self.look()?;
        let stop = match token {
            Token::Word("W" | "w") => Some(false),
            Token::Word("W." | "w.") => Some(true),
            _ => None,
        };
        if let Some(stopped) = stop {
            message.wait = true;
            self.at = end;
            if stopped {
                return Ok(());
            }
        }
        if self.look()?.0 == Token::Open {
            message.item = Some(self.item(0)?);
        }
        match self.look()? {
            (Token::Word("."), end) => self.at = end,
            (Token::End, _) => {}
            _ => return Err("expected `W`, an item in `<` and `>`, or `.`".to_owned()),
        }
        Ok(())
    }

    fn item(&mut self, depth: usize) -> Result<Item, String> {
        self.count.one(depth)?;
        self.take()?;
        let (token, end) = self.look()?;
        let Token::Word(name) = token else { return Err(format!("expected a format: {NAMES}")) };
        let list = name.eq_ignore_ascii_case("L") || name.eq_ignore_ascii_case("LIST");
        let format = match format(name) {
            Some(format) => format,
            None if list => Format::Binary,
            None => return Err(format!("there is no format {name:?}; there are: {NAMES}")),
        };
        self.at = end;
        let length = self.length()?;
        let (item, count) = if list {
            let items = self.items(depth)?;
            let count = items.len();
            (Item::List(items), count)
        } else {
            let bytes = self.values(format)?;
            let count = bytes.len() / format.size();
            (Item::Values(format, bytes), count)
        };
        match length {
            Some((least, most)) if !(least..=most).contains(&count) => {
                Err(format!("the item says it has {least} to {most} values, and has {count}"))
            }
            _ => Ok(item),
        }
    }

    /// `[3]`, or `[1..3]`.
    fn length(&mut self) -> Result<Option<(usize, usize)>, String> {
        let (Token::Length(text), end) = self.look()? else { return Ok(None) };
        let range = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| {
            let wrong = |_| format!("expected a number in the brackets, not {text:?}");
            text.trim().parse::<usize>().map_err(wrong)
        };
        let range = (number(range.0)?, number(range.1)?);
        self.at = end;
        Ok(Some(range))
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Item>, String> {
        let mut items = Vec::new();
        loop {
            match self.look()? {
                (Token::Close, end) => {
                    self.at = end;
                    return Ok(items);
                }
                (Token::Open, _) => items.push(self.item(depth + 1)?),
                _ => {
                    return Err(
                        "expected an item in `<` and `>`, or the `>` of the list".to_owned()
                    );
                }
            }
        }
    }

    fn values(&mut self, format: Format) -> Result<Bytes, String> {
        let mut out = BytesMut::new();
        loop {
            let (token, end) = self.look()?;
            match token {
                Token::Close => {
                    self.at = end;
                    return Ok(out.freeze());
                }
                Token::Quoted(text) => quoted(format, text, &mut out)?,
                Token::Word(word) => {
                    let wrong =
                        |text| format!("{text} as a value of {}, not {word}", format.name());
                    values::put(format, number(format, word)?, &mut out).map_err(wrong)?;
                }
                Token::Length(_) => return Err("a length stands behind the format".to_owned()),
                Token::Open => return Err(format!("only L has items, {} has none", format.name())),
                Token::End => return Err("an item without its `>`".to_owned()),
            }
            self.at = end;
        }
    }
}

/// That of a name, or of another that is in use.
fn format(name: &str) -> Option<Format> {
    let other = match name.to_ascii_uppercase().as_str() {
        "BINARY" | "BIN" => Format::Binary,
        "BOOL" | "TF" => Format::Boolean,
        "ASCII" => Format::Ascii,
        "JIS8" | "JIS" => Format::Jis8,
        _ => return Format::named(name),
    };
    Some(other)
}

/// A text among values: characters, or the bits of a float.
fn quoted(format: Format, text: &str, out: &mut BytesMut) -> Result<(), String> {
    match format {
        Format::Ascii | Format::Jis8 | Format::Localized if text.is_ascii() => {
            out.put_slice(text.as_bytes());
            Ok(())
        }
        Format::Ascii | Format::Jis8 | Format::Localized => {
            Err("a text has characters beyond ASCII; write their bytes as 0x…".to_owned())
        }
        Format::F4 | Format::F8 if bits(text).is_some() => {
            values::put(format, Number::Bits(bits(text).unwrap_or_default()), out)
        }
        _ => Err(format!("a value of {} stands without quotation marks", format.name())),
    }
}

fn number(format: Format, word: &str) -> Result<Number, String> {
    if format == Format::Boolean {
        match word.to_ascii_uppercase().as_str() {
            "T" | "TRUE" => return Ok(Number::Unsigned(1)),
            "F" | "FALSE" => return Ok(Number::Unsigned(0)),
            _ => {}
        }
    }
    let whole = bits(word).or_else(|| word.parse().ok()).map(Number::Unsigned);
    let signed = || word.parse().ok().map(Number::Signed);
    let float = || word.parse().ok().filter(|it: &f64| it.is_finite()).map(Number::Float);
    whole
        .or_else(signed)
        .or_else(float)
        .ok_or_else(|| format!("expected a number as a value of {}, not {word:?}", format.name()))
}
