//! What the data generator is compared with: pgbench, which sends the same statements in the same way (BEGIN and the
//! changes in one go, then COMMIT) to the same rows. What it decides is in two files beside this one; its
//! statements are those of the data generator.
//!
//! It has no ledger and does not look at what RETURNING gives. Its texts have one size, the mean of the data
//! generator's; of the statements that change two to four rows, each changes three; it waits once for the answers to
//! all changes of a transaction, where the data generator has a sync message behind each.

use std::collections::HashMap;
use std::process::Command;

use anyhow::Context;

/// A transaction; `change` on a line of its own stands for [`CHANGE`].
const TRANSACTION: &str = include_str!("transaction.pgbench");
const CHANGE: &str = include_str!("change.pgbench");
/// In a literal too, pgbench takes what follows a colon for a variable of its own.
const COLON: [(&str, &str); 3] = [("'YYYY-", "E'YYYY-"), (":MI", r"\x3aMI"), (":SS", r"\x3aSS")];
/// What every client begins with. No variable of pgbench can be null: the wide texts, which are null in one of 16 cases,
/// are shorter by as much.
const VARIABLES: [(&str, &str); 9] = [
    ("customers", "0"),
    ("orders", "0"),
    ("documents", "0"),
    ("customers_gone", "0"),
    ("orders_gone", "0"),
    ("documents_gone", "0"),
    ("phrase", "phrase 500000"),
    ("email", "user500000000@example.test"),
    ("status", "shipped"),
];
const WIDE: usize = 200 * 15 / 16;
const BODY: usize = 2_400 * 15 / 16;

/// The script for pgbench.
pub(super) fn script() -> String {
    let statements: HashMap<String, String> = data_generator::statements().into_iter().collect();
    let text = TRANSACTION
        .replace("\nchange\n", &format!("\n{CHANGE}"))
        .replace("\nchange\n", &format!("\n{CHANGE}"));
    text.lines().map(|line| sent(line, &statements).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// `DeleteOrder :key | 1;`: the statement of that name with its parameters; none for any other line.
fn sent(line: &str, statements: &HashMap<String, String>) -> Option<String> {
    let call = line.strip_suffix(';')?;
    let (name, values) = call.split_once(' ').unwrap_or((call, ""));
    let text = escaped(statements.get(name)?);
    let given = values.split(" | ").enumerate();
    Some(given.fold(text, |text, (n, value)| text.replace(&format!("${}", n + 1), value)) + ";")
}

fn escaped(statement: &str) -> String {
    COLON.iter().fold(statement.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Adds what it needs to make so many transactions by each of so many clients.
pub(super) fn options(command: &mut Command, clients: u32, transactions: u64) {
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=1", "--random-seed=1"]);
    command.arg(format!("--client={clients}")).arg(format!("--transactions={transactions}"));
    let (wide, body) = (incompressible(WIDE), incompressible(BODY));
    let texts = [("wide", wide.as_str()), ("body", &body), ("amount", "500000.50"), ("id", "1000000")];
    for (name, value) in VARIABLES.into_iter().chain(texts) {
        command.arg(format!("--define={name}={value}"));
    }
}

/// Text that PostgreSQL does not make shorter.
fn incompressible(size: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state % 64) as u8)
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// Transactions per second, without the time that connecting took, as it says itself.
pub(super) fn rate(said: &str) -> anyhow::Result<f64> {
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench has not said how fast it was: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_the_data_generator_is_sent_with_all_its_parameters() {
        let script = script();
        // The transaction id is asked for only when no row was touched; there is no COPY unless it is asked for.
        let unasked = ["Xid", "CopyOrders", "CopiedOrders"];
        let sent = |(name, _): &(String, String)| !unasked.contains(&name.as_str());
        for (name, text) in data_generator::statements().into_iter().filter(sent) {
            let sent = script
                .lines()
                .filter_map(|line| line.strip_suffix(';'))
                .any(|line| is(&escaped(&text), line));
            assert!(sent, "{name} is not in\n{script}");
        }
        assert!(!script.contains('$') && !script.lines().any(|line| line == "change"), "{script}");
        assert_eq!(script.matches("INSERT INTO public.customers").count(), 4);
    }

    /// Whether a line is a statement whose parameters are something else.
    fn is(statement: &str, line: &str) -> bool {
        let mut parts =
            statement.split('$').enumerate().map(|(n, part)| if n == 0 { part } else { &part[1..] });
        let first = parts.next().and_then(|first| line.strip_prefix(first));
        let rest = parts.try_fold(first, |rest, part| {
            Some(rest.and_then(|rest| rest.find(part).map(|at| &rest[at + part.len()..])))
        });
        rest.flatten().is_some_and(str::is_empty)
    }

    /// `HH24:MI:SS` would become two parameters.
    #[test]
    fn colons_are_variables_or_casts() {
        let known: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
        for line in script().lines().filter(|line| !line.starts_with("--")) {
            for (at, _) in line.match_indices(':') {
                let rest = &line[at + 1..];
                let name: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let cast = rest.starts_with(':') || line[..at].ends_with(':');
                let set = script().contains(&format!("\\set {name} "));
                let given = known.contains(&name.as_str())
                    || ["wide", "body", "amount", "client_id"].contains(&&*name);
                assert!(cast || set || given, "{name} in {line}");
            }
        }
    }

    #[test]
    fn what_it_says_is_read() {
        let said = "number of clients: 8\ntps = 8923.125000 (without initial connection time)\n";
        assert!((rate(said).unwrap() - 8923.125).abs() < 1e-9);
        assert!(rate("pgbench: error").unwrap_err().to_string().contains("pgbench: error"));
    }
}
