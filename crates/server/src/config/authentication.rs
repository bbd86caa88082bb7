//! Which authentication schemes there are, and which of them a client must use.
//!
//! In Java a provider is a class that is loaded by its name; here the names of Apache's own classes
//! stand for what is built in. Any other class cannot be had, which is warned of as Java does.

use super::Config;
use super::error::{ConfigError, ExitCode};
use super::settings::Settings;
use ostler_node::auth::DigestAlgorithm;

/// Fills in all that depends on the providers.
pub(super) fn resolve(config: &mut Config, settings: &mut Settings) -> Result<(), ConfigError> {
    check_digest_algorithm(settings)?;
    // Java: ProviderRegistry, where the secure port brings its provider along.
    config.x509_auth_enabled = settings.port("secureClientPort").is_some();
    for (name, class) in settings.property_values() {
        if name.starts_with(PROVIDER_NAMES) {
            register(config, settings, &name, &class);
        }
    }
    let names = settings.setting("zookeeper.ensembleAuthName").map(|set| set.value.as_str());
    config.ensemble_auth_names =
        names.map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
    config.required_auth_schemes = required_schemes(config, settings)?;
    if !config.required_auth_schemes.is_empty()
        && config.required_auth_schemes.iter().all(|scheme| ["sasl", "x509"].contains(&&**scheme))
    {
        settings.warnings.push(
            "clients must log in by SASL or x509, and no client can in this version: all requests \
             will be refused"
                .to_owned(),
        );
    }
    Ok(())
}

/// Sets up the scheme that a class of Java stands for.
fn register(config: &mut Config, settings: &mut Settings, name: &str, class: &str) {
    let short = class.strip_prefix("org.apache.zookeeper.server.auth.").unwrap_or_default();
    let problem = match short {
        "IPAuthenticationProvider" => return,
        "DigestAuthenticationProvider" => return config.digest_auth_enabled = true,
        "EnsembleAuthenticationProvider" => return config.ensemble_auth_enabled = true,
        "SASLAuthenticationProvider" => {
            config.sasl_auth_enabled = true;
            "ids of the scheme sasl can stand in ACLs, but no client can log in by it yet"
                .to_owned()
        }
        "X509AuthenticationProvider" => {
            config.x509_auth_enabled = true;
            "ids of the scheme x509 can stand in ACLs, but no client can log in by it yet"
                .to_owned()
        }
        "KeyAuthenticationProvider" => "not implemented in this version: ignored".to_owned(),
        _ => format!("there is no provider {}, so its scheme does not exist", class.escape_debug()),
    };
    let place = settings.setting(name).map_or_else(String::new, |set| format!("{}: ", set.origin));
    let name = name.strip_prefix("zookeeper.").unwrap_or(name);
    settings.warnings.push(format!("{place}{}: {problem}", name.escape_debug()));
}

/// The schemes of which a client needs one, none if it needs none.
// Java: AuthenticationHelper, where the older switch wins over the list.
fn required_schemes(config: &Config, settings: &Settings) -> Result<Vec<String>, ConfigError> {
    let refuse = |key: &str, reason: String| match settings.setting(key) {
        Some(set) => Err(ConfigError::at(&set.origin, key, &set.value, reason)),
        None => Err(ConfigError::new(None, reason)),
    };
    let (key, schemes) = if settings.bool(REQUIRE_SASL) {
        (REQUIRE_SASL, vec!["sasl".to_owned()])
    } else if settings.bool(ENFORCED) {
        let listed = settings.text(SCHEMES).unwrap_or_default().split(',').map(str::trim);
        (SCHEMES, listed.filter(|scheme| !scheme.is_empty()).map(str::to_owned).collect())
    } else {
        return Ok(Vec::new());
    };
    if schemes.is_empty() {
        return refuse(ENFORCED, format!("{ENFORCED} is true {SCHEMES} must be configured."));
    }
    let missing = schemes.iter().find(|scheme| match scheme.as_str() {
        "ip" => false,
        "digest" => !config.digest_auth_enabled,
        "sasl" => !config.sasl_auth_enabled,
        "x509" => !config.x509_auth_enabled,
        "ensemble" => !config.ensemble_auth_enabled,
        _ => true,
    });
    match missing {
        Some(scheme) => refuse(key, format!("Authentication scheme {scheme} is not available.")),
        None => Ok(schemes),
    }
}

// Java: DigestAuthenticationProvider, whose class cannot be loaded then, even if it is disabled.
fn check_digest_algorithm(settings: &Settings) -> Result<(), ConfigError> {
    let name = "zookeeper.DigestAuthenticationProvider.digestAlg";
    match settings.setting(name) {
        Some(set) if DigestAlgorithm::from_name(&set.value).is_none() => {
            let reason = format!(
                "don't support this ACL digest algorithm: {} in the current environment",
                set.value.escape_debug()
            );
            let error = ConfigError::at(&set.origin, name, &set.value, reason);
            Err(error.exiting(ExitCode::UnexpectedError))
        }
        _ => Ok(()),
    }
}

const PROVIDER_NAMES: &str = "zookeeper.authProvider.";
const REQUIRE_SASL: &str = "zookeeper.sessionRequireClientSASLAuth";
const ENFORCED: &str = "zookeeper.enforce.auth.enabled";
const SCHEMES: &str = "zookeeper.enforce.auth.schemes";
