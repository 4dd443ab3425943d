//! Quotes words for a shell, so that printed commands can be pasted.

use std::path::Path;

/// Quotes a word if a shell would change it.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    // Nothing is special between single quotes except the single quote itself.
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Quotes a path. A path that begins with a dash gets `./`, or it would be read as an option.
pub(crate) fn path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') { quote(&format!("./{text}")) } else { quote(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_restores_quoted_words() {
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
