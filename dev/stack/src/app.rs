//! The application, or some of its components, as a child process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::command;

/// What runs the components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// The `spin` program at this path, 4.1 or later.
    Spin(PathBuf),
    /// The `afterword-host` program at this path: the embedded host of `dev/host`.
    Embedded(PathBuf),
}

/// One process of the application: which components it runs, and with what.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// The `spin.toml`.
    pub manifest: PathBuf,
    /// The components to run in this process; all of them if empty.
    pub components: Vec<String>,
    /// Where HTTP is served. `None` for a process without an HTTP component: Spin knows no `--listen` there.
    pub listen: Option<SocketAddr>,
    /// The folder of the key-value store, shared by the processes of one application.
    pub state_dir: PathBuf,
    /// Spin's runtime configuration file (`--runtime-config-file`), such as one that puts the key-value store in Redis;
    /// `None` for an SQLite file in [`state_dir`](Self::state_dir).
    pub runtime_config: Option<PathBuf>,
    /// Application variables, by their names in the manifest.
    pub variables: BTreeMap<String, String>,
    /// Where the embedded host serves its fault dials, if at all.
    pub dials: Option<SocketAddr>,
    /// Whether the embedded host's listener sets `TCP_NODELAY`; its default is Spin's.
    pub tcp_nodelay: Option<bool>,
    /// Where the embedded host keeps compiled components, if not in its default folder. Spin keeps them in a place of
    /// its own.
    pub cache_dir: Option<PathBuf>,
}

impl Host {
    /// The command that runs `app` under this host, to be given to [`crate::Process::spawn`].
    ///
    /// Variables travel in the environment, because arguments can be read by every user of the machine.
    ///
    /// # Errors
    ///
    /// When `app` turns a switch of the embedded host that Spin does not have.
    pub fn command(&self, app: &App) -> Result<Command> {
        let mut command = match self {
            Self::Spin(program) => {
                ensure!(
                    app.dials.is_none() && app.tcp_nodelay.is_none(),
                    "fault dials and TCP_NODELAY are switches of the embedded host; Spin has none"
                );
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
        if let Self::Embedded(_) = self {
            if let Some(dials) = app.dials {
                command.arg("--dials").arg(dials.to_string());
            }
            if let Some(on) = app.tcp_nodelay {
                command
                    .arg("--tcp-nodelay")
                    .arg(if on { "on" } else { "off" });
            }
            if let Some(dir) = &app.cache_dir {
                command.arg("--cache-dir").arg(dir);
            }
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
                    "host up --from spin.toml -c articles -c revalidate --listen 127.0.0.1:3000 --state-dir state \
                     --runtime-config-file redis.toml"
                ),
                "{}",
                line(&command)
            );
        }
    }

    #[test]
    fn a_variable_is_in_the_environment_and_not_among_the_arguments() {
        let command = Host::Spin("spin".into()).command(&app()).unwrap();
        assert!(!line(&command).contains("hush"));
        let set = (
            "SPIN_VARIABLE_WEBHOOK_SECRET".as_ref(),
            Some("hush".as_ref()),
        );
        assert!(command.as_std().get_envs().any(|pair| pair == set));
    }

    #[test]
    fn spin_refuses_what_only_the_embedded_host_has() {
        let mut app = app();
        app.tcp_nodelay = Some(true);
        assert!(Host::Spin("spin".into()).command(&app).is_err());
        let command = Host::Embedded("host".into()).command(&app).unwrap();
        assert!(line(&command).ends_with("--tcp-nodelay on"));
    }
}
