package kafka

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What lies in the topic of states, for each partition that is read:
//
//	TOPIC/PARTITION                      the position, as JSON
//	TOPIC/PARTITION holder n shard       the n-th piece of a state, JSON or what else the holder gives, zstd over all pieces
//
// The words of a key are parted by a zero byte. A piece's header "pieces" is the number of all; one beyond is of
// an earlier, larger state.

// position is where to go on.
type position struct {
	Version int   `json:"version"`
	Offset  int64 `json:"offset"` // of the first record that the states don't know
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
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxState))
	})
)

// maxState is the largest state that is taken back, a bound against damage.
const maxState = 1 << 30

// piece is the key of a part of a state.
type piece struct {
	holder string
	n      int
	shard  string
}

func (p piece) key(at place) []byte {
	return []byte(strings.Join([]string{at.String(), p.holder, strconv.Itoa(p.n), p.shard}, "\x00"))
}

// splitState makes the messages of a state, each of at most so many bytes.
func splitState(topic string, at place, holder, shard string, state []byte, most int) ([]*kgo.Record, error) {
	zip, err := compressor()
	if err != nil {
		return nil, err
	}
	const rest = 1024 // the key's other words, headers, and what Kafka adds
	room := most - rest - len(shard) - len(at.topic)
	if room < 1024 {
		return nil, fmt.Errorf("topic %s: its max.message.bytes of %d leaves no room for a state with the key %.100q", topic, most, shard)
	}
	all := slices.Collect(slices.Chunk(zip.EncodeAll(state, nil), room))
	records := make([]*kgo.Record, len(all))
	for i, b := range all {
		records[i] = &kgo.Record{
			Topic: topic, Key: piece{holder, i, shard}.key(at), Value: b,
			Headers: []kgo.RecordHeader{{Key: headerPieces, Value: strconv.AppendInt(nil, int64(len(all)), 10)}},
		}
	}
	return records, nil
}

// gathered is what was read of a partition's states.
type gathered struct {
	at       place
	position []byte
	pieces   map[piece][]byte
	of       map[[2]string]int // pieces of a state, by holder and shard; -1 where that can't be read
}

func newGathered(at place) *gathered {
	return &gathered{at: at, pieces: map[piece][]byte{}, of: map[[2]string]int{}}
}

// add takes a record of the topic of states, in order: the last of a key counts, so what is wrong shows at the end.
func (g *gathered) add(r *kgo.Record) {
	words := strings.SplitN(string(r.Key), "\x00", 4)
	if words[0] != g.at.String() {
		return // another partition's, or not ours at all
	}
	if len(words) == 1 {
		g.position = r.Value
		return
	}
	if len(words) != 4 {
		return
	}
	n, err := strconv.Atoi(words[2])
	if err != nil || n < 0 {
		return
	}
	p := piece{words[1], n, words[3]}
	state := [2]string{p.holder, p.shard}
	if len(r.Value) == 0 { // a tombstone: it is to be forgotten
		delete(g.pieces, p)
		delete(g.of, state)
		return
	}
	for _, h := range r.Headers {
		if h.Key == headerPieces {
			if g.of[state], err = strconv.Atoi(string(h.Value)); err != nil {
				g.of[state] = -1
			}
		}
	}
	g.pieces[p] = r.Value
}

// offset is where to go on.
func (g *gathered) offset() (int64, error) {
	if len(g.position) == 0 {
		return 0, nil
	}
	var p position
	if err := json.Unmarshal(g.position, &p); err != nil {
		return 0, fmt.Errorf("its position can't be read: %w", err)
	}
	if p.Version != positionVersion {
		return 0, fmt.Errorf("its position is of version %d, this program knows %d", p.Version, positionVersion)
	}
	if p.Offset < 0 {
		return 0, fmt.Errorf("its position is %d", p.Offset)
	}
	return p.Offset, nil
}

// states puts the pieces together: by shard and holder.
func (g *gathered) states() (map[string]map[string][]byte, error) {
	unzip, err := decompressor()
	if err != nil {
		return nil, err
	}
	all := map[string]map[string][]byte{}
	for state, pieces := range g.of {
		holder, shard := state[0], state[1]
		if pieces < 1 {
			return nil, fmt.Errorf("the state of %s for %.100q: its number of pieces can't be read", holder, shard)
		}
		var zipped []byte
		for n := range pieces {
			b, ok := g.pieces[piece{holder, n, shard}]
			if !ok {
				return nil, fmt.Errorf("the state of %s for %.100q lacks piece %d of %d", holder, shard, n, pieces)
			}
			zipped = append(zipped, b...)
		}
		b, err := unzip.DecodeAll(zipped, nil)
		if err != nil {
			return nil, fmt.Errorf("the state of %s for %.100q: %w", holder, shard, err)
		}
		if all[shard] == nil {
			all[shard] = map[string][]byte{}
		}
		all[shard][holder] = b
	}
	return all, nil
}
