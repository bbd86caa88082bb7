//! What is known of one instance of a service, and the JSON in which Curator keeps it.
//!
//! ```text
//! {"name":"web","id":"a-1","address":"10.0.0.1","port":8080,"sslPort":null,"payload":"blue",
//!  "registrationTimeUTC":1700000000123,"serviceType":"DYNAMIC","uriSpec":null}
//! ```
//!
//! Fields in this order, no spaces; `enabled` only when it is false, since older readers stop at
//! fields they do not know. When read, any of them may be missing and others may be there.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::uri::UriSpec;

/// How long an instance stays registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// As long as its process's session: an ephemeral node.
    #[default]
    Dynamic,
    /// Until it is unregistered.
    Static,
    /// Until it is unregistered; Curator knows two words for it.
    Permanent,
    /// Ephemeral, with a number behind the id.
    DynamicSequential,
}

impl ServiceType {
    /// The word in the JSON.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("DYNAMIC", |(_, name)| name)
    }

    /// Whether it goes with its session.
    pub fn is_dynamic(self) -> bool {
        matches!(self, Self::Dynamic | Self::DynamicSequential)
    }
}

const NAMES: [(ServiceType, &str); 4] = [
    (ServiceType::Dynamic, "DYNAMIC"),
    (ServiceType::Static, "STATIC"),
    (ServiceType::Permanent, "PERMANENT"),
    (ServiceType::DynamicSequential, "DYNAMIC_SEQUENTIAL"),
];

/// One instance of a service.
///
/// ```
/// use ostler_client::recipes::ServiceInstance;
///
/// let mut instance = ServiceInstance::new("web", "a-1");
/// instance.address = Some("10.0.0.1".to_owned());
/// instance.port = Some(8080);
/// let json = instance.to_json();
/// assert_eq!(ServiceInstance::from_json(json.as_bytes()), Ok(instance));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceInstance {
    /// The service's name, a node below the discovery's base path.
    pub name: String,
    /// The instance's own id, a node below the service's.
    pub id: String,
    /// Host name or address.
    pub address: Option<String>,
    /// Port of the plain protocol.
    pub port: Option<u16>,
    /// Port of the encrypted protocol.
    pub ssl_port: Option<u16>,
    /// Anything else. Curator's readers take text and numbers as they are; an object has to name
    /// its Java class under `@class`.
    pub payload: Value,
    /// When it was registered, in milliseconds since 1970.
    pub registration_time_ms: i64,
    /// How long it stays.
    pub service_type: ServiceType,
    /// How to make a URI of it.
    pub uri_spec: Option<UriSpec>,
    /// Whether it is to be given to users.
    pub enabled: bool,
}

impl ServiceInstance {
    /// An enabled dynamic instance with no address yet.
    pub fn new(name: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            id: id.into(),
            address: None,
            port: None,
            ssl_port: None,
            payload: Value::Null,
            registration_time_ms: 0,
            service_type: ServiceType::Dynamic,
            uri_spec: None,
            enabled: true,
        }
    }

    /// The same, registered at the present time of the operating system's clock.
    #[must_use]
    pub fn registered_now(mut self) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.registration_time_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// The URI of its [`UriSpec`]; nothing when it has none.
    pub fn uri(&self) -> Option<String> {
        self.uri_spec.as_ref().map(|spec| spec.build(self))
    }

    /// The JSON that is stored.
    pub fn to_json(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let number = |port: Option<u16>| Value::from(port).to_string();
        let uri_spec = self.uri_spec.as_ref().map(UriSpec::to_json);
        let null = || "null".to_owned();
        let fields = [
            ("name", text(&self.name)),
            ("id", text(&self.id)),
            ("address", self.address.as_deref().map_or_else(null, text)),
            ("port", number(self.port)),
            ("sslPort", number(self.ssl_port)),
            ("payload", self.payload.to_string()),
            ("registrationTimeUTC", self.registration_time_ms.to_string()),
            ("serviceType", text(self.service_type.name())),
            ("uriSpec", uri_spec.unwrap_or_else(null)),
        ];
        let disabled = (!self.enabled).then(|| ("enabled", "false".to_owned()));
        let fields = fields.into_iter().chain(disabled);
        let fields: Vec<_> = fields.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// [`InvalidInstance`] when it is not JSON of this shape.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidInstance> {
        let json: Value =
            serde_json::from_slice(json).map_err(|error| InvalidInstance(error.to_string()))?;
        let Value::Object(fields) = json else {
            return Err(InvalidInstance("it is not an object".to_owned()));
        };
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let wrong = |name: &str| InvalidInstance(format!("{name} is of another kind"));
        let text = |name: &str| match field(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(name)),
        };
        let port = |name: &str| match field(name) {
            None => Ok(None),
            Some(value) => {
                let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
                port.map(Some).ok_or_else(|| wrong(name))
            }
        };
        let service_type = match text("serviceType")? {
            None => ServiceType::Dynamic,
            Some(word) => {
                let known = NAMES.iter().find(|(_, name)| *name == word);
                known.map(|(kind, _)| *kind).ok_or_else(|| wrong("serviceType"))?
            }
        };
        let uri_spec = field("uriSpec").map(UriSpec::from_json).transpose();
        Ok(Self {
            name: text("name")?.unwrap_or_default(),
            id: text("id")?.unwrap_or_default(),
            address: text("address")?,
            port: port("port")?,
            ssl_port: port("sslPort")?,
            payload: fields.get("payload").cloned().unwrap_or_default(),
            registration_time_ms: match field("registrationTimeUTC") {
                None => 0,
                Some(value) => value.as_i64().ok_or_else(|| wrong("registrationTimeUTC"))?,
            },
            service_type,
            uri_spec: uri_spec.map_err(|()| wrong("uriSpec"))?,
            enabled: field("enabled").is_none_or(|value| *value != Value::Bool(false)),
        })
    }
}

