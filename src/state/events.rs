//! Keyspace notifications: what happened to keys, published on channels named after the key and after the event.

use super::pubsub::PubSub;
use crate::keyspace::effects::Publisher;
use crate::types::events::Class;
use std::io::Write;
use std::sync::Arc;

/// Publishes keyspace events.
pub struct KeyspaceEvents(Arc<PubSub>);

impl KeyspaceEvents {
    pub fn new(pubsub: Arc<PubSub>) -> KeyspaceEvents {
        KeyspaceEvents(pubsub)
    }
}

impl Publisher for KeyspaceEvents {
    fn publish(&self, classes: Class, db: usize, event: &str, key: &[u8]) {
        let mut channel = Vec::new();
        // Writing to a vector cannot fail.
        if classes.intersects(Class::KEYSPACE) {
            let _ = write!(channel, "__keyspace@{db}__:");
            channel.extend_from_slice(key);
            self.0.publish(&channel, event.as_bytes());
        }
        if classes.intersects(Class::KEYEVENT) {
            channel.clear();
            let _ = write!(channel, "__keyevent@{db}__:{event}");
            self.0.publish(&channel, key);
        }
    }
}
