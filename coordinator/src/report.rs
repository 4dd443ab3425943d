//! Formats an error with its causes for people.
//!
//! Some libraries repeat the cause in the error's text, and object stores reply in XML. Here each
//! cause appears once, as readable text.

use std::error::Error;

/// Formats an error with its causes on one line.
pub(crate) fn report(error: &dyn Error) -> String {
    lines(error).replace('\n', " ")
}

/// Formats an error with its causes and keeps line breaks.
pub(crate) fn lines(error: &dyn Error) -> String {
    let mut text = plain(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = plain(&error.to_string());
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Reduces the XML document of an object store to its message.
fn plain(text: &str) -> String {
    let message = || {
        let (before, document) = text.split_once("<?xml")?;
        let (_, message) = document.split_once("<Message>")?;
        let (message, rest) = message.split_once("</Message>")?;
        let after = rest.split_once("</Error>").map_or("", |(_, after)| after);
        Some(format!("{before}{message}{after}"))
    };
    message().unwrap_or_else(|| text.to_owned()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Self>>);

    fn layers(texts: &[&'static str]) -> Layer {
        let mut layer = None;
        for text in texts.iter().rev() {
            layer = Some(Box::new(Layer(text, layer)));
        }
        *layer.unwrap()
    }

    #[test]
    fn each_cause_appears_once() {
        let told = layers(&["cannot write: `a`", "PUT failed: no route", "no route", "os error 5"]);
        assert_eq!(report(&told), "cannot write: `a`: PUT failed: no route: os error 5");
    }

    #[test]
    fn xml_documents_are_reduced_to_their_message() {
        let document = "403: <?xml version=\"1.0\"?>\n<Error><Code>A</Code><Message>You may not.</Message><Id>7</Id></Error>";
        assert_eq!(report(&layers(&["refused", document])), "refused: 403: You may not.");
    }

    #[test]
    fn lines_are_kept_for_people_and_joined_for_logs() {
        let told = layers(&["differs:\n  - a\n  + b"]);
        assert_eq!(lines(&told), "differs:\n  - a\n  + b");
        assert_eq!(report(&told), "differs:   - a   + b");
    }
}
