//! Words as a shell reads them, so that a command that is printed can be pasted.

use std::path::Path;

/// A word, in quotes if a shell would read it otherwise.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    // Nothing has a meaning between single quotes; one of them ends the quotes.
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path as a word. One that begins with a dash would be read as an option.
pub(crate) fn path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') { quote(&format!("./{text}")) } else { quote(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_quoted() {
        for word in ["plain", "a b", "it's", "$(x) `y` \"z\" \\", "", "two\nlines", "*?[a]~#!", "ü"]
        {
            let script = format!("printf %s {}", quote(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
        assert_eq!(quote("/usr/bin/rheo"), "/usr/bin/rheo");
        assert_eq!(path(Path::new("-x")), "./-x");
    }
}
