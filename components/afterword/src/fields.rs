//! Header fields of requests: all input, all hostile.

use spin_sdk::wasip3::http::types::{self, Request};

/// The header fields of a request.
pub struct Fields(types::Headers);

impl Fields {
    /// Those of `request`.
    pub fn of(request: &Request) -> Self {
        Self(request.get_headers())
    }

    /// The values of a field, a line each, in the order in which they came; none if it is not there.
    pub fn lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.get(name)
    }
}

/// The members of a field that is a list (RFC 9110, section 5.6.1), without the white space around them and without empty ones;
/// a comma between quotation marks is none.
pub fn members(lines: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    lines
        .iter()
        .flat_map(|line| parts(line, b','))
        .filter(|member| !member.is_empty())
}

/// The parts of `text` that `separator` parts, without the white space around them; one between quotation marks is none.
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
    fn lines_and_commas_part_a_list_and_empty_members_do_not_count() {
        assert_eq!(of(&["a, b ,,c", " ", "d"]), ["a", "b", "c", "d"]);
        assert_eq!(of(&[]), [""; 0]);
    }

    #[test]
    fn a_comma_between_quotation_marks_parts_nothing() {
        assert_eq!(of(&[r#""a,b", "c""#]), [r#""a,b""#, r#""c""#]);
        assert_eq!(
            of(&[r#""never closed, b"#, "c"]),
            [r#""never closed, b"#, "c"]
        );
    }
}
