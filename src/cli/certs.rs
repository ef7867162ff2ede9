//! `hallward certs dev`: an authority, a certificate for the gateway and one for a client, to try
//! TLS with.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use super::{Failure, say};

/// Always among the gateway's names: what clients on the same machine call it.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make certificates for development: an authority, the gateway's, and a client's.
    Dev(Dev),
}

#[derive(Debug, clap::Args)]
struct Dev {
    /// Directory for the files; made if it does not exist
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// Name or IP address by which clients reach the gateway, besides localhost, 127.0.0.1 and ::1;
    /// may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// The name in the client's certificate
    #[arg(long, value_name = "NAME", default_value = "agent-1")]
    client: String,
    /// Days that the certificates are valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Dev(dev) => dev.run(),
    }
}

/// A file of the set.
struct CertFile {
    name: &'static str,
    secret: bool,
    text: String,
}

impl CertFile {
    fn public(name: &'static str, text: String) -> CertFile {
        CertFile {
            name,
            secret: false,
            text,
        }
    }

    fn secret(name: &'static str, text: String) -> CertFile {
        CertFile {
            name,
            secret: true,
            text,
        }
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let mode = if self.secret { 0o600 } else { 0o644 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(dir.join(self.name))?;
        file.write_all(self.text.as_bytes())
    }
}

impl Dev {
    fn run(&self) -> Result<(), Failure> {
        let cannot_write = |error: io::Error| {
            Failure::usage(format!("cannot write to {}: {error}", self.dir.display()))
        };
        let dir = std::path::absolute(&self.dir).map_err(cannot_write)?;
        let mut files = self
            .certificates()
            .map_err(|error| Failure::usage(format!("cannot make the certificates: {error}")))?;
        files.push(CertFile::public("hallward.toml", configuration(&dir)));
        fs::create_dir_all(&dir).map_err(cannot_write)?;
        self.make_room(&dir, &files)?;
        for file in &files {
            file.write(&dir).map_err(cannot_write)?;
        }
        say(format_args!("{}", self.explanation(&dir)));
        Ok(())
    }

    /// Nothing is written unless all of it may be.
    fn make_room(&self, dir: &Path, files: &[CertFile]) -> Result<(), Failure> {
        let paths: Vec<_> = files.iter().map(|file| dir.join(file.name)).collect();
        if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok())
            && !self.force
        {
            return Err(Failure::usage(format!(
                "{} exists already: name another directory with --dir, or overwrite it with --force",
                there.display()
            )));
        }
        for path in paths {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Failure::usage(format!(
                        "cannot overwrite {}: {error}",
                        path.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn certificates(&self) -> Result<Vec<CertFile>, rcgen::Error> {
        let key = KeyPair::generate()?;
        let ca_key = key.serialize_pem();
        let mut params = self.params("Hallward development authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let mut server = self.params("Hallward");
        for name in self.names() {
            server.subject_alt_names.push(alternative(name)?);
        }
        let (server, server_key) = leaf(server, ExtendedKeyUsagePurpose::ServerAuth, &issuer)?;

        let mut client = self.params(&self.client);
        client.subject_alt_names = vec![alternative(&self.client)?];
        let (client, client_key) = leaf(client, ExtendedKeyUsagePurpose::ClientAuth, &issuer)?;
        Ok(vec![
            CertFile::public("ca.crt", authority.pem()),
            CertFile::secret("ca.key", ca_key),
            CertFile::public("server.crt", server),
            CertFile::secret("server.key", server_key),
            CertFile::public("client.crt", client),
            CertFile::secret("client.key", client_key),
        ])
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        OWN_NAMES
            .into_iter()
            .chain(self.host.iter().map(String::as_str))
    }

    fn params(&self, common_name: &str) -> CertificateParams {
        let now = SystemTime::now();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        // Clocks differ: what begins now is not valid yet for somebody.
        params.not_before = (now - DAY).into();
        params.not_after = (now + DAY * self.days).into();
        params
    }

    fn explanation(&self, dir: &Path) -> String {
        let names: Vec<&str> = self.names().collect();
        let (names, client, days) = (names.join(", "), &self.client, self.days);
        let configuration = configuration(dir);
        let dir = dir.display();
        let program = super::program();
        format!(
            "\
Made in {dir}, for development, valid for {days} days:
  ca.crt      the authority, which clients trust (ca.key signs with it)
  server.crt  the gateway's, for {names} (server.key)
  client.crt  a client's, named {client} (client.key)

The lines for the configuration, also in {dir}/hallward.toml:

{configuration}
Start the gateway:

  {program} serve --config {dir}/hallward.toml

Publish without and with a client certificate:

  mosquitto_pub -h localhost -p 8883 --cafile {dir}/ca.crt -i {client} -t hello -m world
  mosquitto_pub -h localhost -p 8883 --cafile {dir}/ca.crt --cert {dir}/client.crt --key {dir}/client.key -i {client} -t hello -m world
"
        )
    }
}

/// A certificate and its key.
fn leaf(
    mut params: CertificateParams,
    purpose: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn alternative(name: &str) -> Result<SanType, rcgen::Error> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into()?),
    })
}

/// What makes the gateway use the files.
fn configuration(dir: &Path) -> String {
    // A TOML string is written as a Rust one, as far as paths go.
    let path = |name: &str| format!("{:?}", dir.join(name).display().to_string());
    format!(
        "\
[tls]
listen = \"127.0.0.1:8883\"
certificate = {}
key = {}
client_ca = {}
client_certificate = \"optional\"

[websocket]
tls_listen = \"127.0.0.1:8084\"
",
        path("server.crt"),
        path("server.key"),
        path("ca.crt"),
    )
}
