//! `spin:redis` (Spin: `crates/factor-outbound-redis`).

use std::io;

use anyhow::Result;
use redis::{Client, ErrorKind, RedisError, RedisResult, Value};
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::bindings::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult as Reply,
};
use crate::call::Call;
use crate::component::Component;
use crate::instance::State;
use crate::resources::RedisConnection;

fn other(error: RedisError) -> Error {
    Error::Other(error.to_string())
}

/// The error of a failing dial.
fn failure(kind: io::ErrorKind) -> Error {
    other(RedisError::from(io::Error::from(kind)))
}

impl Host for State {}

impl HostConnection for State {
    fn drop(&mut self, connection: Resource<RedisConnection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionWithStore<T> for HasSelf<State> {
    async fn open(
        accessor: &Accessor<T, Self>,
        address: String,
    ) -> Result<Resource<RedisConnection>, Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        let connection = component.open_redis(address).await?;
        accessor.with(|mut access| {
            let pushed = access.get().table.push(connection);
            pushed.map_err(|_| Error::TooManyConnections)
        })
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<RedisConnection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<Reply>, Error> {
        let (component, connection) = accessor.with(|mut access| {
            let state = access.get();
            let connection = state.table.get(&connection).cloned();
            connection
                .map(|connection| (state.component.clone(), connection))
                .map_err(|_| unknown_connection())
        })?;
        component.execute(connection, &command, arguments).await
    }
}

pub(super) fn unknown_connection() -> Error {
    Error::Other("could not find connection for resource".to_owned())
}

/// The calls of a component, as far as the manifest and the dials allow.
impl Component {
    pub(super) async fn open_redis(&self, address: String) -> Result<RedisConnection, Error> {
        let allowed = self.may_connect(&address);
        if !allowed.map_err(|reason| Error::Other(reason.to_owned()))? {
            return Err(Error::InvalidAddress);
        }
        let make_call = async {
            let client = Client::open(address).map_err(|_| Error::InvalidAddress)?;
            let connection = client.get_multiplexed_async_connection().await;
            connection.map(RedisConnection).map_err(other)
        };
        let refused = || failure(io::ErrorKind::ConnectionRefused);
        self.dials.around(Call::RedisOpen, refused, make_call).await
    }

    pub(super) async fn execute(
        &self,
        mut connection: RedisConnection,
        command: &str,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<Reply>, Error> {
        let mut command = redis::cmd(command);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => command.arg(number),
                RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let make_call = async {
            let reply = command.query_async(&mut connection.0).await;
            reply.and_then(flatten).map_err(other)
        };
        let broken = || failure(io::ErrorKind::BrokenPipe);
        self.dials
            .around(Call::RedisExecute, broken, make_call)
            .await
    }
}

/// A reply as one flat list, whatever its nesting.
fn flatten(reply: Value) -> RedisResult<Vec<Reply>> {
    let mut flat = Vec::new();
    append(&mut flat, reply)?;
    Ok(flat)
}

fn append(flat: &mut Vec<Reply>, reply: Value) -> RedisResult<()> {
    flat.push(match reply {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Int64(number),
        Value::Boolean(yes) => Reply::Int64(yes.into()),
        Value::BulkString(bytes) => Reply::Binary(bytes),
        Value::BigNumber(number) => Reply::Binary(number.to_string().into_bytes()),
        Value::Double(number) => Reply::Binary(number.to_string().into_bytes()),
        Value::SimpleString(text) => Reply::Status(text),
        Value::Okay => Reply::Status("OK".to_owned()),
        Value::Array(replies) | Value::Set(replies) => {
            return replies
                .into_iter()
                .try_for_each(|reply| append(flat, reply));
        }
        Value::Map(_) => return Err(unsupported("Redis Map type is not supported")),
        Value::Attribute { .. } => {
            return Err(unsupported("Redis Attribute type is not supported"));
        }
        Value::VerbatimString { .. } => {
            return Err(unsupported(
                "Redis string with format attribute is not supported",
            ));
        }
        Value::Push { .. } => return Err(unsupported("Redis Pub/Sub types are not supported")),
        Value::ServerError(error) => {
            let detail = format!("{error:?}");
            return Err((ErrorKind::ResponseError, "Server error", detail).into());
        }
    });
    Ok(())
}

fn unsupported(detail: &str) -> RedisError {
    let what = "Could not convert Redis response";
    (ErrorKind::TypeError, what, detail.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_replies_become_one_list() {
        let reply = Value::Array(vec![
            Value::Okay,
            Value::Array(vec![Value::Int(7), Value::Nil]),
            Value::BulkString(b"/articles".to_vec()),
        ]);
        let flat = flatten(reply).unwrap();
        assert!(matches!(
            flat.as_slice(),
            [Reply::Status(ok), Reply::Int64(7), Reply::Nil, Reply::Binary(key)]
                if ok == "OK" && key == b"/articles"
        ));
        assert!(flatten(Value::Array(Vec::new())).unwrap().is_empty());
    }

    #[test]
    fn a_map_is_an_error_with_spins_text() {
        let error = flatten(Value::Map(Vec::new())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Could not convert Redis response - TypeError: Redis Map type is not supported"
        );
    }
}
