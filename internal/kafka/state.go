package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What lies in the topic of states, in the partition of the same number, for each group and partition that is read:
//
//	GROUP TOPIC/PARTITION                   the position, as JSON
//	GROUP TOPIC/PARTITION holder n shard    the n-th piece of a state, zstd over all pieces
//
// The words of a key are parted by a zero byte. The header "pieces" of the first piece is the number of all; one beyond
// is of an earlier, larger state. Without a first piece there is no state.

// position is where to go on.
type position struct {
	Version int    `json:"version"`
	Offset  int64  `json:"offset"`          // of the first record that the states don't know
	Topic   string `json:"topic,omitempty"` // id of the topic, which is another one when it was made anew
}

const positionVersion = 1

const headerPieces = "pieces"

// stateSettings keep the topic of states small, as a partition of it is read when one moves.
func stateSettings() map[string]*string {
	set := markSettings()
	segment := "16777216"
	set["segment.bytes"] = &segment
	return set
}

var (
	compressor = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	})
	decompressor = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBatch))
	})
)

// owner is who a state is of: a partition, as a group reads it.
type owner struct {
	group string
	place
}

func (o owner) key() []byte { return []byte(o.group + "\x00" + o.place.String()) }

// piece is the key of a part of a state.
type piece struct {
	holder string
	n      int
	shard  string
}

func (p piece) key(o owner) []byte {
	return []byte(strings.Join([]string{o.group, o.place.String(), p.holder, strconv.Itoa(p.n), p.shard}, "\x00"))
}

// splitState makes the messages of a state, each of at most so many bytes.
func splitState(topic string, o owner, holder, shard string, state []byte, most int) ([]*kgo.Record, error) {
	if len(state) > maxBatch {
		return nil, fmt.Errorf("the state of %s for %.100q has %d bytes, %d can be kept: lower its bounds, as max_devices", holder, shard, len(state), maxBatch)
	}
	zip, err := compressor()
	if err != nil {
		return nil, err
	}
	const rest = 1024 // the key's other words, headers, and what Kafka adds
	room := most - rest - len(shard) - len(o.topic) - len(o.group)
	if room < 1024 {
		return nil, fmt.Errorf("topic %s: its max.message.bytes of %d leaves no room for a state with the key %.100q", topic, most, shard)
	}
	all := slices.Collect(slices.Chunk(zip.EncodeAll(state, nil), room))
	records := make([]*kgo.Record, len(all))
	for i, b := range all {
		records[i] = &kgo.Record{
			Topic: topic, Key: piece{holder, i, shard}.key(o), Value: b,
			Headers: []kgo.RecordHeader{{Key: headerPieces, Value: strconv.AppendInt(nil, int64(len(all)), 10)}},
		}
	}
	return records, nil
}

// gathered is what was read of a partition's states.
type gathered struct {
	owner    owner
	position []byte
	pieces   map[piece][]byte
	of       map[[2]string]int // pieces of a state, by holder and shard; -1 where that can't be read
}

func newGathered(o owner) *gathered {
	return &gathered{owner: o, pieces: map[piece][]byte{}, of: map[[2]string]int{}}
}

// add takes a record of the topic of states, in order: the last of a key counts, so what is wrong shows at the end.
func (g *gathered) add(r *kgo.Record) {
	words := strings.SplitN(string(r.Key), "\x00", 5)
	if len(words) < 2 || words[0] != g.owner.group || words[1] != g.owner.place.String() {
		return // somebody else's
	}
	if len(words) == 2 {
		g.position = r.Value
		return
	}
	if len(words) != 5 {
		return
	}
	n, err := strconv.Atoi(words[3])
	if err != nil || n < 0 {
		return
	}
	p := piece{words[2], n, words[4]}
	state := [2]string{p.holder, p.shard}
	if len(r.Value) == 0 { // a tombstone: it is to be forgotten
		delete(g.pieces, p)
		if n == 0 {
			delete(g.of, state)
		}
		return
	}
	for _, h := range r.Headers {
		if n == 0 && h.Key == headerPieces {
			if g.of[state], err = strconv.Atoi(string(h.Value)); err != nil {
				g.of[state] = -1
			}
		}
	}
	g.pieces[p] = r.Value
}

// at is where to go on.
func (g *gathered) at() (p position, err error) {
	if len(g.position) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(g.position, &p); err != nil {
		return position{}, fmt.Errorf("its position can't be read: %w", err)
	}
	if p.Version != positionVersion {
		return position{}, fmt.Errorf("its position is of version %d, this program knows %d", p.Version, positionVersion)
	}
	if p.Offset < 0 {
		return position{}, fmt.Errorf("its position is %d", p.Offset)
	}
	return p, nil
}

// states puts the pieces together: by shard and holder. Those that can't be are in the error.
func (g *gathered) states() (map[string]map[string][]byte, error) {
	unzip, err := decompressor()
	if err != nil {
		return nil, err
	}
	var damaged error
	all := map[string]map[string][]byte{}
	for state, pieces := range g.of {
		holder, shard := state[0], state[1]
		b, err := g.state(unzip, holder, shard, pieces)
		if err != nil {
			damaged = errors.Join(damaged, fmt.Errorf("the state of %s for %.100q: %w", holder, shard, err))
			continue
		}
		if all[shard] == nil {
			all[shard] = map[string][]byte{}
		}
		all[shard][holder] = b
	}
	return all, damaged
}

func (g *gathered) state(unzip *zstd.Decoder, holder, shard string, pieces int) ([]byte, error) {
	if pieces < 1 {
		return nil, errors.New("its number of pieces can't be read")
	}
	var zipped []byte
	for n := range pieces {
		b, ok := g.pieces[piece{holder, n, shard}]
		if !ok {
			return nil, fmt.Errorf("it lacks piece %d of %d", n, pieces)
		}
		zipped = append(zipped, b...)
	}
	return unzip.DecodeAll(zipped, nil)
}
