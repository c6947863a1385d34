//! Parses headers whose value is a list (RFC 9110, section 5.6.1).

/// The non-empty members of a list header, trimmed. A comma in quotation marks does not separate.
pub fn members(lines: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    lines
        .iter()
        .flat_map(|line| parts(line, b','))
        .filter(|member| !member.is_empty())
}

/// Splits `text` at `separator`, except in quotation marks, and trims the parts.
pub fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    text.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == separator && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Vec<String> {
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        members(&lines)
            .map(|member| String::from_utf8_lossy(member).into_owned())
            .collect()
    }

    #[test]
    fn lines_and_commas_separate_members_and_empty_ones_are_skipped() {
        assert_eq!(of(&["a, b ,,c", " ", "d"]), ["a", "b", "c", "d"]);
        assert_eq!(of(&[]), [""; 0]);
    }

    #[test]
    fn a_comma_in_quotation_marks_does_not_separate() {
        assert_eq!(of(&[r#""a,b", "c""#]), [r#""a,b""#, r#""c""#]);
        assert_eq!(
            of(&[r#""never closed, b"#, "c"]),
            [r#""never closed, b"#, "c"]
        );
    }
}
