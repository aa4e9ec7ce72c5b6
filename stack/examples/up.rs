//! `up NAME [FROM TO]`, `down NAME [--volumes]`, `ps NAME`, `new NAME`, `doctor NAME`: for trying out.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use stack::{Options, Stack, StackLock, observe};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |n: usize| args.get(n).map(String::as_str).unwrap_or_default();
    let has = |flag: &str| args.iter().any(|a| a == flag);
    let name = arg(1).to_owned();
    let options = Options { name, install: !has("--no-install"), standard_ports: has("--standard") };
    let _lock = StackLock::acquire(arg(1), has("--wait"))?;
    let mut stack = Stack::open(options)?;
    let observer = observe::silent();
    let start = std::time::Instant::now();
    let number = |n: usize, default| arg(n).parse().unwrap_or(default);
    match arg(0) {
        "up" => stack.up(number(2, 15), number(3, 16), &observer).await?,
        "ensure" => stack.ensure_running(&observer).await?,
        "new" => stack.replace_postgres(&observer).await?,
        "down" => println!("{:?}", stack.down(has("--volumes")).await?),
        "doctor" => println!("{}", serde_json::to_string_pretty(&stack.doctor())?),
        "psql" => {
            let rest: Vec<&str> = args[2..].iter().map(String::as_str).collect();
            println!("{}", stack.exec("psql", artifacts::snapshot::Role::Old, &rest, &observer).await?);
        }
        _ => {}
    }
    println!("{} took {:.2} s", arg(0), start.elapsed().as_secs_f64());
    let e = stack.endpoints();
    println!("kafka {} connect {} postgres {:?}\n{:?}", e.kafka, e.connect, e.postgres, stack.versions());
    for p in stack.processes() {
        let mib = p.rss_bytes.map(|b| b >> 20);
        println!(
            "{} alive={} pid={:?} port={:?} MiB={mib:?} {}",
            p.service,
            p.alive,
            p.pid,
            p.port,
            p.log.display()
        );
    }
    Ok(())
}
