//! A request that is sent many times.

/// A request to a server.
#[derive(Clone, Debug)]
pub struct Request {
    /// The server's address, such as `127.0.0.1:3000`.
    pub address: String,
    /// The method, in capitals.
    pub method: &'static str,
    /// The path and the query.
    pub path: String,
    /// Names and values of headers.
    pub headers: Vec<(&'static str, String)>,
    /// The content; empty without one.
    pub body: String,
}

impl Request {
    /// A `GET` request.
    pub fn get(address: &str, path: impl Into<String>) -> Self {
        Self {
            address: address.to_owned(),
            method: "GET",
            path: path.into(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// A `POST` request with a JSON body.
    pub fn post(address: &str, path: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            method: "POST",
            body: body.into(),
            ..Self::get(address, path)
        }
        .header("content-type", "application/json")
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The bytes of the request in HTTP/1.1, for a kept connection.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\n",
            self.method, self.path, self.address
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.method == "POST" {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        [head.as_bytes(), b"\r\n", self.body.as_bytes()].concat()
    }
}
