//! What is decided, got and built before anything is started.

use std::fmt::Write as _;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use afterword_stack::Host;
use anyhow::{Context, Result, bail, ensure};
use revalidate::authentication::Secrets;

use super::Flags;
use super::origin::Project;
use super::redis_url::RedisUrl;
use super::state::StateDir;
use super::variables::Variables;
use crate::wasm_target::{self, Way};
use crate::{build, programs, workspace};

/// How to run the application.
pub struct Plan {
    /// What runs the components.
    pub host: Host,
    /// Where the HTTP side serves.
    pub listen: SocketAddr,
    /// The folder for everything that outlives the run.
    pub state: StateDir,
    /// Spin's runtime configuration file.
    pub runtime_config: Option<PathBuf>,
    /// The origin; `None` for the stand-in.
    pub project: Option<Project>,
    /// Where the marks are.
    pub redis: Redis,
    /// What `/revalidate` demands.
    pub webhook_secret: String,
    /// The application's other variables.
    pub variables: Variables,
    /// Whether everything is shown that the children say.
    pub verbose: bool,
}

/// A Redis, the user's or our own.
pub enum Redis {
    /// One that runs already.
    Running(RedisUrl),
    /// One to be started, from this program.
    Own(PathBuf),
}

impl Plan {
    /// Checks what was asked for, then gets and builds what is missing.
    ///
    /// # Errors
    ///
    /// What is wrong with the flags, or cannot be had or built, and what to do about it.
    pub async fn make(flags: Flags, way: Way) -> Result<Self> {
        // What can be wrong with the flags comes before minutes of building.
        let listen = free_address(flags.listen)?;
        let manifest = workspace::root().join("spin.toml");
        let mut variables = Variables::read(&manifest, |name| std::env::var(name).ok())?;
        let (schema, table) = (given(flags.schema), given(flags.table));
        let chosen = schema.is_some() || table.is_some();
        for (name, value) in [("schema", schema), ("table", table)] {
            if let Some(value) = value {
                variables.set(name, value);
            }
        }
        let (url, key) = (given(flags.supabase_url), given(flags.supabase_key));
        let project = Project::parse(url, key, &variables)?;
        ensure!(
            project.is_some() || !chosen,
            "--schema and --table are for a real project: add --supabase-url and --supabase-key"
        );
        let webhook_secret = given(flags.webhook_secret);
        if let Some(secrets) = &webhook_secret {
            check_secrets(secrets, project.is_none())?;
        }
        if let Some(file) = &flags.runtime_config_file {
            std::fs::File::open(file)
                .with_context(|| format!("cannot read --runtime-config-file {}", file.display()))?;
        }
        let running = given(flags.redis_url)
            .as_deref()
            .map(RedisUrl::parse)
            .transpose()?;
        if let Some(project) = &project {
            project.check().await?;
        }
        if let Some(redis) = &running {
            redis.check().await?;
        }
        let host = programs::host(flags.host).await?;
        let dir = flags
            .state_dir
            .unwrap_or_else(|| workspace::root().join(".spin"));
        let origin = project
            .as_ref()
            .map_or_else(|| "stand-in".to_owned(), Project::name);
        let state = StateDir::open(&dir, &origin)?;

        let redis = match running {
            Some(redis) => Redis::Running(redis),
            None => Redis::Own(programs::redis().await?),
        };
        build::components(&wasm_target::ensure(way).await?).await?;
        let mut tools = Vec::new();
        if let Host::Embedded(_) = host {
            tools.push(build::HOST);
        }
        if project.is_none() {
            tools.push(build::SUPABASE);
        }
        if !tools.is_empty() {
            build::tools(&tools).await?;
        }

        let webhook_secret = match webhook_secret {
            Some(secret) => secret,
            None => {
                let secret = made_up_secret()?;
                println!("webhook secret: {secret}");
                secret
            }
        };
        Ok(Self {
            host,
            listen,
            state,
            runtime_config: flags.runtime_config_file,
            project,
            redis,
            webhook_secret,
            variables,
            verbose: flags.verbose,
        })
    }

    /// The address at which this machine reaches the HTTP side.
    pub fn reachable(&self) -> SocketAddr {
        reachable(self.listen)
    }
}

/// An option that is given but empty, as an unset variable of a script is, counts as not given.
fn given(option: Option<String>) -> Option<String> {
    option.filter(|value| !value.is_empty())
}

/// The address, with its port decided, if it can be listened on.
fn free_address(listen: SocketAddr) -> Result<SocketAddr> {
    match TcpListener::bind(listen) {
        Ok(listener) => Ok(listener.local_addr()?),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {} is taken on {}: stop what listens there, or choose another with `--listen {}:{}`",
                listen.port(),
                listen.ip(),
                listen.ip(),
                listen.port().wrapping_add(1)
            )
        }
        Err(error) => Err(error).with_context(|| {
            format!("cannot listen on {listen}; choose another address with --listen")
        }),
    }
}

/// The address at which this machine reaches what listens on `listen`, which may be all of its interfaces.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port())
        }
        _ => listen,
    }
}

/// Refuses a webhook secret that the application would refuse at its first webhook, or that the
/// stand-in cannot use.
fn check_secrets(secrets: &str, stand_in: bool) -> Result<()> {
    if let Err(why) = Secrets::parse(secrets) {
        bail!("the webhook secret (--webhook-secret or WEBHOOK_SECRET) cannot be used: {why}");
    }
    ensure!(
        !stand_in || bearer_token(secrets).is_some(),
        "the stand-in for Supabase does not sign its webhooks: give a webhook secret that does not begin with `whsec_`, or none"
    );
    Ok(())
}

/// The first of the secrets that is no signing secret.
pub fn bearer_token(secrets: &str) -> Option<&str> {
    secrets
        .split_whitespace()
        .find(|secret| !secret.starts_with("whsec_"))
}

/// A bearer token of 256 random bits.
fn made_up_secret() -> Result<String> {
    let mut bytes = [0; 32];
    let mut random = std::fs::File::open("/dev/urandom").context("opening /dev/urandom")?;
    random
        .read_exact(&mut bytes)
        .context("reading /dev/urandom")?;
    Ok(bytes.iter().fold(String::new(), |mut secret, byte| {
        let _ = write!(secret, "{byte:02x}");
        secret
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_a_way_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap();
        let error = free_address(taken).unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {} is taken", taken.port()))
                && error.contains("--listen"),
            "{error}"
        );
    }

    #[test]
    fn an_address_for_all_interfaces_is_reached_on_the_loopback() {
        assert_eq!(
            reachable("0.0.0.0:80".parse().unwrap()).to_string(),
            "127.0.0.1:80"
        );
        assert_eq!(
            reachable("[::1]:80".parse().unwrap()).to_string(),
            "[::1]:80"
        );
    }

    #[test]
    fn made_up_secrets_are_long_and_differ() {
        let (one, other) = (made_up_secret().unwrap(), made_up_secret().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
        check_secrets(&one, true).unwrap();
    }

    #[test]
    fn a_secret_that_cannot_work_is_refused_without_being_shown() {
        for (secrets, stand_in) in [
            ("one two hush", false),
            ("whsec_hush!", false),
            ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", true),
        ] {
            let error = check_secrets(secrets, stand_in).unwrap_err().to_string();
            assert!(
                !error.contains("hush") && !error.contains("C2FVs"),
                "{error}"
            );
        }
        let replacing = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD s3cret";
        check_secrets(replacing, true).unwrap();
        assert_eq!(bearer_token(replacing), Some("s3cret"));
    }
}