/// The data of an instance's node cannot be read; says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidInstance(String);

impl fmt::Display for InvalidInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no service instance: {}", self.0)
    }
}

impl std::error::Error for InvalidInstance {}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Curator 5.9 writes them.
    const PLAIN: &str = "{\"name\":\"web\",\"id\":\"a-1\",\"address\":\"10.0.0.1\",\"port\":8080,\
        \"sslPort\":null,\"payload\":null,\"registrationTimeUTC\":1700000000123,\
        \"serviceType\":\"DYNAMIC\",\"uriSpec\":null}";
    const FULL: &str = "{\"name\":\"web\",\"id\":\"a-1\",\"address\":\"10.0.0.1\",\"port\":8080,\
        \"sslPort\":8443,\"payload\":\"he\\\"lloé/\",\"registrationTimeUTC\":1700000000123,\
        \"serviceType\":\"STATIC\",\"uriSpec\":{\"parts\":[{\"value\":\"scheme\",\
        \"variable\":true},{\"value\":\"://\",\"variable\":false},{\"value\":\"address\",\
        \"variable\":true},{\"value\":\":\",\"variable\":false},{\"value\":\"port\",\
        \"variable\":true},{\"value\":\"/x\",\"variable\":false}]}}";
    const DISABLED: &str = "{\"name\":\"web\",\"id\":\"a-1\",\"address\":\"10.0.0.1\",\
        \"port\":8080,\"sslPort\":null,\"payload\":{\"@class\":\"java.util.HashMap\",\"k\":1,\
        \"l\":[1,2]},\"registrationTimeUTC\":1700000000123,\
        \"serviceType\":\"DYNAMIC_SEQUENTIAL\",\"uriSpec\":null,\"enabled\":false}";

    #[test]
    fn reads_and_writes_as_curator_does() {
        for json in [PLAIN, FULL, DISABLED] {
            let instance = ServiceInstance::from_json(json.as_bytes()).unwrap();
            assert_eq!(instance.to_json(), json);
        }
        let full = ServiceInstance::from_json(FULL.as_bytes()).unwrap();
        assert_eq!(full.payload, Value::from("he\"lloé/"));
        assert_eq!(full.uri().as_deref(), Some("https://10.0.0.1:8080/x"));
    }

    #[test]
    fn takes_what_is_there() {
        let sparse = ServiceInstance::from_json(b"{\"id\":\"i\",\"more\":[1]}").unwrap();
        assert_eq!(sparse, ServiceInstance::new("", "i"));
        for bad in ["", "[]", "{\"port\":\"80\"}", "{\"port\":-1}", "{\"serviceType\":\"NEW\"}"] {
            assert!(ServiceInstance::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
