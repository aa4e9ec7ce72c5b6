//! A stack of the test's own, taken down with its folder whatever happens to the test.

use std::ops::{Deref, DerefMut};

use artifacts::snapshot::Role;
use stack::observe::silent;
use stack::postgres::Login;
use stack::{Kind, Options, Parts, Stack};

/// A stack that does not outlive the test.
pub(crate) struct Lab(Stack);

impl Lab {
    /// Nothing runs yet.
    pub(crate) fn open(name: &str) -> Self {
        Self(Stack::open(options(name)).unwrap())
    }

    /// A stack with an old server of version 15.
    #[allow(dead_code, reason = "not every test starts this way")]
    pub(crate) async fn up(name: &str) -> Self {
        let mut lab = Self::open(name);
        lab.up(15, 16, Parts::default(), &silent()).await.unwrap();
        lab
    }

    /// As the next command would see it.
    #[allow(dead_code, reason = "not every test opens it again")]
    pub(crate) fn reopen(&mut self, name: &str) {
        self.0 = Stack::open(options(name)).unwrap();
    }

    /// Where and as whom to connect.
    pub(crate) fn login(&self, role: Role, user: &str, password: &str, database: &str) -> Login {
        let server = self.endpoints().postgres(role).unwrap().clone();
        let (user, password, database) = (user.into(), password.into(), database.into());
        Login { host: server.host, port: server.port, user, password, database }
    }
}

fn options(name: &str) -> Options {
    Options {
        name: format!("{name}-{}", std::process::id()),
        kind: Kind::Native,
        install: true,
        standard_ports: false,
    }
}

impl Deref for Lab {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.0
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Stack {
        &mut self.0
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A thread of its own: the test's runtime may be unwinding.
        std::thread::scope(|scope| {
            let down = || tokio::runtime::Runtime::new().unwrap().block_on(self.0.down(true));
            let ended = scope.spawn(down).join();
            assert!(std::thread::panicking() || matches!(ended, Ok(Ok(_))), "{ended:?}");
        });
    }
}
