//! Foreign text in messages, shortened and without control characters.
//!
//! Errors repeat names, keys and lines of files, which may be of any length. Code that repeats one
//! takes an [`excerpt`] of it, and code that prints or sends a message [bounds](message) the
//! message, so that no input can hide what a message says.

/// The largest number of characters of one excerpt.
pub const PIECE: usize = 200;

/// The largest number of characters of a message.
pub const MESSAGE: usize = 3_000;

/// The largest number of characters without a space; most paths are shorter.
const WORD: usize = 1_000;

/// Shortens foreign text and replaces its control characters.
pub fn excerpt(text: &str) -> String {
    let is_long = text.chars().nth(PIECE).is_some();
    let kept = if is_long { PIECE - 1 } else { PIECE };
    let mut piece: String = text.chars().take(kept).map(visible).collect();
    if is_long {
        piece.push('…');
    }
    piece
}

/// Shortens a message to at most `most` characters: long words and a long middle are left out. Line
/// breaks are kept.
pub fn message(text: &str, most: usize) -> String {
    let word = WORD.min(most / 2);
    if text.len() <= word {
        return text.to_owned();
    }
    let text: Vec<char> = words(text, word);
    if text.len() <= most {
        return text.into_iter().collect();
    }
    let end = most / 3;
    let (begin, end) = (&text[..most - end - 3], &text[text.len() - end..]);
    begin.iter().chain(&[' ', '…', ' ']).chain(end).collect()
}

/// Cuts every run of more than `most` characters without a space.
fn words(text: &str, most: usize) -> Vec<char> {
    let mut cut = Vec::new();
    let mut length = 0;
    for character in text.chars() {
        length = if character.is_whitespace() { 0 } else { length + 1 };
        if length < most {
            cut.push(character);
        } else if length == most {
            cut.push('…');
        }
    }
    cut
}

fn visible(character: char) -> char {
    if character.is_control() { '\u{fffd}' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_repeated_as_it_is() {
        for text in ["", "lr", "ü".repeat(PIECE).as_str()] {
            assert_eq!(excerpt(text), text);
        }
        assert_eq!(message("error: `a`\n  line", MESSAGE), "error: `a`\n  line");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis() {
        let piece = excerpt(&"ü".repeat(400_000));
        assert_eq!(piece.chars().count(), PIECE);
        assert!(piece.ends_with("ü…"), "{piece}");
        assert_eq!(excerpt("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn a_long_message_keeps_its_begin_and_its_remedy() {
        let long = format!("no sweep `{}`: list them with `rheo status`", "x".repeat(400_000));
        let cut = message(&long, MESSAGE);
        assert!(cut.starts_with("no sweep `xxx"), "{cut}");
        assert!(cut.chars().count() <= MESSAGE);
        let long = format!("no table: {}: try `SHOW TABLES`", "word ".repeat(100_000));
        let cut = message(&long, MESSAGE);
        assert_eq!(cut.chars().count(), MESSAGE);
        assert!(cut.starts_with("no table: word") && cut.ends_with("try `SHOW TABLES`"), "{cut}");
    }
}
