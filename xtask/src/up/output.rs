//! Shows the output of the child processes.

use afterword_stack::Stream;

use crate::packages::COMPONENTS;

/// Shows the lines of an application process: what its components log, as `articles | sending
/// response`, and the host's errors. Shows all lines if `verbose`.
pub fn of_application(process: &'static str, verbose: bool) -> impl Fn(Stream, &str) + Send + Sync {
    move |stream, line| {
        if let Some(line) = shown(process, verbose, stream, line) {
            eprintln!("{line}");
        }
    }
}

/// Shows the lines of another program only if `verbose`. If the program fails, the error has them.
pub fn if_verbose(process: &'static str, verbose: bool) -> impl Fn(Stream, &str) + Send + Sync {
    move |_, line| {
        if verbose {
            eprintln!("{process:<10} | {line}");
        }
    }
}

fn shown(process: &str, verbose: bool, stream: Stream, line: &str) -> Option<String> {
    // Spin prints its folders to standard error and its routes to standard output.
    let is_start_message = stream == Stream::Stdout
        || line.is_empty()
        || line.starts_with("Logging component stdio to")
        || line.starts_with("Storing default key-value data to");
    if is_start_message && !verbose {
        return None;
    }
    // The embedded host names the component. Spin does not, so its lines get the process's name.
    let component = COMPONENTS
        .iter()
        .find_map(|name| Some((*name, line.strip_prefix(name)?.strip_prefix(": ")?)));
    let (name, line) = component.unwrap_or((process, line));
    Some(format!("{name:<10} | {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_components_line_has_its_name() {
        assert_eq!(
            shown("http", false, Stream::Stderr, "articles: hit /articles").unwrap(),
            "articles   | hit /articles"
        );
        assert_eq!(
            shown("http", false, Stream::Stderr, "sending response").unwrap(),
            "http       | sending response"
        );
    }

    #[test]
    fn the_hosts_start_messages_need_verbose() {
        let logging = "Logging component stdio to \".spin/logs/\"";
        assert_eq!(
            shown("http", false, Stream::Stdout, "Available Routes:"),
            None
        );
        assert_eq!(shown("http", false, Stream::Stderr, logging), None);
        assert_eq!(
            shown("http", true, Stream::Stdout, "Available Routes:").unwrap(),
            "http       | Available Routes:"
        );
    }
}
