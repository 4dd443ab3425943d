//! Text of others in messages: cut where it is long, and without control characters.
//!
//! Names, keys and whole lines of files come back in errors. None of them is bounded, so whoever
//! repeats one takes an [`excerpt`], and whoever prints or sends a message [bounds](message) it
//! once more: no input makes a message that hides what it says.

/// The most characters of one piece of foreign text in a message.
pub const PIECE: usize = 200;

/// The most characters of a message.
pub const MESSAGE: usize = 3_000;

/// The most characters of a message without a space: most paths are shorter.
const WORD: usize = 1_000;

/// A piece of foreign text as it can stand in a message.
pub fn excerpt(text: &str) -> String {
    let is_long = text.chars().nth(PIECE).is_some();
    let kept = if is_long { PIECE - 1 } else { PIECE };
    let mut piece: String = text.chars().take(kept).map(visible).collect();
    if is_long {
        piece.push('…');
    }
    piece
}

/// A message of at most `most` characters, with long words and a long middle left out. Line breaks
/// stay.
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

/// The text with every run of more than `most` characters that are not spaces cut.
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
