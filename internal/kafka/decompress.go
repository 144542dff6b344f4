package kafka

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxBatch is how large a batch may become when it is decompressed, in bytes: a message of a few kilobytes can hold
// gigabytes of zeros. What Monban writes is a megabyte unless max_message_bytes says more.
const maxBatch = 64 << 20

// bounded is the client's decompressor with a bound. Snappy has one by itself, of about twenty times.
type bounded struct {
	kgo.Decompressor
	trouble func(kind, what string, err error)
}

func newBounded(trouble func(kind, what string, err error)) bounded {
	return bounded{kgo.DefaultDecompressor(), trouble}
}

// Decompress implements [kgo.Decompressor].
func (b bounded) Decompress(src []byte, codec kgo.CompressionCodecType) (out []byte, err error) {
	switch codec {
	case kgo.CodecGzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(src)); err == nil {
			out, err = readBounded(r)
		}
	case kgo.CodecLz4:
		out, err = readBounded(lz4.NewReader(bytes.NewReader(src)))
	case kgo.CodecZstd:
		var d *zstd.Decoder
		if d, err = decompressor(); err == nil {
			out, err = d.DecodeAll(src, nil)
		}
	default:
		return b.Decompressor.Decompress(src, codec)
	}
	if err != nil && b.trouble != nil { // the client takes it for a batch that is cut, and asks again
		b.trouble("decompress", "a batch can't be decompressed, so its partition stands still; delete the records up to it, and see who wrote it", err)
	}
	return out, err
}

func readBounded(r io.Reader) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, maxBatch+1))
	if err == nil && len(out) > maxBatch {
		err = fmt.Errorf("it has more than %d bytes", maxBatch)
	}
	return out, err
}
