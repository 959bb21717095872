//! HTTPS to the provider.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::base::error::Error;

/// A client that goes straight to its target: no proxies of the environment, no redirects, no further attempts.
pub(super) fn client(needs_tls: bool, connect: Duration) -> Result<Client, Error> {
    Client::builder()
        .connect_timeout(connect)
        .user_agent(concat!("parlor/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .http1_only()
        .no_proxy()
        .tls_backend_preconfigured(tls(needs_tls)?)
        .build()
        .map_err(|error| Error::Invalid(format!("the assistant's HTTP client cannot be set up: {error}")))
}

/// rustls with ring, whatever provider the process has installed, and the platform's certificate roots.
fn tls(needed: bool) -> Result<ClientConfig, Error> {
    let unusable =
        |error: rustls::Error| Error::Invalid(format!("the assistant is reached by https, and {error}; install roots"));
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    match versions.clone().with_platform_verifier() {
        Ok(verified) => Ok(verified.with_no_client_auth()),
        Err(error) if needed => Err(unusable(error)),
        // A small image may have no certificate roots, and plain HTTP needs none.
        Err(_) => Ok(versions.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
    }
}
