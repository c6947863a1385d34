//! Which of the children's lines a person sees, and how.

use afterword_stack::Stream;

use crate::build::COMPONENTS;

/// Shows what a process of the application says: what its components log, as `articles | sending response`, and the
/// host's complaints. Everything else only if `verbose`.
pub fn by_the_application(
    process: &'static str,
    verbose: bool,
) -> impl Fn(Stream, &str) + Send + Sync {
    move |stream, line| {
        if let Some(line) = of_the_application(process, verbose, stream, line) {
            eprintln!("{line}");
        }
    }
}

/// Shows what another program says, only if `verbose`: when it fails, its words are part of the error.
pub fn by_the_way(process: &'static str, verbose: bool) -> impl Fn(Stream, &str) + Send + Sync {
    move |_, line| {
        if verbose {
            eprintln!("{process:<10} | {line}");
        }
    }
}

fn of_the_application(process: &str, verbose: bool, stream: Stream, line: &str) -> Option<String> {
    // Spin tells on standard error where it logs and stores, and on standard output which routes it serves.
    let chatter = stream == Stream::Stdout
        || line.is_empty()
        || line.starts_with("Logging component stdio to")
        || line.starts_with("Storing default key-value data to");
    if chatter && !verbose {
        return None;
    }
    // The embedded host names the component; Spin does not, so there the process has to do.
    let component = COMPONENTS
        .iter()
        .find_map(|name| Some((*name, line.strip_prefix(name)?.strip_prefix(": ")?)));
    let (name, line) = component.unwrap_or((process, line));
    Some(format!("{name:<10} | {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(verbose: bool, stream: Stream, line: &str) -> Option<String> {
        of_the_application("http", verbose, stream, line)
    }

    #[test]
    fn a_components_line_is_shown_under_its_name() {
        assert_eq!(
            said(false, Stream::Stderr, "articles: hit /articles").unwrap(),
            "articles   | hit /articles"
        );
        assert_eq!(
            said(false, Stream::Stderr, "sending response").unwrap(),
            "http       | sending response"
        );
    }

    #[test]
    fn the_hosts_chatter_is_shown_only_if_asked_for() {
        assert_eq!(said(false, Stream::Stdout, "Available Routes:"), None);
        assert_eq!(
            said(
                false,
                Stream::Stderr,
                "Logging component stdio to \".spin/logs/\""
            ),
            None
        );
        assert_eq!(
            said(true, Stream::Stdout, "Available Routes:").unwrap(),
            "http       | Available Routes:"
        );
    }
}
