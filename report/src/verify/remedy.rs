//! What helps. A sealed run refuses every step, so that no remedy names one to be typed on it: it
//! says how to rehearse again and, where the same has happened to a real system, what to do there.

use artifacts::run::Run;

use crate::text::quote;

/// While the new server's slot still holds everything.
pub const FROM_THE_NEW_SLOT: &str = "stop the connector, PATCH its offset to the new slot's confirmed_flush_lsn, \
                                     resume, before anything advances the slot";
/// While the old server's slot does, and the old server is there.
pub const FROM_THE_OLD_SLOT: &str = "stop the connector, start the old server with every writer shut out, point the \
                                     connector back at it with the offset it had there, let it drain (what was changed \
                                     again since then arrives out of order), then repeat the switch";

/// `rehearse again with drain: cargo xtask upgrade --option b`; the safeguards that were left out
/// are in it again.
pub fn rehearse(run: &Run) -> String {
    if run.as_written {
        return format!("rehearse the corrected procedure: {}", command(run));
    }
    match run.safeguards.left_out.as_slice() {
        [] => format!("rehearse again: {}", command(run)),
        left_out => format!("rehearse again with {}: {}", left_out.join(" and "), command(run)),
    }
}

/// [`rehearse`], and what to do where it has happened to a real system.
pub fn rehearse_or(run: &Run, real: &str) -> String {
    format!("{}; where it has happened to a real system: {real}", rehearse(run))
}

/// The rehearsal with every safeguard; what is as by default is left out.
pub fn command(run: &Run) -> String {
    let unless = |value: &str, default: &str| (value != default).then(|| value.to_owned());
    let flags = [
        ("option", Some(run.option.clone())),
        ("from", unless(&run.from.to_string(), "15")),
        ("to", unless(&run.to.to_string(), "16")),
        ("transfer", run.transfer.as_deref().and_then(|how| unless(how, "copy"))),
        ("lsn-case", unless(&run.lsn_case, "ahead")),
        ("kafka", unless(&run.kafka, "kraft")),
        ("format", unless(&run.format, "json")),
    ];
    let flags = flags.into_iter().filter_map(|(flag, value)| Some(format!(" --{flag} {}", quote(&value?))));
    std::iter::once("cargo xtask upgrade".to_owned()).chain(flags).collect()
}
