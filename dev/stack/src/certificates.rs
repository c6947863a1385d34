//! The certificates of a Redis with TLS, for tests.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::redis::Redis;

/// Whether this Redis server can do TLS, with its files in `dir`. If not, prints that a test is
/// skipped.
///
/// # Errors
///
/// When the server does not start. In CI, also when it cannot do TLS.
pub async fn redis_has_tls(program: &Path, dir: &Path) -> Result<bool> {
    match Redis::start(program, dir, &["--tls-port", "0"]).await {
        Ok(_) => Ok(true),
        Err(error) if format!("{error:#}").contains("tls-port") => {
            if std::env::var_os("CI").is_some() {
                bail!("{} was built without TLS", program.display());
            }
            eprintln!("skipped: {} was built without TLS", program.display());
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A certificate authority that no system trusts, and a certificate of `localhost` that it signed.
#[derive(Debug)]
pub struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    /// Makes them, in files of the folder `dir`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn make(dir: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "An authority of Afterword's tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &authority)?;
        let write = |name: &str, pem: String| {
            let file = dir.join(name);
            std::fs::write(&file, pem).with_context(|| format!("writing {}", file.display()))?;
            anyhow::Ok(file)
        };
        Ok(Self {
            authority: write("authority.pem", authority.pem())?,
            certificate: write("certificate.pem", certificate.pem())?,
            key: write("key.pem", key.serialize_pem())?,
        })
    }

    /// The file with the authority's certificate.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// The arguments by which Redis also listens on `port`, with TLS.
    pub fn redis_args(&self, port: u16) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        vec![
            "--tls-port".to_owned(),
            port.to_string(),
            "--tls-cert-file".to_owned(),
            file(&self.certificate),
            "--tls-key-file".to_owned(),
            file(&self.key),
            // Redis needs the authority's certificate, although it asks clients for none.
            "--tls-ca-cert-file".to_owned(),
            file(&self.authority),
            "--tls-auth-clients".to_owned(),
            "no".to_owned(),
        ]
    }
}
