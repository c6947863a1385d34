//! Checks the flags, and gets and builds what is missing, before anything starts.

use std::fmt::Write as _;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use afterword_stack::Host;
use anyhow::{Context, Result, bail, ensure};
use revalidate::authentication::Secrets;

use super::flags::Flags;
use super::output;
use super::project::Project;
use super::redis_url::RedisUrl;
use super::state::StateDir;
use super::variables::Variables;
use crate::manifest::ManifestKind;
use crate::packages::{HOST, SUPABASE};
use crate::wasi::Wasi;
use crate::wasm_target::TargetSource;
use crate::{build, host, redis_server, workspace};

/// How to run the application.
pub struct Plan {
    /// What runs the components.
    pub host: Host,
    /// What wakes the worker.
    pub manifest: ManifestKind,
    /// The build of the components.
    pub wasi: Wasi,
    /// The address of the HTTP process.
    pub listen: SocketAddr,
    /// The folder that outlives the run.
    pub state: StateDir,
    /// Spin's runtime configuration file.
    pub runtime_config: Option<PathBuf>,
    /// The origin. `None` is the stand-in.
    pub project: Option<Project>,
    /// The Redis of the work queue.
    pub redis: Redis,
    /// The variable `webhook_secret`.
    pub webhook_secret: String,
    /// The variable `admin_token`.
    pub admin_token: String,
    /// The variable `refresh_secret`, which only manifests without a Redis trigger have.
    pub refresh_secret: String,
    /// The application's other variables.
    pub variables: Variables,
    /// Whether to show all output of the children.
    pub verbose: bool,
}

/// The Redis of the work queue: the user's, or one that `up` starts.
pub enum Redis {
    /// A running Redis.
    Running(RedisUrl),
    /// The program of a Redis to start.
    Own(PathBuf),
}

impl Plan {
    /// Checks the flags, then gets and builds what is missing.
    ///
    /// # Errors
    ///
    /// When a flag is wrong, or something cannot be had or built. The error gives advice.
    pub async fn make(flags: Flags, source: TargetSource) -> Result<Self> {
        // Report wrong flags before minutes of building.
        let listen = free_address(flags.listen)?;
        let environment = |name: &str| std::env::var(name).ok();
        let mut variables = Variables::read(&flags.manifest.path(flags.wasi), environment)?;
        let (schema, table) = (non_empty(flags.schema), non_empty(flags.table));
        let has_table = schema.is_some() || table.is_some();
        for (name, value) in [("schema", schema), ("table", table)] {
            if let Some(value) = value {
                variables.set(name, value);
            }
        }
        let (url, key) = (non_empty(flags.supabase_url), non_empty(flags.supabase_key));
        let project = Project::parse(url, key, &variables)?;
        ensure!(
            project.is_some() || !has_table,
            "--schema and --table need a real project: add --supabase-url and --supabase-key"
        );
        let webhook_secret = non_empty(flags.webhook_secret);
        if let Some(secrets) = &webhook_secret {
            check_secrets(secrets, project.is_none())?;
        }
        let admin_token = match variables.get("admin_token") {
            "" => random_secret()?,
            token => {
                check_long_secret("admin_token", token)?;
                token.to_owned()
            }
        };
        let refresh_secret = match variables.get("refresh_secret") {
            "" => random_secret()?,
            secret => {
                check_long_secret("refresh_secret", secret)?;
                secret.to_owned()
            }
        };
        if environment("SPIN_VARIABLE_LOG_FORMAT").is_none() {
            variables.set("log_format", output::log_format().to_owned());
        }
        if let Some(file) = &flags.runtime_config_file {
            std::fs::File::open(file)
                .with_context(|| format!("cannot read --runtime-config-file {}", file.display()))?;
        }
        let running = non_empty(flags.redis_url)
            .as_deref()
            .map(RedisUrl::parse)
            .transpose()?;
        if let Some(project) = &project {
            project.check().await?;
        }
        if let Some(redis) = &running {
            redis.check().await?;
        }
        let host = host::choose(flags.host, flags.wasi).await?;
        let dir = flags
            .state_dir
            .unwrap_or_else(|| workspace::root().join(".spin"));
        let origin = project
            .as_ref()
            .map_or_else(|| "stand-in".to_owned(), Project::name);
        let state = StateDir::open(&dir, &origin)?;

        let redis = match running {
            Some(redis) => Redis::Running(redis),
            None => Redis::Own(redis_server::program().await?),
        };
        build::components(flags.wasi, source).await?;
        let mut programs = Vec::new();
        if let Host::Embedded(_) = host {
            programs.push(HOST);
        }
        if project.is_none() {
            programs.push(SUPABASE);
        }
        if !programs.is_empty() {
            build::programs(&programs).await?;
        }

        let webhook_secret = match webhook_secret {
            Some(secret) => secret,
            None => {
                let secret = random_secret()?;
                println!("webhook secret: {secret}");
                secret
            }
        };
        Ok(Self {
            host,
            manifest: flags.manifest,
            wasi: flags.wasi,
            listen,
            state,
            runtime_config: flags.runtime_config_file,
            project,
            redis,
            webhook_secret,
            admin_token,
            refresh_secret,
            variables,
            verbose: flags.verbose,
        })
    }

