//! Text for people. File names may contain anything, including terminal control sequences.

use std::borrow::Cow;
use std::io::Write;

/// A line on standard error, ignoring a closed pipe.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escaped(line));
}

/// `text` with control characters and marks of text direction escaped.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return text.into();
    }
    let escape = |character: char| -> String {
        if is_obeyed(character) { character.escape_default().collect() } else { character.into() }
    };
    text.chars().map(escape).collect()
}

/// Control characters but for tabs, ends of lines, and marks of the direction of text.
fn is_obeyed(character: char) -> bool {
    (character.is_control() && character != '\t')
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert!(matches!(escaped("photos/été 😀.jpg"), Cow::Borrowed(_)));
        assert_eq!(escaped("\x1b[31mred\x07\u{9b}0m"), "\\u{1b}[31mred\\u{7}\\u{9b}0m");
        assert_eq!(escaped("a\nerror: b\r\t"), "a\\nerror: b\\r\t");
        assert_eq!(escaped("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
    }
}
