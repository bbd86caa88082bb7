//! A pattern for the URI of an instance: `{scheme}://{address}:{port}`.

use std::fmt;

use serde_json::{Value, json};

use super::instance::ServiceInstance;

/// A pattern with variables in braces, which the fields of an instance fill.
///
/// `scheme` (`https` when there is an encrypted port, otherwise `http`), `name`, `id`, `address`,
/// `port`, `ssl-port`, `registration-time-utc`, `service-type`; `[` and `]` stand for braces.
/// Others are left out.
///
/// ```
/// use ostler_client::recipes::{ServiceInstance, UriSpec};
///
/// let mut instance = ServiceInstance::new("web", "a-1");
/// instance.address = Some("10.0.0.1".to_owned());
/// instance.port = Some(8080);
/// let spec: UriSpec = "{scheme}://{address}:{port}/{name}".parse().unwrap();
/// assert_eq!(spec.build(&instance), "http://10.0.0.1:8080/web");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriSpec {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    value: String,
    is_variable: bool,
}

impl UriSpec {
    /// The URI of this instance.
    pub fn build(&self, instance: &ServiceInstance) -> String {
        let value = |part: &Part| match part.is_variable {
            true => variable(instance, &part.value),
            false => part.value.clone(),
        };
        self.parts.iter().map(value).collect()
    }

    pub(super) fn to_json(&self) -> String {
        let part = |part: &Part| {
            let value = Value::from(part.value.as_str());
            format!("{{\"value\":{value},\"variable\":{}}}", part.is_variable)
        };
        let parts: Vec<_> = self.parts.iter().map(part).collect();
        format!("{{\"parts\":[{}]}}", parts.join(","))
    }

    pub(super) fn from_json(json: &Value) -> Result<Self, ()> {
        let part = |part: &Value| {
            let value = part.get("value")?.as_str()?.to_owned();
            let is_variable = part.get("variable").unwrap_or(&json!(false)).as_bool()?;
            Some(Part { value, is_variable })
        };
        let parts = json.get("parts").and_then(Value::as_array).ok_or(())?;
        let parts: Option<Vec<_>> = parts.iter().map(part).collect();
        Ok(Self { parts: parts.ok_or(())? })
    }
}

fn variable(instance: &ServiceInstance, name: &str) -> String {
    let number = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
    match name {
        "scheme" if instance.ssl_port.is_some() => "https".to_owned(),
        "scheme" => "http".to_owned(),
        "name" => instance.name.clone(),
        "id" => instance.id.clone(),
        "address" => instance.address.clone().unwrap_or_default(),
        "port" => number(instance.port),
        "ssl-port" => number(instance.ssl_port),
        "registration-time-utc" => instance.registration_time_ms.to_string(),
        "service-type" => instance.service_type.name().to_lowercase(),
        "[" => "{".to_owned(),
        "]" => "}".to_owned(),
        _ => String::new(),
    }
}

impl std::str::FromStr for UriSpec {
    type Err = InvalidUriSpec;

    fn from_str(text: &str) -> Result<Self, InvalidUriSpec> {
        let mut parts = Vec::new();
        let mut is_variable = false;
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(['{', '}']).unwrap_or(rest.len());
            let (value, behind) = rest.split_at(end);
            if !value.is_empty() {
                let value = if is_variable { value.trim() } else { value };
                parts.push(Part { value: value.to_owned(), is_variable });
            }
            let brace = behind.chars().next();
            if brace.is_some_and(|brace| (brace == '{') == is_variable) {
                return Err(InvalidUriSpec);
            }
            is_variable ^= brace.is_some();
            rest = behind.get(1..).unwrap_or_default();
        }
        if is_variable { Err(InvalidUriSpec) } else { Ok(Self { parts }) }
    }
}

/// The braces of a pattern do not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUriSpec;

impl fmt::Display for InvalidUriSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the braces of the URI pattern do not match")
    }
}

impl std::error::Error for InvalidUriSpec {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let instance = ServiceInstance::new("web", "a-1");
        let build = |pattern: &str| {
            pattern.parse::<UriSpec>().map(|spec| spec.build(&instance)).map_err(|_| "braces")
        };
        assert_eq!(build("{ scheme }://h/{name}/{id}"), Ok("http://h/web/a-1".to_owned()));
        assert_eq!(build("{[}{service-type}{]}{none}"), Ok("{dynamic}".to_owned()));
        assert_eq!(build(""), Ok(String::new()));
        for bad in ["{", "}", "{a{b}}", "a}b", "{a"] {
            assert_eq!(build(bad), Err("braces"), "{bad}");
        }
    }
}
