//! Shows the output of the child processes.

use std::io::IsTerminal;

use afterword_stack::Stream;

use crate::packages::COMPONENTS;

/// The format of the components' log that suits this program's output.
pub fn log_format() -> &'static str {
    // https://no-color.org
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stderr().is_terminal() && !no_color {
        "ansi"
    } else {
        "text"
    }
}

/// Shows the lines of an application process: what its components log, and the host's errors. Shows
/// all lines if `verbose`.
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
    // The embedded host names the component, but Spin does not.
    let component = COMPONENTS
        .iter()
        .find_map(|name| Some((*name, line.strip_prefix(name)?.strip_prefix(": ")?)));
    let (name, line) = component.unwrap_or((process, line));
    if is_log_line(line) {
        // The line itself names the component.
        return Some(line.to_owned());
    }
    Some(format!("{name:<10} | {line}"))
}

/// Whether a component logged the line: it begins with a time of day, or is a JSON object.
fn is_log_line(line: &str) -> bool {
    const FAINT: &str = "\x1b[2m";
    let text = line.trim_start_matches(FAINT);
    let start = text.chars().take("00:00:00.000".len());
    let zeros = start.map(|it| if it.is_ascii_digit() { '0' } else { it });
    zeros.eq("00:00:00.000".chars()) || text.starts_with("{\"time\":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_names_its_component_once() {
        for line in [
            "14:03:43.123 info  articles     hit",
            "\x1b[2m14:03:43.123\x1b[0m \x1b[32minfo \x1b[0m \x1b[36marticles    \x1b[0m hit",
            r#"{"time":"2026-09-01T14:03:43.123Z","level":"info","component":"articles"}"#,
        ] {
            let of_embedded_host = format!("articles: {line}");
            for printed in [line, &of_embedded_host] {
                let shown = shown("http", false, Stream::Stderr, printed);
                assert_eq!(shown.as_deref(), Some(line));
            }
        }
    }

    #[test]
    fn another_line_has_the_name_of_the_component_or_of_the_process() {
        assert_eq!(
            shown("http", false, Stream::Stderr, "articles: a trap").unwrap(),
            "articles   | a trap"
        );
        assert_eq!(
            shown("http", false, Stream::Stderr, "14:03 o'clock").unwrap(),
            "http       | 14:03 o'clock"
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
