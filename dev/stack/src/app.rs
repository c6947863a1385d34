//! The application, or some of its components, as a child process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::command::command;

/// What runs the components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// The `spin` program at this path, 4.1 or later.
    Spin(PathBuf),
    /// The embedded host (`dev/host`) at this path.
    Embedded(PathBuf),
}

/// One process of the application.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// The `spin.toml`.
    pub manifest: PathBuf,
    /// The components of this process. All components if empty.
    pub components: Vec<String>,
    /// The HTTP address. `None` without an HTTP component, since Spin then has no `--listen`.
    pub listen: Option<SocketAddr>,
    /// The folder of the key-value store. All processes of an application share it.
    pub state_dir: PathBuf,
    /// Spin's runtime configuration file, such as one with a key-value store in Redis. `None` is an
    /// SQLite file in [`state_dir`](Self::state_dir).
    pub runtime_config: Option<PathBuf>,
    /// A PEM file with the certificate authorities to trust, instead of the system's.
    pub authorities: Option<PathBuf>,
    /// Application variables by their names in the manifest.
    pub variables: BTreeMap<String, String>,
    /// The address of the embedded host's fault dials. Only a host with the feature `faults` has
    /// them.
    pub dials: Option<SocketAddr>,
    /// Whether the embedded host logs what each instance has cost.
    pub measure: bool,
}

impl Host {
    /// The command that runs `app` under this host, for [`Process::spawn`](crate::Process::spawn).
    ///
    /// It passes variables in the environment, since every user of a machine can read arguments.
    ///
    /// # Errors
    ///
    /// When `app` has fault dials or is measured, which Spin lacks.
    pub fn command(&self, app: &App) -> Result<Command> {
        let mut command = match self {
            Self::Spin(program) => {
                ensure!(
                    app.dials.is_none(),
                    "only the embedded host has fault dials"
                );
                ensure!(!app.measure, "only the embedded host measures instances");
                command(program)
            }
            Self::Embedded(program) => command(program),
        };
        command.arg("up").arg("--from").arg(&app.manifest);
        for component in &app.components {
            command.arg("-c").arg(component);
        }
        if let Some(listen) = app.listen {
            command.arg("--listen").arg(listen.to_string());
        }
        command.arg("--state-dir").arg(&app.state_dir);
        if let Some(file) = &app.runtime_config {
            command.arg("--runtime-config-file").arg(file);
        }
        if let Some(dials) = app.dials {
            command.arg("--dials").arg(dials.to_string());
        }
        if app.measure {
            command.arg("--measure");
        }
        if let Some(file) = &app.authorities {
            command.env("SSL_CERT_FILE", file);
        }
        for (name, value) in &app.variables {
            command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &Command) -> String {
        let command = command.as_std();
        std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn app() -> App {
        App {
            manifest: "spin.toml".into(),
            components: vec!["articles".into(), "revalidate".into()],
            listen: Some(([127, 0, 0, 1], 3000).into()),
            state_dir: "state".into(),
            runtime_config: Some("redis.toml".into()),
            variables: [("webhook_secret".into(), "hush".into())].into(),
            ..App::default()
        }
    }

    #[test]
    fn both_hosts_get_the_same_arguments() {
        for host in [Host::Spin("host".into()), Host::Embedded("host".into())] {
            let command = host.command(&app()).unwrap();
            assert!(
                line(&command).ends_with(
                    "host up --from spin.toml -c articles -c revalidate --listen 127.0.0.1:3000 \
                     --state-dir state --runtime-config-file redis.toml"
                ),
                "{}",
                line(&command)
            );
        }
    }

    #[test]
    fn variables_are_in_the_environment_only() {
        let command = Host::Spin("spin".into()).command(&app()).unwrap();
        assert!(!line(&command).contains("hush"));
        let set = (
            "SPIN_VARIABLE_WEBHOOK_SECRET".as_ref(),
            Some("hush".as_ref()),
        );
        assert!(command.as_std().get_envs().any(|pair| pair == set));
    }

    #[test]
    fn fault_dials_are_an_error_for_spin() {
        let mut app = app();
        app.dials = Some(([127, 0, 0, 1], 4000).into());
        assert!(Host::Spin("spin".into()).command(&app).is_err());
        let command = Host::Embedded("host".into()).command(&app).unwrap();
        assert!(line(&command).ends_with("--dials 127.0.0.1:4000"));
    }

    #[test]
    fn a_measurement_is_an_error_for_spin() {
        let mut app = app();
        app.measure = true;
        assert!(Host::Spin("spin".into()).command(&app).is_err());
        let command = Host::Embedded("host".into()).command(&app).unwrap();
        assert!(line(&command).ends_with("--measure"));
    }
}
