// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificate and key with which connections are encrypted, and the command `certificate`.

use crate::cli::MakeCertificate;
use crate::config::ServerSettings;
use crate::shared::Shared;
use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConfig;
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The present certificate and key; `None` if TLS is not served.
pub(crate) type SharedTls = Shared<Option<Arc<ServerConfig>>>;

/// The maximum length of a file with certificates or a key in bytes.
const MAX_LENGTH: u64 = 1024 * 1024;

/// The number of years for which a certificate is made.
const YEARS: i32 = 10;

/// Loads the certificate and the key of a configuration; `None` if it has none.
///
/// # Errors
/// If a file cannot be read, has no certificate or key, or the two do not belong together.
pub(crate) fn load(settings: &ServerSettings) -> Result<Option<Arc<ServerConfig>>> {
    let (Some(certificate), Some(key)) = (&settings.tls_certificate, &settings.tls_key) else {
        return Ok(None);
    };
    let context = |path: &Path| format!("cannot use {} for TLS", path.display());
    let chain = read_certificates(certificate).with_context(|| context(certificate))?;
    let private = read_key(key).with_context(|| context(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    let config = config.with_context(|| {
        format!("cannot use {} and {} for TLS", certificate.display(), key.display())
    })?;
    Ok(Some(Arc::new(config)))
}

/// Reads a file that is not long. Waits for no other process: a FIFO is refused.
fn read(path: &Path) -> Result<(File, Vec<u8>)> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    ensure!(file.metadata()?.is_file(), "it is not a regular file");
    let mut bytes = Vec::new();
    (&file).take(MAX_LENGTH + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_LENGTH, "it has over {MAX_LENGTH} bytes");
    Ok((file, bytes))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let (_, bytes) = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.context("it has no certificate in PEM format (-----BEGIN CERTIFICATE-----)")
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let (file, bytes) = read(path)?;
    if file.metadata()?.mode() & 0o004 != 0 {
        tracing::warn!("all users of this machine can read the key {}: chmod o-r", path.display());
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes).ok();
    key.context("it has no key in PEM format (-----BEGIN PRIVATE KEY-----) without a password")
}

/// Makes a certificate that is signed by its own key, and the key. Returns their paths.
///
/// # Errors
/// If a host is not valid, or a file exists already or cannot be written.
pub fn make_certificate(arguments: &MakeCertificate) -> Result<(PathBuf, PathBuf)> {
    let MakeCertificate { out, hosts } = arguments;
    let mut params = CertificateParams::new(hosts.clone())
        .context("HOST: allowed are names and addresses, such as cam.example.org or 192.168.1.7")?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Of an average length.
    let year = 1970 + i32::try_from(seconds / 31_556_952).unwrap_or(0);
    params.not_before = date_time_ymd(year, 1, 1);
    params.not_after = date_time_ymd(year + YEARS, 12, 31);
    if let Some(host) = hosts.first() {
        params.distinguished_name.push(DnType::CommonName, host.as_str());
    }
    let key = KeyPair::generate().context("cannot make a key")?;
    let certificate = params.self_signed(&key).context("cannot make a certificate")?;
    if !out.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(out)
            .with_context(|| format!("cannot make the folder {}", out.display()))?;
    }
    let (key_path, certificate_path) = (out.join("key.pem"), out.join("certificate.pem"));
    write(&key_path, 0o600, &key.serialize_pem())?;
    write(&certificate_path, 0o644, &certificate.pem())?;
    Ok((certificate_path, key_path))
}

/// Writes a new file.
fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .with_context(|| format!("cannot write {}", path.display()))
}
