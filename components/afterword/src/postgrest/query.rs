//! PostgREST's query parameters.

use crate::key::{Id, encode};

/// Checks the query of an item.
///
/// # Errors
/// A sentence for the operator.
pub fn item(query: &str) -> Result<String, &'static str> {
    let query = query.trim_start_matches('?');
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    if names.any(|name| matches!(name, "order" | "limit" | "offset")) {
        return Err("`order`, `limit` and `offset` have no meaning for a single row");
    }
    if is_query(query) {
        Ok(query.to_owned())
    } else {
        Err("it contains a character that must be percent-encoded")
    }
}

/// Whether the text can be the query of a URL without further encoding (RFC 3986, section 3.4).
pub fn is_query(query: &str) -> bool {
    query
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&byte))
}

/// Joins two parts of a query, either of which may be empty.
pub fn join(left: &str, right: &str) -> String {
    if left.is_empty() || right.is_empty() {
        format!("{left}{right}")
    } else {
        format!("{left}&{right}")
    }
}

/// The filter that selects the rows with these ids.
pub fn with_ids(id_column: &str, ids: &[Id]) -> String {
    let column = encode(id_column);
    match ids {
        // Everything after the operator's dot is the value.
        [id] => format!("{column}=eq.{}", encode(id.as_str())),
        _ => {
            let quoted: Vec<String> = ids.iter().map(quoted).collect();
            format!("{column}=in.({})", quoted.join(","))
        }
    }
}

/// An element of `in.(…)`. Inside the quotes, only `"` and `\` are special, and a backslash escapes
/// both (PostgREST's `pQuotedValue`).
fn quoted(id: &Id) -> String {
    let mut text = String::new();
    for character in id.as_str().chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    format!("%22{}%22", encode(&text))
}

/// The number of characters that an id adds to the URL of a request for several ids.
pub fn length_in_list(id: &Id) -> usize {
    quoted(id).len() + ",".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_query_has_no_order_and_no_limit() {
        assert_eq!(
            item("select=*,author:authors(name)").unwrap(),
            "select=*,author:authors(name)"
        );
        assert_eq!(item("?select=*").unwrap(), "select=*");
        assert!(item("select=*&limit=1").is_err());
        assert!(item("select=a b").is_err());
    }

    #[test]
    fn an_id_in_a_list_is_quoted_as_postgrest_reads_it() {
        for (id, item) in [
            ("7", "%227%22"),
            ("a.b", "%22a.b%22"),
            ("a,b)", "%22a%2Cb%29%22"),
            ("C++&d=e", "%22C%2B%2B%26d%3De%22"),
            (r#"say "hi""#, "%22say%20%5C%22hi%5C%22%22"),
            (r"back\slash\", "%22back%5C%5Cslash%5C%5C%22"),
            ("ü", "%22%C3%BC%22"),
        ] {
            let id = Id::parse(id).unwrap();
            assert_eq!(quoted(&id), item);
            assert_eq!(length_in_list(&id), item.len() + 1);
        }
    }

    /// Parses a list like PostgREST's `pListVal` and `pListElement`.
    fn items(list: &str) -> Option<Vec<String>> {
        let mut rest = list.strip_prefix('(')?;
        let mut items = Vec::new();
        loop {
            let mut item = String::new();
            let mut characters = rest.strip_prefix('"')?.chars();
            loop {
                match characters.next()? {
                    '"' => break,
                    '\\' => item.push(characters.next()?),
                    other => item.push(other),
                }
            }
            items.push(item);
            rest = characters.as_str();
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return (rest == ")").then_some(items),
            }
        }
    }

    #[test]
    fn postgrest_parses_a_list_of_ids_to_the_same_ids() {
        let alphabet = ['"', '\\', ',', ')', '('];
        let longer = |text: &String| alphabet.map(|character| format!("{text}{character}"));
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            texts = texts.iter().flat_map(longer).collect();
            for pair in texts.windows(2) {
                let ids = pair.iter().map(|text| Id::parse(text).unwrap());
                let quoted: Vec<String> = ids.map(|id| quoted(&id)).collect();
                let sent = format!("({})", quoted.join(","));
                let list = percent_encoding::percent_decode_str(&sent);
                assert_eq!(
                    items(&list.decode_utf8().unwrap()).as_deref(),
                    Some(pair),
                    "{sent}"
                );
            }
        }
    }
}
