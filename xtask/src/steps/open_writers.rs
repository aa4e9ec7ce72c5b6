//! `open-writers`: lifts the fence, on the new server only.

use artifacts::snapshot::Role;
use stack::postgres::WRITER_ROLE;

use crate::cx::Cx;

/// Lets the writer role log in again.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    cx.pg(Role::New).await?.lift_fence(WRITER_ROLE).await?;
    cx.say("app_writer may log in on the new server");
    Ok(())
}
