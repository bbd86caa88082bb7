//! A registry of services with load balancing, in the layout of Curator's service discovery.
//!
//! ```text
//! cargo run --example registry -- localhost:2181 /services serve web web-1 127.0.0.1:8080 blue
//! cargo run --example registry -- localhost:2181 /services list
//! cargo run --example registry -- localhost:2181 /services list web
//! cargo run --example registry -- localhost:2181 /services ask web 10
//! ```
//!
//! `serve` registers an instance (the last word, its payload, may be left out) until Ctrl-C. `ask`
//! prints which instance a client would use, so many times; `--random` and `--sticky` before the
//! servers choose another strategy than taking turns. Without a number it follows the service and
//! prints its instances whenever they change.

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, bail};
use ostler_client::Client;
use ostler_client::recipes::{Discovery, ServiceInstance, Strategy};

const USAGE: &str = "usage: registry [--random] [--sticky] servers path \
     (serve service id host:port [payload] | list [service] | ask service [times])";

#[tokio::main]
async fn main() -> Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut strategy = Strategy::round_robin();
    while words.first().is_some_and(|word| word.starts_with("--")) {
        strategy = match words.remove(0).as_str() {
            "--random" => Strategy::random(),
            "--sticky" => strategy.sticky(),
            _ => bail!(USAGE),
        };
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [servers, path, rest @ ..] = &words[..] else { bail!(USAGE) };
    let client = Client::connect(servers).await?;
    let discovery = Discovery::new(&client, path);
    match rest {
        ["serve", service, id, address] => serve(&discovery, service, id, address, None).await?,
        ["serve", service, id, address, payload] => {
            serve(&discovery, service, id, address, Some(payload)).await?;
        }
        ["list"] => {
            let mut names = discovery.names().await?;
            names.sort_unstable();
            names.iter().for_each(|name| println!("{name}"));
        }
        ["list", service] => {
            for instance in discovery.instances(service).await? {
                println!("{}", line(&instance));
            }
        }
        ["ask", service, times] => {
            ask(&discovery, service, times.parse().context(USAGE)?, strategy).await?;
        }
        ["ask", service] => follow(&discovery, service, strategy).await?,
        _ => bail!(USAGE),
    }
    client.close().await?;
    Ok(())
}

async fn serve(
    discovery: &Discovery,
    service: &str,
    id: &str,
    address: &str,
    payload: Option<&str>,
) -> Result<()> {
    let (host, port) = address.rsplit_once(':').context("an address is host:port")?;
    let mut instance = ServiceInstance::new(service, id).registered_now();
    instance.address = Some(host.to_owned());
    instance.port = Some(port.parse().context("the port is a number")?);
    instance.payload = payload.into();
    instance.uri_spec = Some("{scheme}://{address}:{port}".parse()?);
    let registration = discovery.register(instance).await?;
    println!("{} is registered", registration.path());
    tokio::signal::ctrl_c().await?;
    registration.unregister().await?;
    Ok(())
}

async fn ask(discovery: &Discovery, service: &str, times: u32, strategy: Strategy) -> Result<()> {
    let provider = discovery.provider(service, strategy);
    provider.ready().await?;
    for _ in 0..times {
        let instance = provider.choose().context("there is no instance")?;
        println!("{}", line(&instance));
    }
    Ok(())
}

async fn follow(discovery: &Discovery, service: &str, strategy: Strategy) -> Result<()> {
    let provider = discovery.provider(service, strategy);
    provider.ready().await?;
    let mut events = provider.events();
    let mut before = None;
    loop {
        let ids: Vec<_> = provider.instances().iter().map(|one| one.id.clone()).collect();
        if before.as_ref() != Some(&ids) {
            println!("{} instances: {}", ids.len(), ids.join(" "));
            before = Some(ids);
        }
        tokio::select! {
            event = events.next() => event.context("the client was closed")?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
    }
}

fn line(instance: &ServiceInstance) -> String {
    let address = instance.address.as_deref().unwrap_or("-");
    let port = instance.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    let payload = instance.payload.as_str().map(|text| format!(" {text}")).unwrap_or_default();
    format!("{} {address}:{port}{payload}", instance.id)
}
