//! `spin:variables` (Spin: `crates/factor-variables`).

use wasmtime::component::{Accessor, HasSelf};

use crate::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use crate::component::Component;
use crate::instance::State;
use crate::variables::fault_in_name;

impl Host for State {}

impl<T: Send> HostWithStore<T> for HasSelf<State> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        let component = accessor.with(|mut access| access.get().component.clone());
        component.variable(&name)
    }
}

impl Component {
    pub(super) fn variable(&self, name: &str) -> Result<String, Error> {
        if let Some(reason) = fault_in_name(name) {
            return Err(Error::InvalidName(format!("{name:?}: {reason}")));
        }
        let value = self.variables.get(name).cloned();
        value.ok_or_else(|| Error::Undefined(format!("no variable for {:?}.{name:?}", self.id)))
    }
}
