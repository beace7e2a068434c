//! The three pools, each with a member of memory only.

use jackfield_pool::{Connect, PoolOptions, Pooled};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A pool as the bench uses it. A dropped guard is a return.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    type Guard: Send;
    fn get(&self) -> impl Future<Output = Self::Guard> + Send;
}

/// What is pooled.
#[derive(Debug, Default)]
pub(crate) struct Member(#[allow(dead_code, reason = "it has a size")] u64);

#[derive(Clone)]
pub(crate) struct Ours(jackfield_pool::Pool<Memory>);

pub(crate) struct Memory;

impl Connect for Memory {
    type Member = Member;

    async fn open(&self, _: Instant) -> jackfield_plugin_api::Result<Member> {
        Ok(Member::default())
    }

    fn is_open(&self, _: &Member) -> bool {
        true
    }
}

impl Ours {
    pub(crate) fn new(size: u32) -> Self {
        let options = PoolOptions { max_size: size, ..PoolOptions::default() };
        Ours(jackfield_pool::Pool::new(Memory, &options).expect("a pool"))
    }
}

impl Subject for Ours {
    type Guard = Pooled<Memory>;

    async fn get(&self) -> Self::Guard {
        self.0.get().await.expect("a member")
    }
}

#[derive(Clone)]
pub(crate) struct Deadpool(deadpool::managed::Pool<Manager>);

pub(crate) struct Manager;

impl deadpool::managed::Manager for Manager {
    type Type = Member;
    type Error = Infallible;

    async fn create(&self) -> Result<Member, Infallible> {
        Ok(Member::default())
    }

    async fn recycle(
        &self,
        _: &mut Member,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

impl Deadpool {
    pub(crate) fn new(size: u32) -> Self {
        let pool = deadpool::managed::Pool::builder(Manager).max_size(size as usize);
        Deadpool(pool.build().expect("a pool"))
    }
}

impl Subject for Deadpool {
    type Guard = deadpool::managed::Object<Manager>;

    async fn get(&self) -> Self::Guard {
        self.0.get().await.expect("a member")
    }
}

#[derive(Clone)]
pub(crate) struct Bb8(bb8::Pool<Manager>);

impl bb8::ManageConnection for Manager {
    type Connection = Member;
    type Error = Infallible;

    async fn connect(&self) -> Result<Member, Infallible> {
        Ok(Member::default())
    }

    async fn is_valid(&self, _: &mut Member) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Member) -> bool {
        false
    }
}

impl Bb8 {
    pub(crate) async fn new(size: u32) -> Self {
        let pool = bb8::Pool::builder().max_size(size).test_on_check_out(false);
        Bb8(pool.build(Manager).await.expect("a pool"))
    }
}

impl Subject for Bb8 {
    type Guard = bb8::PooledConnection<'static, Manager>;

    async fn get(&self) -> Self::Guard {
        self.0.get_owned().await.expect("a member")
    }
}

/// What waiting for a turn takes by itself: permits of tokio's semaphore, in the order of requests, without
/// any member.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new(size: u32) -> Self {
        Turns(Arc::new(Semaphore::new(size as usize)))
    }
}

impl Subject for Turns {
    type Guard = OwnedSemaphorePermit;

    async fn get(&self) -> Self::Guard {
        Arc::clone(&self.0).acquire_owned().await.expect("a permit")
    }
}
