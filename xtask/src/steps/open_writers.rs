//! `open-writers`: lifts the fence, on the new server only. What `--add-column` asks for comes before that.

use artifacts::snapshot::Role;
use stack::postgres::{ADD_COLUMN_SQL, WRITER_ROLE};

use crate::cx::Cx;

/// Adds the column, then lets the writer role log in again.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let pg = cx.pg(Role::New).await?;
    if cx.info.add_column {
        pg.execute(ADD_COLUMN_SQL).await?;
    }
    pg.lift_fence(WRITER_ROLE).await?;
    let column = if cx.info.add_column { "public.orders has a new column, " } else { "" };
    cx.say(format!("{column}app_writer may log in on the new server"));
    Ok(())
}
