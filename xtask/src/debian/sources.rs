//! The machine's Debian mirror, as apt's source of another suite.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The machine's Debian source, changed to `suite`: a file name and the file's text.
///
/// # Errors
///
/// When the machine does not run Debian, or has no source of its own release.
pub fn for_suite(suite: &str) -> Result<(&'static str, String)> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let line = release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    ensure!(
        value("ID").as_deref() == Some("debian"),
        "this machine does not run Debian"
    );
    let codename = value("VERSION_CODENAME").unwrap_or_else(|| "sid".to_owned());
    let mut files: Vec<PathBuf> = std::fs::read_dir("/etc/apt/sources.list.d")
        .map(|files| files.filter_map(|file| Some(file.ok()?.path())).collect())
        .unwrap_or_default();
    files.push("/etc/apt/sources.list".into());
    // Debian's entries are in one of two files. Other vendors' suites may have the same names.
    files.sort_by_key(|file| !file.ends_with("debian.sources") && !file.ends_with("sources.list"));
    files
        .iter()
        .filter_map(|file| Some((file.extension()?, std::fs::read_to_string(file).ok()?)))
        .find_map(|(extension, text)| match extension.to_str()? {
            "sources" => Some(("afterword.sources", stanza(&text, &codename, suite)?)),
            "list" => Some(("afterword.list", one_line(&text, &codename, suite)?)),
            _ => None,
        })
        .with_context(|| format!("/etc/apt names no Debian mirror for {codename}"))
}

/// Whether a list of suites has the release itself. `bookworm-security` is another archive.
fn names_release<'a>(mut suites: impl Iterator<Item = &'a str>, codename: &str) -> bool {
    suites
        .any(|suite| suite == codename || ["stable", "testing", "unstable", "sid"].contains(&suite))
}

/// The first stanza for the release in a deb822 file (sources.list(5)), changed to `suite`. Keeps
/// its other fields, such as the signing key.
fn stanza(text: &str, codename: &str, suite: &str) -> Option<String> {
    let stanzas = text.split("\n\n").map(|stanza| {
        // A field's value continues in lines that start with a space.
        stanza.lines().filter(|line| !line.starts_with('#')).fold(
            Vec::<String>::new(),
            |mut fields, line| {
                match fields.last_mut() {
                    Some(field) if line.starts_with([' ', '\t']) => *field += &format!("\n{line}"),
                    _ => fields.push(line.to_owned()),
                }
                fields
            },
        )
    });
    for fields in stanzas {
        let words = |name: &str| {
            let value = fields.iter().find_map(|field| {
                let (field, value) = field.split_once(':')?;
                field.eq_ignore_ascii_case(name).then_some(value)
            });
            value.unwrap_or_default().split_whitespace()
        };
        let off = words("Enabled").any(|word| word.eq_ignore_ascii_case("no"));
        if off
            || !words("Types").any(|kind| kind == "deb")
            || !names_release(words("Suites"), codename)
        {
            continue;
        }
        let kept = fields.iter().filter(|field| {
            let name = field.split(':').next().unwrap_or_default();
            !["Types", "Suites", "Components"]
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(name))
        });
        let own = format!("Types: deb\nSuites: {suite}\nComponents: main\n");
        return Some(kept.fold(own, |text, field| {
            if field.is_empty() {
                text
            } else {
                text + field + "\n"
            }
        }));
    }
    None
}

/// The first entry for the release in a one-line-style file (sources.list(5)), changed to `suite`.
fn one_line(text: &str, codename: &str, suite: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let entry = line.trim().strip_prefix("deb ")?.trim();
        let (options, entry) = match entry.strip_prefix('[') {
            Some(rest) => rest
                .split_once(']')
                .map(|(options, entry)| (format!("[{options}] "), entry))?,
            None => (String::new(), entry),
        };
        let mut words = entry.split_whitespace();
        let mirror = words.next()?;
        names_release(words.next().into_iter(), codename)
            .then(|| format!("deb {options}{mirror} {suite} main\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deb822_stanza_keeps_its_mirror_and_key() {
        let text = "Types: deb\nURIs: http://one/debian-security\nSuites: bookworm-security\n\
                    Components: main\n\n\
                    Types: deb deb-src\n# a comment\nURIs: http://two/debian\n\
                    Suites: bookworm bookworm-updates\n\
                    Components: main contrib\nSigned-By:\n -----BEGIN\n .\n xyz\n";
        assert_eq!(
            stanza(text, "bookworm", "forky").unwrap(),
            "Types: deb\nSuites: forky\nComponents: main\nURIs: http://two/debian\n\
             Signed-By:\n -----BEGIN\n .\n xyz\n"
        );
    }

    #[test]
    fn disabled_and_source_stanzas_are_skipped() {
        for text in [
            "Enabled: no\nTypes: deb\nURIs: http://one\nSuites: bookworm\n",
            "Types: deb-src\nURIs: http://one\nSuites: bookworm\n",
            "Types: deb\nURIs: http://one\nSuites: nodistro\n",
        ] {
            assert_eq!(stanza(text, "bookworm", "forky"), None, "{text}");
        }
    }

    #[test]
    fn a_one_line_entry_keeps_its_mirror_and_options() {
        let text = "# deb http://zero/debian bookworm main\n\
                    deb-src http://zero/debian bookworm main\n\
                    deb http://one/debian-security bookworm-security main\n\
                    deb [signed-by=/k.gpg arch=amd64] http://two/debian bookworm main contrib\n";
        assert_eq!(
            one_line(text, "bookworm", "forky").unwrap(),
            "deb [signed-by=/k.gpg arch=amd64] http://two/debian forky main\n"
        );
        assert_eq!(
            one_line("deb http://two/debian stable main\n", "trixie", "forky").unwrap(),
            "deb http://two/debian forky main\n"
        );
        assert_eq!(
            one_line("deb http://two/debian bullseye main\n", "bookworm", "forky"),
            None
        );
    }
}