    /// The address of the HTTP process for this machine.
    pub fn reachable(&self) -> SocketAddr {
        reachable(self.listen)
    }
}

/// The option unless it is empty. An unset variable of a script gives an empty option.
fn non_empty(option: Option<String>) -> Option<String> {
    option.filter(|value| !value.is_empty())
}

/// The address if it is free, with a port instead of port 0.
fn free_address(listen: SocketAddr) -> Result<SocketAddr> {
    match TcpListener::bind(listen) {
        Ok(listener) => Ok(listener.local_addr()?),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {} is taken on {}: stop what listens there, or choose another with \
                 `--listen {}:{}`",
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

/// The address for connecting to `listen`, which may stand for all interfaces.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port())
        }
        _ => listen,
    }
}

/// Refuses a webhook secret that the application would refuse at its first webhook, or that the
/// stand-in cannot send.
fn check_secrets(secrets: &str, stand_in: bool) -> Result<()> {
    if let Err(why) = Secrets::parse(secrets) {
        bail!("the webhook secret (--webhook-secret or WEBHOOK_SECRET) cannot be used: {why}");
    }
    ensure!(
        !stand_in || bearer_token(secrets).is_some(),
        "the stand-in for Supabase does not sign its webhooks: give a webhook secret without \
         `whsec_`, or none"
    );
    Ok(())
}

/// Refuses an `admin_token` or a `refresh_secret` that its component would refuse.
fn check_long_secret(variable: &str, secret: &str) -> Result<()> {
    ensure!(
        secret.len() >= 16 && secret.bytes().all(|byte| byte.is_ascii_graphic()),
        "SPIN_VARIABLE_{} cannot be used: it must have at least 16 characters, all of them visible \
         ASCII",
        variable.to_uppercase()
    );
    Ok(())
}

/// The first secret that is a bearer token, which the stand-in sends.
pub fn bearer_token(secrets: &str) -> Option<String> {
    let secrets = Secrets::parse(secrets).ok()?;
    secrets.bearer_token().map(str::to_owned)
}

/// A bearer token of 256 random bits.
fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").context("opening /dev/urandom")?;
    source
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
    fn an_error_about_a_taken_port_gives_advice() {
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
    fn all_interfaces_are_reached_on_the_loopback() {
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
    fn random_secrets_are_long_and_differ() {
        let (one, other) = (random_secret().unwrap(), random_secret().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
        check_secrets(&one, true).unwrap();
    }

    #[test]
    fn an_admin_token_and_a_refresh_secret_are_long_and_visible() {
        check_long_secret("admin_token", &random_secret().unwrap()).unwrap();
        for secret in ["short", "sixteen characters with spaces"] {
            let error = check_long_secret("admin_token", secret).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("SPIN_VARIABLE_ADMIN_TOKEN"), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
    }

    #[test]
    fn an_error_about_a_wrong_secret_does_not_show_it() {
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
        assert_eq!(bearer_token(replacing).as_deref(), Some("s3cret"));
        let prefixed = "bearer:whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let token = bearer_token(prefixed);
        assert_eq!(token.as_deref(), prefixed.strip_prefix("bearer:"));
    }
}
