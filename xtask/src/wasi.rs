//! The two builds of the components, one for each version of WASI.

use clap::ValueEnum;

use crate::packages::{WASI_02, WASM_TARGET};

/// The version of WASI that the components are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wasi {
    /// For Spin 3.6 and later, SpinKube's shim and Fermyon Cloud
    #[value(name = "0.2")]
    V02,
    /// For Spin 4.1 and later, and Akamai Functions
    #[value(name = "0.3")]
    V03,
}

impl Wasi {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::V03, Self::V02];

    /// Cargo's target folder in the workspace. Each build has its own, because both write
    /// components of the same names.
    pub fn folder(self) -> &'static str {
        match self {
            Self::V02 => "target/wasi02",
            Self::V03 => "target",
        }
    }

    /// A component's path in the workspace.
    pub fn component(self, package: &str) -> String {
        let name = package.replace('-', "_");
        format!("{}/{WASM_TARGET}/release/{name}.wasm", self.folder())
    }

    /// The arguments of `cargo rustc` for a component.
    ///
    /// They have one crate type: cargo does not optimize across crates when it also compiles the
    /// Rust library that tests link, and the component has 70 kB more.
    pub fn rustc_arguments(self, package: &str) -> Vec<String> {
        let mut arguments = vec![
            "--release".to_owned(),
            "--target".to_owned(),
            WASM_TARGET.to_owned(),
            "--package".to_owned(),
            package.to_owned(),
            "--crate-type".to_owned(),
            "cdylib".to_owned(),
        ];
        if self == Self::V02 {
            arguments.extend(["--features".to_owned(), format!("{package}/{WASI_02}")]);
        }
        arguments
    }

    /// Major and minor of the first Spin that runs these components. Its pre-releases run them,
    /// too. WASI 0.2 is older than Spin 3.6, which is the first that CI runs.
    pub fn min_spin(self) -> (u64, u64) {
        match self {
            Self::V02 => (3, 6),
            Self::V03 => (4, 1),
        }
    }

    /// The value of `--wasi`.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
