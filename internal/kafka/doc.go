// Package kafka hands messages to a Kafka cluster so that none is lost, and none is there twice, and judges
// messages from there so that each counts once.
//
// A [Producer] promises that Send returns without an error only when every replica that is in sync has all
// messages which the cluster can take, that those of one key stay in order, and that what the
// cluster will never take (too large, not valid for the topic) comes back as a [Refusal] instead of
// being sent for ever. With [Config.TransactionalID] a message that was sent, but whose sender was
// killed before it knew, is told from one that was not: each transaction carries the marks of its
// messages to a compacted topic, which is read again at the start, and messages with these marks
// are passed over. So a queue on disk that hands out its last batch again makes no doubles.
//
// A [Group] promises the same for what is made of messages: what is written, what is learned and the offset that both
// cover are one transaction, by partition. Its topic of states can be used by no other version than it was made
// for.
//
// Both give up speed for that: one transaction at a time. A producer waits for the cluster as long as its
// context lasts, holds one call's messages in memory, and leaves bounds and repeats to its caller.
package kafka
