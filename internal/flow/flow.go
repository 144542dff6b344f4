// Package flow meters packets into bidirectional flows. It promises that every
// packet given to the [Table] is counted in exactly one record, that memory is
// bounded by the table's capacity, and that nothing is allocated per packet. It
// gives up payload: what a conversation says is noted by others through [Notes].
package flow
