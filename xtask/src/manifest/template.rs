//! `cargo xtask manifests`: makes the manifests from `template.toml`.
//!
//! | in the template | in a manifest |
//! | --- | --- |
//! | `#if` with kinds (`redis`, `http`) or files, `#else`, `#end` | the lines for this manifest |
//! | `<wasm articles>` | the component's path |
//! | `<build articles>` | the command that builds the component |

use anyhow::{Context, Result, bail, ensure};

use super::ManifestKind;
use crate::packages::COMPONENTS;
use crate::wasi::Wasi;

/// The template's path in the workspace.
const PATH: &str = "xtask/src/manifest/template.toml";

const TEMPLATE: &str = include_str!("template.toml");

/// Writes the manifests that differ from the template.
///
/// # Errors
///
/// When the template is wrong, or a file cannot be written.
pub fn write() -> Result<()> {
    for (kind, wasi) in all() {
        let (name, path) = (kind.file_name(wasi), kind.path(wasi));
        let text = render(kind, wasi)?;
        if std::fs::read_to_string(&path).is_ok_and(|former| former == text) {
            println!("{name}: unchanged");
            continue;
        }
        std::fs::write(&path, text).with_context(|| format!("writing {name}"))?;
        println!("{name}: written");
    }
    Ok(())
}

/// Checks that the manifests are as the template has them.
///
/// # Errors
///
/// When one is not.
pub fn check() -> Result<()> {
    for (kind, wasi) in all() {
        let name = kind.file_name(wasi);
        let text = std::fs::read_to_string(kind.path(wasi)).unwrap_or_default();
        ensure!(
            text == render(kind, wasi)?,
            "{name} is not as {PATH} has it: change the template, and run `cargo xtask manifests`"
        );
    }
    Ok(())
}

fn all() -> impl Iterator<Item = (ManifestKind, Wasi)> {
    let of = |wasi| ManifestKind::ALL.map(|kind| (kind, wasi));
    Wasi::ALL.into_iter().flat_map(of)
}

/// The text of a manifest.
fn render(kind: ManifestKind, wasi: Wasi) -> Result<String> {
    let text = lines_for(TEMPLATE, &[&kind.name(), kind.file_name(wasi)])?;
    Ok(COMPONENTS.iter().fold(text, |text, component| {
        text.replace(&format!("<wasm {component}>"), &wasi.component(component))
            .replace(&format!("<build {component}>"), &command(wasi, component))
    }))
}

/// The lines of a template whose conditions contain one of these words.
fn lines_for(template: &str, words: &[&str]) -> Result<String> {
    let mut text = String::new();
    // Whether the condition around this line holds, if there is one.
    let mut condition = None;
    for line in template.lines() {
        match (line.split_once(' ').unwrap_or((line, "")), condition) {
            (("#if", named), None) => {
                condition = Some(named.split(' ').any(|word| words.contains(&word)));
            }
            (("#else", ""), Some(holds)) => condition = Some(!holds),
            (("#end", ""), Some(_)) => condition = None,
            (("#if" | "#else" | "#end", _), _) => bail!("{PATH}: misplaced: {line}"),
            (_, Some(false)) => {}
            (_, Some(true) | None) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    ensure!(condition.is_none(), "{PATH}: an `#if` has no `#end`");
    Ok(text)
}

/// The command that builds a component, for a manifest.
fn command(wasi: Wasi, component: &str) -> String {
    let mut words = vec!["cargo".to_owned(), "rustc".to_owned()];
    words.extend(wasi.rustc_arguments(component));
    if wasi == Wasi::V02 {
        words.extend(["--target-dir".to_owned(), wasi.folder().to_owned()]);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_are_as_the_template_has_them() {
        check().unwrap();
    }

    #[test]
    fn a_condition_selects_lines() {
        let template = "a\n#if redis x.toml\nb\n#else\nc\n#end\n# d\n";
        assert_eq!(lines_for(template, &["redis"]).unwrap(), "a\nb\n# d\n");
        assert_eq!(lines_for(template, &["x.toml"]).unwrap(), "a\nb\n# d\n");
        assert_eq!(lines_for(template, &["http"]).unwrap(), "a\nc\n# d\n");
        for wrong in ["#if redis\n", "#end\n", "#if http\n#if redis\n#end\n#end\n"] {
            assert!(lines_for(wrong, &["redis"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_component_is_built_where_the_manifest_expects_it() {
        for (kind, wasi) in all() {
            let text = render(kind, wasi).unwrap();
            let name = kind.file_name(wasi);
            assert!(
                !text.contains("<wasm ") && !text.contains("<build "),
                "{name}"
            );
            let components = text.matches("\nsource = \"").count();
            let folder = format!("\nsource = \"{}/wasm32-wasip2/release/", wasi.folder());
            assert_eq!(text.matches(&folder).count(), components, "{name}");
            let features = text
                .matches("/wasi-02 --target-dir target/wasi02\"\n")
                .count();
            assert_eq!(
                features,
                if wasi == Wasi::V02 { components } else { 0 },
                "{name}"
            );
        }
    }
}
