package flow

import "github.com/monban/monban/internal/packet"

// Table holds the live flows.
type Table struct{}

// Add counts one packet and returns the slot of its flow, valid until the next Add.
func (t *Table) Add(h *packet.Header, iface int) (slot int32) { return 0 }

// Notes gives the notes of the flow in slot, made on first use.
func (t *Table) Notes(slot int32) *Notes { return &Notes{} }

// Hurry brings the next record of the flow in slot forward to within a second.
func (t *Table) Hurry(slot int32) {}
